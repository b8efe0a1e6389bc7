"""What is known about the workers, from what they have reported: engines and warm-ups."""

import logging
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, jsonify

from api.services import Services, services
from shared import messages, records
from shared.engines import ENGINES
from shared.errors import NameTakenError, NoSuchObjectError, TransientError
from shared.ports import Stat

log = logging.getLogger(__name__)
routes = Blueprint("fleet", __name__)

_WINDOW_S = 300
_WARM_FOR = timedelta(minutes=10)


@routes.get("/v1/models")
def models() -> Response:
    """Describe every engine, and which one is deployed."""
    deployed = deployed_engine(services()) or {}
    cards = [
        {
            "name": card.name,
            "summary": card.summary,
            "licence": card.licence,
            "training_data": card.training_data,
            "deployed": deployed["name"] == card.name if deployed else "unknown",
            "checkpoint_sha256": deployed.get("checkpoint_sha256")
            if deployed.get("name") == card.name
            else None,
        }
        for card in ENGINES.values()
    ]
    return jsonify(models=cards)


@routes.post("/warmup")
def warm_up() -> tuple[Response, int]:
    """Say that work is expected; nothing depends on it (field report 1 to 4)."""
    app = services()
    newest = _newest_report(app)
    if newest and newest.age < _WARM_FOR:
        return jsonify(worker="warm"), 202
    return jsonify(worker="cold" if _ask(app) else "warming"), 202


def deployed_engine(app: Services) -> dict[str, Any] | None:
    """Return the engine that a worker has last reported, or ``None`` if none ever has."""
    newest = _newest_report(app)
    if newest is None:
        return None
    try:
        engine = records.read_record(app.ledger.store, newest.name).get("engine")
    except (NoSuchObjectError, records.UnreadableRecordError):
        return None
    # A report is another build's word: it may help, and must never stop a submission.
    return engine if isinstance(engine, dict) and isinstance(engine.get("name"), str) else None


def _newest_report(app: Services) -> Stat | None:
    reports = app.ledger.store.list("workers/").objects
    return max(reports, key=lambda stat: stat.updated, default=None)


def _ask(app: Services) -> bool:
    """Publish a warm-up, at most once in five minutes; return whether it was us."""
    window = str(int(app.ledger.clock().timestamp()) // _WINDOW_S)
    try:
        records.write_once(app.ledger.store, f"{records.WARMUPS}{window}.json", {"window": window})
        data = messages.encode(messages.WarmupMessage(window=window))
        app.ledger.queue.publish(messages.JOBS, data, within=timedelta(seconds=2))
    except NameTakenError:
        return False
    except TransientError as error:
        log.warning("warmup.failed", extra={"reason": repr(error)})
    return True
