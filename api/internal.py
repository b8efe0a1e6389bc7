"""Internal routes: the sweep, the broom, events, and the messages that the queue has given up."""

import logging

from flask import Blueprint, Response, jsonify, request

from api.services import services
from shared import messages, settling
from shared.broom import Broom
from shared.errors import DeadLetteredError, MalformedMessageError
from shared.jobs import Kind, Standing
from shared.ledger import Ledger
from shared.replaying import Driver
from shared.sweep import Sweep

log = logging.getLogger(__name__)
routes = Blueprint("internal", __name__)

_SHOWN_BYTES = 2048


@routes.post("/internal/sweep")
def sweep() -> Response:
    """Do what nobody else has done, and drive replays until the next sweep; overlapping sweeps are safe."""
    app = services()
    app.admit(request.environ)
    counts = Sweep(ledger=app.ledger).run()
    driven = Driver(ledger=app.ledger, by="sweep").drive_all(app.ledger.pace.sweep_every * 0.8, app.monotonic)
    return jsonify(counts | driven)


@routes.post("/internal/broom")
def broom() -> Response:
    """Delete what nobody may be given any more; overlapping turns are safe."""
    services().admit(request.environ)
    return jsonify(Broom(ledger=services().ledger, retention=services().settings.retention).run())


@routes.post("/internal/events")
def event() -> Response:
    """Take over that a job has settled; whatever its epoch still owes is done here."""
    services().admit(request.environ)
    message = _job_message()
    if message:
        ledger = services().ledger
        standing = ledger.look(message.job_id, message.epoch)
        if standing.kind is Kind.SETTLED:
            settling.finish_if_due(ledger, standing)
    return Response(status=204)


@routes.post("/internal/dead-letters")
def dead_letter() -> Response:
    """Settle a job whose message the queue has given up, unless somebody is at work on it."""
    services().admit(request.environ)
    message = _job_message()
    if message is None:
        return Response(status=204)
    ledger = services().ledger
    standing = ledger.look(message.job_id, message.epoch)
    log.warning("dead_letter.received", extra={"job_id": message.job_id, "standing": standing.kind.value})
    if standing.is_at_work:
        return Response(status=503, headers={"Retry-After": "10"})
    _bury(ledger, standing)
    return Response(status=204)


def _job_message() -> messages.JobMessage | None:
    """Read the push; ``None`` for what is not about a job, which asking again would not mend."""
    body = request.get_data(cache=False)
    try:
        message = messages.decode(messages.unwrap(body).data)
    except MalformedMessageError as error:
        extra = {"reason": error.detail, "body": body[:_SHOWN_BYTES].decode(errors="replace")}
        log.error("message.unreadable", extra=extra)  # noqa: TRY400 - the body is the fact, not our stack
        return None
    return message if isinstance(message, messages.JobMessage) else None


def _bury(ledger: Ledger, standing: Standing) -> None:
    if standing.kind is Kind.SETTLED:
        settling.finish_if_due(ledger, standing)
    elif standing.kind is Kind.HOPELESS:
        settling.give_up(ledger, standing, "dead-letter")
    elif standing.kind is Kind.FREE and standing.was_tried:
        error = DeadLetteredError("The queue has given the job up after its last delivery was refused.")
        terminal = settling.failed(error, ledger, by="dead-letter", attempt=standing.trace.attempts)
        settling.settle(ledger, standing.history.job_id, standing.epoch, terminal)
    # A job that was never tried is published again by the sweep.
