"""What platforms and crawlers ask: is it alive, is it ready, may I look around."""

from flask import Blueprint, Response, jsonify

from api.delivery import told
from api.services import services
from shared import __version__
from shared.pausing import read_pause

routes = Blueprint("probes", __name__)


@routes.get("/health")
def health() -> Response:
    """Answer while the process lives."""
    app = services()
    return jsonify(
        status="healthy",
        container="ready",
        version=__version__,
        revision=app.settings.revision,
        timestamp=app.ledger.clock().isoformat(),
    )


@routes.get("/ready")
def ready() -> tuple[Response, int]:
    """Answer whether photos can be taken; the worker is another service's business, and held jobs are."""
    app, faults, delivery = services(), {}, {"delivery": "unknown"}
    for name, ask in (("store", app.ledger.store.ping), ("queue", app.ledger.queue.ping)):
        try:
            ask()
            delivery = told(read_pause(app.ledger.store)) if name == "store" else delivery
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not ready, and says why
            faults[name] = type(error).__name__
    if not faults:
        return jsonify(status="ready", revision=app.settings.revision, **delivery), 200
    response = jsonify(status="not-ready", faults=faults, revision=app.settings.revision)
    response.headers["Retry-After"] = "30"
    return response, 503


@routes.get("/robots.txt")
def robots() -> Response:
    """Keep crawlers away (field report 35)."""
    return Response("User-agent: *\nDisallow: /\n", content_type="text/plain; charset=utf-8")
