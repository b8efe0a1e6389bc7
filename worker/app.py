"""The worker's HTTP face: pushes come in, one of two answers goes out.  Only 204 acknowledges."""

import logging
import os
import secrets
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from flask import Flask, Response, current_app, jsonify, request
from gunicorn.arbiter import Arbiter

from shared import __version__, logs
from shared.adapters import build_beside, build_doorkeeper, build_queue, build_store
from shared.callers import Doorkeeper, admit_this_machine
from shared.errors import MethodNotAllowedError, NotFoundError, ServiceError, TransientError
from shared.ledger import Ledger
from shared.settings import Settings, SettingsError
from shared.side_by_side import in_thread
from worker.engine import build_engine, require_choice, warm
from worker.handler import Outcome, handle
from worker.model_gate import ModelGate, load_in_background
from worker.report import report, withdraw
from worker.running import ThreadRunner, die_now, end_over
from worker.services import Patience, Services
from worker.slots import Slots

log = logging.getLogger(__name__)

_MAX_BODY_BYTES = 16_000_000

_NEIGHBOURS_S = 2.0

#: Deliveries that may wait here at once; the other threads answer health checks (field report 34).
_DELIVERIES_AT_ONCE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """What gunicorn's hooks need of the application."""

    services: Services
    stopping: threading.Event
    admit: Doorkeeper = admit_this_machine  #: lets pushes pass

    def stop(self) -> None:
        """Make every delivery answer soon."""
        self.stopping.set()

    def leave(self) -> None:
        """Tidy up as the process ends."""
        try:
            withdraw(self.services)
        except TransientError:
            log.info("worker.report_left")
        logging.shutdown()


def from_environ() -> Flask:
    """Build the application for gunicorn; wrong settings end it with a sentence each."""
    try:
        settings = Settings.from_environ(os.environ)  # noqa: TID251 - the one place of this service
        require_choice(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - there is no log without settings
        sys.exit(Arbiter.APP_LOAD_ERROR)
    logs.configure("worker", settings.revision)
    return create_app(build_services(settings))


def build_services(settings: Settings) -> Lifecycle:
    """Wire the worker to its adapters, and start loading its model."""
    stopping = threading.Event()
    gate, patience = ModelGate(stopping.is_set), Patience()
    services = Services(
        ledger=Ledger(
            store=build_store(settings),
            queue=build_queue(settings),
            clock=_now,
            pace=settings.pace,
            beside=build_beside(settings),
        ),
        gate=gate,
        slots=Slots(settings.slots, stopping.is_set),
        instance=secrets.token_hex(8),
        revision=settings.revision,
        patience=patience,
        run=ThreadRunner(
            is_stopping=stopping.is_set,
            grace_s=patience.process_s - patience.deadline_s,
            die=lambda: _die_stuck(stopping),
        ),
        beside=in_thread,
        on_lost_device=lambda error: end_over(error, stopping, lambda: _die_stuck(stopping)),
        is_stopping=stopping.is_set,
    )
    load_in_background(gate, lambda: build_engine(settings), warm, _die_unloadable, lambda: report(services))
    return Lifecycle(services=services, stopping=stopping, admit=build_doorkeeper(settings))


def create_app(lifecycle: Lifecycle) -> Flask:
    """Build the Flask application around services that are wired already."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY_BYTES
    app.extensions["cutout"] = lifecycle
    app.extensions["deliveries"] = threading.BoundedSemaphore(_DELIVERIES_AT_ONCE)
    app.add_url_rule("/push", view_func=push, methods=["POST"])
    app.add_url_rule("/health", view_func=health)
    app.add_url_rule("/ready", view_func=ready)
    app.register_error_handler(ServiceError, _problem)
    app.register_error_handler(404, lambda _: _problem(NotFoundError()))
    app.register_error_handler(405, lambda _: _problem(MethodNotAllowedError()))
    return app


def push() -> Response:
    """Take one delivery."""
    _lifecycle().admit(request.environ)
    deliveries: threading.BoundedSemaphore = current_app.extensions["deliveries"]
    if not deliveries.acquire(blocking=False):
        return _refusal()
    try:
        outcome = handle(_body(), _services())
    finally:
        deliveries.release()
    return Response(status=204) if outcome is Outcome.ACK else _refusal()


def health() -> Response:
    """Answer while the process lives, whatever the model does."""
    return jsonify(
        status="healthy",
        container="ready",
        version=__version__,
        revision=_services().revision,
        timestamp=_now().isoformat(),
    )


def ready() -> tuple[Response, int]:
    """Answer whether the model has been loaded and has cut out one real photo."""
    services = _services()
    engine = services.gate.engine
    if engine is None or services.is_stopping():
        response = jsonify(status="not-ready", model="loading", revision=services.revision)
        response.headers["Retry-After"] = "30"
        return response, 503
    return jsonify(status="ready", model="loaded", engine=engine, revision=services.revision), 200


def _body() -> bytes:
    """Read the push; one that is too large is as unreadable as a broken one, and as final."""
    if (request.content_length or 0) > _MAX_BODY_BYTES:
        return b""
    return request.get_data(cache=False)


def _services() -> Services:
    return _lifecycle().services


def _lifecycle() -> Lifecycle:
    lifecycle: Lifecycle = current_app.extensions["cutout"]
    return lifecycle


def _refusal() -> Response:
    return Response(status=503, headers={"Retry-After": "1"})


def _problem(error: ServiceError) -> tuple[Response, int, dict[str, str]]:
    document: dict[str, Any] = error.problem()
    return jsonify(document), error.status, {"Content-Type": "application/problem+json"}


def _now() -> datetime:
    return datetime.now(UTC)


def _die_stuck(stopping: threading.Event) -> NoReturn:
    """Let an attempt's neighbours give their claims back, where it hangs or the device is lost; then end."""
    stopping.set()
    time.sleep(_NEIGHBOURS_S)
    die_now()


def _die_unloadable() -> NoReturn:
    """End the process so that gunicorn gives up too: another try would load the same checkpoint."""
    die_now(Arbiter.APP_LOAD_ERROR)
