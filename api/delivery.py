"""Delivery: whether jobs are pushed to the workers, and the operators' switch for it."""

import logging
from typing import Any

from flask import Blueprint, Response, jsonify, request

from api.identity import require_operator
from api.intake import read_json_object
from api.one_line import is_line, read_line
from api.services import services
from shared import pausing
from shared.errors import FieldFault, InvalidValueError, UnknownFieldError, UnsupportedMediaTypeError
from shared.pausing import Pause, Push

log = logging.getLogger(__name__)
routes = Blueprint("delivery", __name__)

_MOST_CHARACTERS = 500
#: An endpoint is a URL.
_MOST_OF_A_PUSH = 2000
_PUSH = {"endpoint", "email", "audience"}


@routes.get("/v1/delivery")
def read() -> Response:
    """Tell whether jobs are delivered, and what would have to be detached to hold them."""
    app = services()
    require_operator(request, app.settings)
    return _answer(pausing.read_pause(app.ledger.store))


@routes.post("/v1/delivery/pause")
def pause() -> Response:
    """Hold jobs; a pause that is on already stays, with these pushes on its record too."""
    app = services()
    require_operator(request, app.settings)
    wishes = _wishes()
    held, is_new = pausing.pause(
        app.ledger.store,
        app.ledger.clock,
        by=read_line("by", wishes.get("by", "unknown"), _MOST_CHARACTERS),
        reason=read_line("reason", wishes.get("reason", ""), _MOST_CHARACTERS),
        pushes=_pushes(wishes.get("pushes", {})),
    )
    if is_new:
        log.warning("delivery.paused", extra={"by": held.by, "reason": held.reason})
    return _answer(held)


@routes.post("/v1/delivery/resume")
def resume() -> Response:
    """Hold jobs no longer; what was detached is attached again by then, as the caller says."""
    app = services()
    require_operator(request, app.settings)
    if over := pausing.resume(app.ledger.store, _attached()):
        log.warning("delivery.resumed", extra={"paused_at": over.at, "by": over.by, "reason": over.reason})
    return _answer(None)


def told(pause: Pause | None) -> dict[str, Any]:
    """Say in an answer whether jobs are delivered."""
    if pause is None:
        return {"delivery": "running"}
    return {"delivery": "paused", "pause": {"at": pause.at, "by": pause.by, "reason": pause.reason}}


def _answer(pause: Pause | None) -> Response:
    queue = "broker" if services().settings.is_one_machine else "pubsub"
    return jsonify(**told(pause), queue=queue, pushes=pause.document()["pushes"] if pause else {})


def _wishes() -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise UnsupportedMediaTypeError("Send JSON with a reason.")
    return _known(read_json_object(request), "pause", "reason", "by", "pushes")


def _known(wishes: dict[str, Any], what: str, *fields: str) -> dict[str, Any]:
    if strangers := sorted(wishes.keys() - set(fields)):
        faults = [FieldFault(n, f"{n} is not a field of a {what}: {', '.join(fields)}") for n in strangers]
        raise UnknownFieldError("; ".join(f.detail for f in faults), faults=faults)
    return wishes


def _attached() -> list[str]:
    """Return the pushes that the body, if there is one, names."""
    wishes = read_json_object(request) if request.content_length else {}
    value = _known(wishes, "resume", "attached").get("attached", [])
    names = [route.name for route in pausing.held_routes()]
    if not isinstance(value, list) or any(name not in names for name in value):
        raise _invalid("attached", f"attached is {value!r:.80}; expected a list of: {', '.join(names)}")
    return value


def _pushes(value: object) -> dict[str, Push]:
    names = {route.name for route in pausing.held_routes()}
    if not isinstance(value, dict) or not value.keys() <= names:
        raise _invalid("pushes", f"pushes is {value!r:.80}; expected some of: {', '.join(names)}")
    for push in value.values():
        is_good = isinstance(push, dict) and push.keys() == _PUSH
        if not is_good or not all(is_line(text, _MOST_OF_A_PUSH) for text in push.values()):
            expected = f"{', '.join(sorted(_PUSH))}, each one line of {_MOST_OF_A_PUSH} characters at most"
            raise _invalid("pushes", f"a push is {push!r:.80}; expected {expected}")
    return value


def _invalid(field: str, detail: str) -> InvalidValueError:
    return InvalidValueError(detail, faults=[FieldFault(field, detail)])
