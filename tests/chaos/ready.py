"""SIGKILL of the worker while a job stands ready: claimed, its photo read, every slot taken (W10)."""

from pathlib import Path

from tests.chaos.acts import Act
from tests.chaos.killing import killed_in, patiently
from tests.chaos.kills import accept_and_wait, has_succeeded
from tests.chaos.plant import NeverCameError, Plant
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import comes

#: How long the jobs in front hold both slots: longer than another takes to stand ready.
_HELD_S = 0.5
_SLOTS = 2


def killed_while_ready(folder: Path, effort: Effort) -> Finding:
    """Kill the worker at each call of a job that finds its slots taken (W10)."""
    return killed_in(READY, folder, patiently(effort))


def behind_others(plant: Plant) -> str:
    """Return a job's name when as many others as there are slots are in their forward passes, and stay."""
    ids = [plant.new_id() for _ in range(_SLOTS)]
    holds = [
        plant.order("worker", act="hold", who=job_id, only="during model", seconds=_HELD_S) for job_id in ids
    ]
    for job_id in ids:
        plant.accept(job_id)
    if not comes(lambda: all(plant.is_done("worker", name) for name in holds)):
        raise NeverCameError("the others' forward passes")
    return plant.new_id()


def in_front_of(job_id: str) -> list[str]:
    """Return the names of the others."""
    number = int(job_id.removeprefix("job_"))
    named = 2 * _SLOTS  # each job in front and its order have one
    return [f"job_{n:016}" for n in range(number - named, number - _SLOTS)]


def _all_succeeded(plant: Plant, job_id: str, answer: object) -> None:
    has_succeeded(plant, job_id, answer, too_many=0)
    for other in in_front_of(job_id):
        has_succeeded(plant, other, answer)


READY = {
    "a job that stands ready": Act(
        given=behind_others,
        ask=accept_and_wait,
        holds=_all_succeeded,
        service="worker",
        whose="subject",
        # Whatever it does before it has its slot.
        about=r"store[.]list jobs/|accepted[.]json|claims/1[.]json|store[.]read inputs/",
        beside=r"Ledger[.](beat|is_settled) |claims/2|e0/2/|_delete_losers|terminal",
    )
}
