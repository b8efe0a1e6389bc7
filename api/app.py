"""The API as a Flask application: built from services, or from the environment for gunicorn."""

import logging
import os
import re
import secrets
import sys
from datetime import UTC, datetime

from flask import Flask, Response, g, request
from gunicorn.arbiter import Arbiter

from api import (
    cors,
    dead_letters,
    delivery,
    docs_page,
    effects,
    fleet,
    internal,
    jobs,
    openapi,
    operators,
    probes,
    problems,
    replays,
    results,
    trickle,
    uploads,
    wire,
)
from api.services import Services
from api.spool import PhotoRequest, close_spools
from shared import logs
from shared.adapters import build_beside, build_doorkeeper, build_queue, build_store
from shared.ledger import Ledger
from shared.photo_gate import MAX_UPLOAD_BYTES
from shared.settings import Settings, SettingsError

log = logging.getLogger(__name__)

_FORM_BYTES = 1_000_000  #: beside the photo
#: Text fields together; the form parser also needs it for its window of 64 KB over the body.
_FIELDS_BYTES = 262_144
_REQUEST_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)


def from_environ() -> Flask:
    """Build the application for gunicorn; wrong settings end it with a sentence each."""
    try:
        settings = Settings.from_environ(os.environ)  # noqa: TID251 - the one place of this service
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - there is no log without settings
        sys.exit(Arbiter.APP_LOAD_ERROR)
    logs.configure("api", settings.revision)
    ledger = Ledger(
        store=build_store(settings),
        queue=build_queue(settings),
        clock=lambda: datetime.now(UTC),
        pace=settings.pace,
        beside=build_beside(settings),
    )
    return create_app(Services(settings=settings, ledger=ledger, admit=build_doorkeeper(settings)))


def create_app(services: Services) -> Flask:
    """Build the application around services that are wired already."""
    app = Flask(__name__, static_folder=None)
    app.request_class = PhotoRequest
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_UPLOAD_BYTES + _FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=_FIELDS_BYTES,
        MAX_FORM_PARTS=32,
    )
    app.url_map.merge_slashes = False  # a path that is not ours is a problem, not a redirect to a guess
    app.extensions["cutout"] = services
    app.before_request(_identify)
    # After-request functions run last in, first out: the headers of CORS come on top of everything.
    cors.install(app, services.settings.cors_origins)
    app.after_request(_sign)
    wire.install(app)
    trickle.install(app)
    app.teardown_request(_forget)
    app.teardown_request(close_spools)
    problems.install(app)
    for routes in (
        jobs,
        uploads,
        results,
        effects,
        fleet,
        probes,
        operators,
        delivery,
        dead_letters,
        replays,
        internal,
        openapi,
        docs_page,
    ):
        app.register_blueprint(routes.routes)
    return app


def _identify() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    g.log_context = logs.bound(request_id=g.request_id)
    g.log_context.__enter__()


def _sign(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response


def _forget(_error: BaseException | None = None) -> None:
    if context := g.pop("log_context", None):
        context.__exit__(None, None, None)
