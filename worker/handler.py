"""Turn one delivery of a message into one answer to the queue.

Pub/Sub delivers at least once, so every step below may run again, for a job that is half done, done,
or being done elsewhere.  ``ACK`` means that nothing is owed for this message any more; ``REFUSE`` means
that nothing was lost and it must come again.
"""

import logging
from contextlib import ExitStack
from enum import Enum

from shared import messages, settling
from shared.errors import (
    JobBusyError,
    MalformedMessageError,
    TransientError,
    WorkerBusyError,
)
from shared.jobs import Claim, ClaimInDoubtError, Kind, Standing
from shared.logs import bound
from worker.attempt import Attempt
from worker.beats import Pulse
from worker.report import report
from worker.services import Services

log = logging.getLogger(__name__)

_SHOWN_BYTES = 2048

#: What was seen longer ago is looked at again before a claim; the claim itself is the mutual exclusion.
_STALE_S = 0.05


class Outcome(Enum):
    """What to tell the queue about a delivery."""

    ACK = "ack"
    REFUSE = "refuse"


def handle(body: bytes, services: Services) -> Outcome:
    """Do what the message in a push asks for; errors become answers, never exceptions."""
    arrived = services.monotonic()
    try:
        envelope = messages.unwrap(body)
        message = messages.decode(envelope.data)
    except MalformedMessageError as error:
        # Refusing it would bring it back for hours, and slow every other job.
        extra = {"reason": error.detail, "body": body[:_SHOWN_BYTES].decode(errors="replace")}
        log.error("message.unreadable", extra=extra)  # noqa: TRY400 - the body is the fact, not our stack
        return Outcome.ACK
    with bound(message_id=envelope.message_id, delivery_attempt=envelope.attempt):
        return _answer(message, services, arrived)


def _answer(message: messages.Message, services: Services, arrived: float) -> Outcome:
    try:
        if isinstance(message, messages.WarmupMessage):
            _warm_up(message, services)
        else:
            with bound(job_id=message.job_id, epoch=message.epoch, trace=message.traceparent):
                return _work(message, services, arrived)
    except TransientError as error:
        log.info("delivery.deferred", extra={"reason": type(error).__name__, "detail": error.detail})
        return Outcome.REFUSE
    except Exception:
        log.exception("delivery.crashed")
        return Outcome.REFUSE
    return Outcome.ACK


def _warm_up(message: messages.WarmupMessage, services: Services) -> None:
    services.gate.model(within_s=services.patience.for_a_slot_s)
    report(services)
    log.info("worker.warmed", extra={"window": message.window})


def _work(message: messages.JobMessage, services: Services, arrived: float) -> Outcome:
    standing = services.ledger.look(message.job_id, message.epoch)
    if _is_done_with(standing, services):
        return Outcome.ACK
    looked = services.monotonic()
    alone = standing.must_run_alone
    with ExitStack() as stack:
        promise = services.ledger.beside(lambda: services.ledger.accepted(message.job_id))
        stack.callback(promise.exception)  # without an attempt nobody else would wait for it
        model = services.gate.model(within_s=_left_s(services, arrived))
        slot = services.slots.take(alone=alone, within_s=_left_s(services, arrived))
        stack.callback(slot.give_back)
        if services.monotonic() - looked > _STALE_S:
            standing = services.ledger.look(message.job_id, message.epoch)
            if _is_done_with(standing, services):
                return Outcome.ACK
            if standing.must_run_alone and not alone:
                raise WorkerBusyError("The job's last attempt died meanwhile; the next one must run alone.")
        claim = _claim(standing, services)
        stack.pop_all()  # from here on the attempt gives the slot back
    log.info("job.claimed", extra={"claim": claim.number, "alone": alone})
    is_settled = Attempt(services, claim, standing, promise, model, arrived, slot).settle()
    return Outcome.ACK if is_settled else Outcome.REFUSE


def _claim(standing: Standing, services: Services) -> Claim:
    try:
        return services.ledger.claim(standing, _signature(services))
    except ClaimInDoubtError as error:
        pulse = Pulse(services.ledger, error.claim)
        pulse.doubt()
        services.start_pulse(pulse)
        raise


def _signature(services: Services) -> dict[str, str]:
    engine = str((services.gate.engine or {}).get("name", ""))
    return {"worker": services.instance, "revision": services.revision, "engine": engine}


def _left_s(services: Services, arrived: float) -> float:
    return max(0.0, arrived + services.patience.for_a_slot_s - services.monotonic())


def _is_done_with(standing: Standing, services: Services) -> bool:
    """Whether the epoch needs no attempt of ours; one that is being attempted elsewhere is an error."""
    if standing.kind is Kind.NOTHING:
        log.warning("delivery.unknown_job")
    elif standing.kind is Kind.SETTLED:
        settling.finish_if_due(services.ledger, standing)
    elif standing.kind is Kind.HOPELESS:
        settling.give_up(services.ledger, standing, "worker")
    elif standing.kind is Kind.BUSY:
        raise JobBusyError("Another attempt holds a live claim.")
    return standing.kind is not Kind.FREE
