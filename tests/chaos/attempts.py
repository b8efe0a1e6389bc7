"""SIGKILL of the worker in what only some attempts come to, and in its reports (W9)."""

import base64
import json
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx

from shared import settling
from shared.errors import InternalError
from shared.messages import WarmupMessage, encode
from shared.records import Terminal
from tests import loopback
from tests.chaos.acts import Act, Headers
from tests.chaos.errands import nothing_left
from tests.chaos.killing import killed_in, patiently
from tests.chaos.kills import accept_and_wait, has_succeeded
from tests.chaos.past import DAYS, MOMENTS, ago, tried
from tests.chaos.plant import Plant
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import WITHIN_S, comes
from tests.promises import record, require

#: Longer than two beats, shorter than a death.
_LONG_S = 0.35
_DATA = base64.b64encode(encode(WarmupMessage(window="1"))).decode()
_WARM_UP = json.dumps({"message": {"data": _DATA, "messageId": "m-1"}, "subscription": "s"}).encode()


def attempted_and_killed(folder: Path, effort: Effort) -> Finding:
    """Kill the worker at each moment of attempts that last, fail, are overtaken or come last."""
    return killed_in(ATTEMPTS, folder, patiently(effort))


# --- attempts -----------------------------------------------------------------------------------


def _long(plant: Plant) -> str:
    """A job whose first attempt takes long enough to beat."""
    job_id = plant.new_id()
    plant.order("worker", act="hold", who=job_id, only="during model", seconds=_LONG_S)
    return job_id


def _losing_a_beat(plant: Plant) -> str:
    """A job as above; the answer to its first beat is lost."""
    job_id = _long(plant)
    plant.order("worker", act="lose", who=job_id, only="after store.create jobs/*/claims/1.beat")
    return job_id


def _failing_at(only: str) -> object:
    """A job in whose first attempt a call of the store fails."""

    def given(plant: Plant) -> str:
        job_id = plant.new_id()
        plant.order("worker", act="fail", who=job_id, only=only)
        return job_id

    return given


def _dying_once(plant: Plant) -> str:
    """A job whose first attempt dies after it has stored a picture."""
    job_id = plant.new_id()
    plant.order("worker", act="kill", who=job_id, only="after store.create results/*/e0/1/color")
    return job_id


#: After an attempt that came to nothing and one that died.
_succeeds_at_last = partial(has_succeeded, too_many=2)


def _cancel_at_work(plant: Plant, job_id: str, _headers: Headers) -> None:
    """Promise a job, cancel it while it is being worked on, and wait until nothing is owed."""
    plant.accept(job_id)
    require(comes(lambda: plant.inferences()[job_id]), "W", f"{job_id} is never begun")
    ended = Terminal(status="cancelled", at=plant.ledger.clock(), settled_by="client")
    settling.settle(plant.ledger, job_id, 0, ended)
    _is_cancelled(plant, job_id)
    time.sleep(_LONG_S)


def _is_cancelled(plant: Plant, job_id: str, _answer: object = None) -> None:
    plant.settled(job_id)
    status = plant.promises.job(job_id).status
    require(status in {"cancelled", "succeeded"}, "I1", f"{job_id} is {status}")
    if status == "cancelled":
        nothing_left(plant, f"results/{job_id}/")


def _used_up(plant: Plant) -> str:
    """A job whose attempts are used up, and that nobody has given up yet."""
    job_id = plant.new_id()
    plant.accept(job_id, publishes=False)  # too young for a sweep to look at
    tried(ago(plant, MOMENTS), job_id, "bug", None, None)
    return job_id


def _publish_and_wait(plant: Plant, job_id: str, _headers: Headers) -> None:
    plant.ledger.publish(job_id, 0, 0, by="api")
    plant.settled(job_id)


def _is_given_up(plant: Plant, job_id: str, _answer: object) -> None:
    plant.settled(job_id)
    error = plant.promises.job(job_id).terminal.error
    require(error["slug"] == InternalError.slug, "I1", f"{job_id} ended with {error}")
    require(plant.inferences()[job_id] == 0, "I4", f"{job_id} was tried once more")


# --- reports ------------------------------------------------------------------------------------


def _unreported(plant: Plant) -> str:
    for stat in plant.store.list("workers/").objects:
        plant.store.delete(stat.name)
    return plant.new_id()


def _reported(plant: Plant) -> str:
    """A worker that has reported once, beside the report of one that is long gone."""
    _unreported(plant)
    _warm_up(plant, "", {})
    ago(plant, DAYS).store.create("workers/0123456789abcdef.json", b'{"version": 1, "engine": null}')
    return plant.new_id()


def _warm_up(plant: Plant, _subject: str, _headers: Headers) -> httpx.Response:
    return loopback.post(f"{plant.workers[0].url}/push", content=_WARM_UP, timeout=30)


def _is_reported(plant: Plant, _subject: str, _answer: object) -> None:
    """Require that the worker is on record, and none that is long gone."""
    reports = [stat.name for stat in plant.store.list("workers/").objects]
    require(reports and "workers/0123456789abcdef.json" not in reports, "W", f"reports are {reports}")
    engines = [record(plant.store, name)["engine"]["name"] for name in reports]
    require({*engines} == {"disc"}, "W", f"engines are {engines}")


def _stop(plant: Plant, _subject: str, _headers: Headers) -> None:
    """Ask the worker's process to stop, as its platform does, and wait until another has taken its place."""
    process = plant.inner(plant.workers[0])
    process.send_signal(signal.SIGTERM)
    process.wait(WITHIN_S)
    plant.await_ready(plant.workers[0])


def _is_withdrawn_or_replaced(plant: Plant, subject: str, _answer: object) -> None:
    """Require that a report that a stopped worker left behind keeps nobody from the next one."""
    require(_warm_up(plant, subject, {}).status_code == 204, "W", "the next worker does not report")
    _is_reported(plant, subject, None)


_BEATS = Act(
    given=_long,
    ask=accept_and_wait,
    holds=has_succeeded,
    service="worker",
    whose="subject",
    about=r"Ledger[.](beat|is_settled) ",
    beside="claims/2",
)
ATTEMPTS = {
    "an attempt that beats": _BEATS,
    "an attempt whose beat's answer is lost": replace(_BEATS, given=_losing_a_beat, is_variation=True),
    "a claim in doubt": Act(
        given=_failing_at("after store.create jobs/*/e0/claims/1.json"),
        ask=accept_and_wait,
        holds=has_succeeded,
        service="worker",
        whose="subject",
        about=r"is_claimed|Ledger[.]release",
    ),
    "an attempt that is given back": Act(
        given=_failing_at("before store.create results/*/matte"),
        ask=accept_and_wait,
        holds=_succeeds_at_last,
        service="worker",
        whose="subject",
        about=r"_delete_own|Ledger[.]release|Reader[.]_reason|claims/2[.]json",
    ),
    "an attempt after a death": Act(
        given=_dying_once,
        ask=accept_and_wait,
        holds=_succeeds_at_last,
        service="worker",
        whose="subject",
        about=r"claims/2[.]json|_delete_losers",
    ),
    "an attempt at what was cancelled": Act(
        given=_long,
        ask=_cancel_at_work,
        holds=_is_cancelled,
        service="worker",
        whose="subject",
        about=r"_delete_own|_delete_losers|Reader[.]terminal|announced|open/",
    ),
    "a job whose attempts are used up": Act(
        given=_used_up,
        ask=_publish_and_wait,
        holds=_is_given_up,
        service="worker",
        whose="subject",
    ),
    "a first report": Act(
        given=_unreported,
        ask=_warm_up,
        answers=frozenset({204}),
        holds=_is_reported,
        service="worker",
        whose="anybody",
    ),
    "a second report": Act(
        given=_reported,
        ask=_warm_up,
        answers=frozenset({204}),
        holds=_is_reported,
        service="worker",
        whose="anybody",
        is_variation=True,
    ),
    "a stop": Act(
        given=_reported,
        ask=_stop,
        holds=_is_withdrawn_or_replaced,
        service="worker",
        whose="anybody",
        about="withdraw",
    ),
}
