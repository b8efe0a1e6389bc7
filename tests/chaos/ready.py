"""SIGKILL and SIGTERM of a worker while a job stands ready: claimed, its photo read, its slot taken (W9)."""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.chaos.kills import moments_of, repeated
from tests.chaos.plant import NeverCameError, Plant
from tests.chaos.rows import Effort, Finding
from tests.promises import record, require

#: How long the job in front holds the only slot: longer than the other takes to stand ready.
_HELD_S = 0.5
_TERM = "SIGTERM: when it stands ready"
_FIRST = "before store.list jobs/*/"
_READY = "after store.read inputs/"


def killed_while_ready(folder: Path, effort: Effort) -> Finding:
    """Kill the worker at each call of a job that finds its only slot taken, or ask it to stop (W9)."""
    with ExitStack() as stack:
        every = [
            stack.enter_context(Plant(folder / str(n), slots=1, in_flight=3)) for n in range(effort.plants)
        ]
        moments = [*_moments(every[0]), _TERM]
        return repeated(every, moments, effort, _ended)


def _moments(plant: Plant) -> list[str]:
    """Return what the second of two jobs does before its slot is there."""
    seen = moments_of(plant, "worker", lambda p: p.require_succeeded(_both(p)[1]))
    read = next(number for number, what in enumerate(seen) if what.startswith(_READY))
    before = seen[seen.index(_FIRST) : read + 1]
    require(any("claims/1.json" in what for what in before), "W9", f"no claim among {before}")
    return before


def _in_front(plant: Plant) -> str:
    """Accept a job, and return when it is in its forward pass, where it stays for a while."""
    job_id = plant.new_id()
    name = plant.order("worker", act="hold", who=job_id, only="during model", seconds=_HELD_S)
    plant.accept(job_id)
    _until(lambda: plant.is_done("worker", name), "the forward pass of the job in front")
    return job_id


def _both(plant: Plant) -> tuple[str, str]:
    first, second = _in_front(plant), plant.new_id()
    plant.accept(second)
    return first, second


def _ended(plant: Plant, _number: int, moment: str) -> float:
    if moment == _TERM:
        return _asked_to_stop(plant)
    first, second = _in_front(plant), plant.new_id()
    kill = plant.order("worker", act="kill", who=second, only=moment)
    plant.accept(second)
    took_s = max(plant.require_succeeded(job_id) for job_id in (first, second))
    plant.require_done("worker", kill, moment)
    inferences = plant.inferences()
    require(inferences[second] == 1, "I4", f"{inferences[second]} inferences of one that only stood ready")
    require(inferences[first] <= 2, "I4", f"{inferences[first]} inferences of the one in front")
    return took_s


def _asked_to_stop(plant: Plant) -> float:
    first, second = _both(plant)
    claim = f"jobs/{second}/e0/claims/1.json"
    _until(lambda: bool(plant.store.list(claim).objects), "a claim of one that stands ready", _HELD_S)
    master = psutil.Process(plant.workers[0].pid)
    master.send_signal(signal.SIGTERM)
    for job_id in (first, second):
        plant.require_succeeded(job_id)
        reason = record(plant.store, f"jobs/{job_id}/e0/claims/1.released.json")["reason"]
        require(reason == "shutdown", "W9", f"{job_id} was released for {reason}")
    return 0.0


def _until(is_so: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > until:
            raise NeverCameError(what)
        time.sleep(0.005)
