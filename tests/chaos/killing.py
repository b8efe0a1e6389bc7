"""A process is killed at each moment of an act; whoever asked comes back with the same request, or never."""

import contextlib
import os
import queue
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import httpx

from bench.progress import track
from tests.chaos.acts import (
    SUBJECT,
    Act,
    Answer,
    Headers,
    Moment,
    headers_of,
    moments_of,
    sweeping,
    who_of,
)
from tests.chaos.plant import NeverCameError, Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import WITHIN_S
from tests.promises import require

#: Somebody else may do what was about to be done: then nobody is killed, and it is tried again.
_TRIES = 5
_FEW = 2


def killed_in(acts: Mapping[str, Act], folder: Path, effort: Effort) -> Finding:
    """Kill a process at each moment of each act, so many times."""
    with plants(folder, effort.plants) as every:
        return _repeated(every, acts, moments_of(every[0], acts), effort)


def patiently(effort: Effort) -> Effort:
    """Return an effort on twice the plants, where a death is waited for more than anything is worked on.

    For a few kills they are not worth their start.
    """
    return replace(effort, plants=2 * effort.plants) if effort.repeats > _FEW else effort


# --- one kill -----------------------------------------------------------------------------------


def _killed(plant: Plant, act: Act, turn: int, moment: Moment) -> float:
    first, answer, is_left = plant.new_id(), None, bool(act.left and turn % 2)
    key = f"key-{first}"
    with sweeping(plant, act):
        subject = act.given(plant)
        only = moment.what.replace(SUBJECT, subject)
        who = who_of(act, subject, key)
        order = plant.order(act.service, act="kill", who=who, only=only, site=moment.site)
        began = time.monotonic()
        with contextlib.suppress(httpx.TransportError):
            act.ask(plant, subject, headers_of(key))
        plant.require_done(act.service, order, str(moment))
        plant.await_ready(plant.child(act.service))
        _require_promises_since(plant, first)
        if not is_left:
            answer = _asked_again(plant, act, subject, headers_of(key))
    if act.left and is_left:
        act.left(plant, subject)
    else:
        act.holds(plant, subject, answer)
    return time.monotonic() - began


def _require_promises_since(plant: Plant, first: str) -> None:
    """Hold the jobs that have been named since against what was promised, before anybody mends anything."""
    for number in range(int(first.removeprefix("job_")), int(plant.new_id().removeprefix("job_"))):
        plant.promises.check_job(f"job_{number:016}")


def _asked_again(plant: Plant, act: Act, subject: str, headers: Headers) -> Answer:
    """Come back, and once more after each "not now": a worker may be at the job."""
    if act.whose == "subject":
        return None  # the queue comes back, and so does the sweep
    until = time.monotonic() + WITHIN_S
    while (answer := act.ask(plant, subject, headers)) is not None and answer.status_code == 503:
        require(time.monotonic() < until, act.service, "it is never the time")
        time.sleep(0.1)
    if answer is not None:
        require(answer.status_code in act.answers, act.service, f"{answer.status_code} to who came back")
    return answer


# --- many of them -------------------------------------------------------------------------------


@contextmanager
def plants(folder: Path, number: int) -> Iterator[list[Plant]]:
    with ExitStack() as stack, _unsynced():
        yield [stack.enter_context(Plant(folder / str(n))) for n in range(number)]


@contextmanager
def _unsynced() -> Iterator[None]:
    """Let this process, which nobody kills, not wait for the disk: half of what a scene is given takes."""
    synced, os.fsync = os.fsync, lambda _descriptor: None
    try:
        yield
    finally:
        os.fsync = synced


@contextmanager
def lent(idle: queue.Queue[Plant]) -> Iterator[Plant]:
    plant = idle.get()
    try:
        yield plant
    finally:
        idle.put(plant)


def _repeated(
    every: Sequence[Plant], acts: Mapping[str, Act], moments: Sequence[Moment], effort: Effort
) -> Finding:
    """Kill so many times at each moment, on as many plants at once as there are."""
    idle: queue.Queue[Plant] = queue.Queue()
    for plant in every:
        idle.put(plant)
    found: list[str] = []

    def one(turn: int, moment: Moment) -> float:
        with lent(idle) as plant, violations(found, str(moment)):
            for _ in range(_TRIES):
                with contextlib.suppress(NeverCameError):
                    return _killed(plant, acts[moment.act], turn, moment)
            raise NeverCameError(moment)
        return 0.0

    work = [(turn, moment) for moment in moments for turn in range(effort.repeats)]
    random.Random(effort.seed).shuffle(work)
    with ThreadPoolExecutor(len(every)) as pool:
        runs = [pool.submit(one, *each) for each in work]
        took_s = [future.result() for future in track(runs, "kills")]
    again = f"done again p50 {median(took_s):.1f} s, worst {max(took_s):.1f} s"
    figure = f"{len(moments)} moments x {effort.repeats}; {again}"
    details = {"moments": [str(moment) for moment in moments]}
    return Finding(runs=len(work), violations=found, figure=figure, details=details)
