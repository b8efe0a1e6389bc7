"""SIGKILL before and after every call of a port: of the worker (W) and of the API (A)."""

import contextlib
import queue
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import httpx

from bench.progress import track
from tests.chaos.plant import NeverCameError, Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import require

#: The sweep may do what a slow worker was about to: then nobody is killed, and it is tried again.
_TRIES = 5
_RANDOM = re.compile(r"job_[0-9a-z]+(\.[0-9a-f]{32})?|upload_[0-9a-z]+")
#: What sweep and broom do, whenever it is their turn, and what only a slow machine does.
_BESIDE = re.compile(
    r"[.]beat|store[.]stat |claims/2|list (open|workers|replaying|uploads|inputs)/|list jobs/[*]$|broom/"
)

Run = Callable[[Plant, int, str], float]  #: one kill at a moment; seconds until all is well again


def worker_killed(folder: Path, effort: Effort) -> Finding:
    """Kill the worker before and after each call of a port, and in the middle of an inference."""
    with plants(folder, effort.plants) as every:
        moments = moments_of(every[0], "worker", _settle_one)
        require("during model" in moments, "W", f"no inference among {moments}")
        return repeated(every, moments, effort, _killed_at_work)


def _settle_one(plant: Plant) -> None:
    job_id = plant.new_id()
    plant.accept(job_id)
    plant.require_succeeded(job_id)


def _killed_at_work(plant: Plant, _number: int, what: str) -> float:
    job_id = plant.new_id()
    name = plant.order("worker", act="kill", who=job_id, only=what)
    plant.accept(job_id)
    took_s = plant.require_succeeded(job_id)
    plant.require_done("worker", name, what)
    require(plant.inferences()[job_id] <= 2, "I4", f"{job_id}: more than one inference too many")
    return took_s


def api_killed(folder: Path, effort: Effort) -> Finding:
    """Kill the API before and after each call of a port; half the clients come back with their key."""
    with plants(folder, effort.plants) as every:
        moments = moments_of(every[0], "api", lambda plant: plant.submit(plant.new_id()))
        return repeated(every, moments, effort, _killed_at_submit)


def _killed_at_submit(plant: Plant, number: int, what: str) -> float:
    key = f"key-{plant.new_id()}"
    name = plant.order("api", act="kill", who=key, only=what)
    before = set(_promised(plant))
    began = time.monotonic()
    with contextlib.suppress(httpx.TransportError):
        plant.submit(key)
    plant.require_done("api", name, what)
    plant.await_ready(plant.api)
    promised = set(_promised(plant)) - before
    if not promised or number % 2:
        answer = plant.submit(key)  # a client that comes back
        require(answer.status_code == 202, "A", f"{answer.status_code} to a client that came back")
        promised |= {answer.json()["id"]}
    require(len(promised) == 1, "I1", f"{len(promised)} jobs for one key")
    plant.require_succeeded(promised.pop())
    return time.monotonic() - began


def _promised(plant: Plant) -> list[str]:
    return [
        path.name
        for path in (plant.folder / "objects" / "jobs").glob("*")
        if (path / "accepted.json").exists()
    ]


# --- many of them -------------------------------------------------------------------------------


@contextmanager
def plants(folder: Path, number: int) -> Iterator[list[Plant]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Plant(folder / str(n))) for n in range(number)]


def moments_of(
    plant: Plant, service: str, act: Callable[[Plant], object], who: str | None = None
) -> list[str]:
    """Let a job go its way undisturbed, and return each moment of its calls, as patterns."""
    act(plant)  # the first of a process reads more
    name = plant.order(service, act="trace", who=who)
    act(plant)
    time.sleep(0.2)  # what was asked for is seen before its last call has returned
    (plant.folder / "orders" / service / name).unlink()
    found = [_RANDOM.sub("*", what) for what in (plant.folder / "orders" / name).read_text().splitlines()]
    # A slow machine beats too, and sweeps: other rows see to those.
    return [what for what in dict.fromkeys(found) if not _BESIDE.search(what)]


@contextmanager
def lent(idle: queue.Queue[Plant]) -> Iterator[Plant]:
    plant = idle.get()
    try:
        yield plant
    finally:
        idle.put(plant)


def repeated(every: Sequence[Plant], moments: Sequence[str], effort: Effort, run: Run) -> Finding:
    """Kill at each moment so many times, on as many plants at once as there are."""
    idle: queue.Queue[Plant] = queue.Queue()
    for plant in every:
        idle.put(plant)
    found: list[str] = []

    def one(number: int, what: str) -> float:
        with lent(idle) as plant, violations(found, what):
            for _ in range(_TRIES):
                with contextlib.suppress(NeverCameError):
                    return run(plant, number, what)
            raise NeverCameError(what)
        return 0.0

    work = list(enumerate(what for _ in range(effort.repeats) for what in moments))
    random.Random(effort.seed).shuffle(work)
    with ThreadPoolExecutor(len(every)) as pool:
        runs = [pool.submit(one, *each) for each in work]
        took_s = [future.result() for future in track(runs, "kills")]
    again = f"done again p50 {median(took_s):.1f} s, worst {max(took_s):.1f} s"
    figure = f"{len(moments)} moments x {effort.repeats}; {again}"
    return Finding(runs=len(work), violations=found, figure=figure, details={"moments": list(moments)})
