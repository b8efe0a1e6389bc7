"""A long queue, drained beside duplicates and kills (L1), and a storm of messages to two slots (D8)."""

import contextlib
import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import quantiles

import psutil

from bench.progress import track
from shared import messages
from shared.errors import TransientError
from shared.pace import ONE_MACHINE
from shared.topology import topology
from tests.chaos.beside import Beside
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import BrokenPromiseError, require

DUPLICATES, JOBS_A_KILL, SAMPLE = 0.05, 100, 20
#: The drain is steady if its slowest tenth is not slower than the fastest by more than this; of a tenth
#: that lasts for seconds, since a killed worker's claim holds its jobs for ten.
UNSTEADY, TENTH_AT_LEAST = 3.0, 500
IN_FLIGHT = 64


def long_queue(folder: Path, effort: Effort) -> Finding:
    """Queue thousands of jobs, every twentieth twice; drain them, killing a worker for each hundred (L1)."""
    found: list[str] = []
    dice = Random(effort.seed)
    with Plant(folder, workers=2, slots=2, engine_s=0.005, pace=ONE_MACHINE) as plant:
        plant.pause()
        ids, doubled = _queue(plant, effort.jobs, dice)
        with violations(found, "duplicates"):
            _require_queued(plant, ids, doubled)
        drain = _Drain(plant, dice, effort.jobs)
        with _Watch(plant, ids, dice, found) as watch:
            plant.resume()
            drain.run()
        for job_id in track(ids, "every promise"):
            with violations(found, job_id):
                plant.require_succeeded(job_id)
        with violations(found, "deliveries"):
            _require_delivered(plant)
        again = plant.inferences().total() - effort.jobs
    planned = (effort.jobs - 1) // JOBS_A_KILL
    with violations(found, "kills"):
        require(len(drain.killed) == planned, "L1", f"{len(drain.killed)} kills of {planned}")
    rates = drain.rates()
    with violations(found, "drain"):
        is_steady = max(rates) <= UNSTEADY * min(rates) or effort.jobs < 10 * TENTH_AT_LEAST
        require(is_steady, "L1", f"{min(rates):.0f} jobs/s in one tenth, {max(rates):.0f} in another")
    figure = (
        f"{drain.sentence()}; {len(drain.killed)} kills of {planned}, {len(doubled)} duplicates, "
        f"{again} inferences more than jobs, {watch.looks} looks at promises meanwhile"
    )
    details = {
        "jobs_per_s_by_tenth": [round(rate, 1) for rate in rates],
        "oldest_age_s_by_tenth": drain.ages_s,
    }
    return Finding(runs=effort.jobs, violations=found, figure=figure, details=details)


def _queue(plant: Plant, number: int, dice: Random) -> tuple[list[str], list[str]]:
    ids = [plant.new_id() for _ in range(number)]
    with ThreadPoolExecutor(4) as pool:
        for future in track([pool.submit(plant.accept, job_id) for job_id in ids], "queueing"):
            future.result()
    doubled = dice.sample(ids, int(number * DUPLICATES))
    for job_id in doubled:
        _publish(plant, job_id)
    return ids, doubled


def _require_queued(plant: Plant, ids: Sequence[str], doubled: Sequence[str]) -> None:
    """Require that the broker, which holds them all, has each job once and those twice."""
    messages_of = Counter(json.loads(data)["job_id"] for data in plant.queue.untried(messages.JOBS))
    missing = Counter([*ids, *doubled]) - messages_of
    require(not missing, "L1", f"{missing.total()} messages are not queued")
    share = len(doubled) / len(ids)
    require(share == DUPLICATES, "L1", f"{share:.1%} of the jobs are queued twice")


def _require_delivered(plant: Plant) -> None:
    """Require that the broker has none left for the workers: the second messages were handed over too."""
    until = time.monotonic() + 60
    with contextlib.closing(sqlite3.connect(plant.queue.path, timeout=10)) as connection:
        while left := len(connection.execute(_REFUSALS, (messages.JOBS,)).fetchall()):
            require(time.monotonic() < until, "L1", f"{left} messages were never taken")
            time.sleep(0.1)


def _publish(plant: Plant, job_id: str) -> None:
    plant.queue.publish(messages.JOBS, messages.encode(messages.JobMessage(job_id=job_id)))


@dataclass
class _Drain:
    """Waits until nothing is owed, kills a worker after every hundredth job, and notes each tenth."""

    plant: Plant
    dice: Random
    jobs: int
    killed: set[psutil.Process] = field(default_factory=set)
    times_s: list[float] = field(default_factory=list)  #: at the end of each tenth
    ages_s: list[int] = field(default_factory=list)  #: of the oldest job that is owed, then

    def run(self) -> None:
        began = time.monotonic()
        while (left := len(self._owed())) and time.monotonic() - began < 120 + self.jobs * 0.5:
            self._look(self.jobs - left, time.monotonic() - began)
            time.sleep(0.1)
        self._look(self.jobs, time.monotonic() - began)

    def _look(self, done: int, now_s: float) -> None:
        if done // JOBS_A_KILL > len(self.killed) and done < self.jobs:
            self._kill()
        while len(self.times_s) < 10 * done // self.jobs:
            self.times_s.append(now_s)
            self.ages_s.append(round(max((_age_s(owed) for owed in self._owed()), default=0.0)))

    def _kill(self) -> None:
        """Kill one of the workers, if it is alive."""
        with contextlib.suppress(psutil.Error):
            process = self.plant.inner(self.dice.choice(self.plant.workers))
            if process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                self.killed.add(process)

    def _owed(self) -> Sequence[os.DirEntry[str]]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self.plant.folder / "objects/open") as found:
            return list(found)
        return []

    def rates(self) -> list[float]:
        """Jobs a second in each tenth."""
        began_s = [0.0, *self.times_s]
        return [self.jobs / 10 / (end - began) for began, end in zip(began_s, self.times_s, strict=False)]

    def sentence(self) -> str:
        rates = self.rates()
        return (
            f"{self.jobs / self.times_s[-1]:.0f} jobs/s, {min(rates):.0f} in the slowest tenth, "
            f"{max(rates):.0f} in the fastest; oldest age {self.ages_s[0]} s after the first tenth, "
            f"{max(self.ages_s)} s at most"
        )


def _age_s(owed: os.DirEntry[str]) -> float:
    with contextlib.suppress(FileNotFoundError):
        return time.time() - owed.stat().st_mtime
    return 0.0


class _Watch(Beside):
    """Looks at the promises of some jobs each second, while they are kept."""

    def __init__(self, plant: Plant, ids: Sequence[str], dice: Random, found: list[str]) -> None:
        super().__init__()
        self._plant, self._ids, self._found, self.looks = plant, ids, found, 0
        self._dice = Random(dice.random())

    def run(self) -> None:
        # Always the same ones, and others: what goes back is seen by whoever has looked before.
        same = self._dice.sample(self._ids, min(SAMPLE, len(self._ids)))
        while not self.over.wait(1.0):
            others = self._dice.sample(self._ids, min(SAMPLE, len(self._ids)))
            for job_id in [*same, *others]:
                with violations(self._found, f"{job_id} meanwhile"), contextlib.suppress(TransientError):
                    self._plant.promises.check_job(job_id)
                self.looks += 1


def storm(folder: Path, effort: Effort) -> Finding:
    """Push 500 messages to two slots, 64 at once: most are refused again and again, none is given up (D8)."""
    found: list[str] = []
    number = 500 if effort.repeats > 1 else 100
    backoff_s = topology().backoff_on_one_machine_s
    with Plant(
        folder, slots=2, in_flight=IN_FLIGHT, engine_s=0.05, pace=ONE_MACHINE, backoff_s=backoff_s
    ) as plant:
        plant.pause()
        ids = [plant.new_id() for _ in range(number)]
        for job_id in ids:
            plant.accept(job_id)
        dead = [route.name for route in topology().routes if route.topic == messages.DEAD_JOBS]
        plant.pusher.hold(dead)  # jobs go out, and what is buried stays where it can be counted
        began = time.monotonic()
        refusals = _refusals(plant, until=began + 300)
        took_s = time.monotonic() - began
        for job_id in track(ids, "storm"):
            with violations(found, job_id):
                plant.require_succeeded(job_id)
        buried = sum(depth.waiting for depth in plant.queue.depth() if depth.subscription in dead)
        noted = len(plant.store.list("dead/").objects)
    with violations(found, "dead letters"):
        require(not buried and not noted, "D8", f"{buried} messages buried, {noted} dead letters noted")
    with violations(found, "storm"):
        require(
            len(refusals) >= number / 2, "D8", f"only {len(refusals)} of {number} were ever refused: no storm"
        )
    each = [refusals[job_id] for job_id in ids]
    figure = (
        f"dead letters {buried + noted}; {len(refusals)} of {number} jobs were deferred, {sum(each)} times "
        f"in all, p99 {quantiles(each, n=100)[-1]:.0f} times; done in {took_s:.0f} s"
    )
    return Finding(runs=number, violations=found, figure=figure)


def _refusals(plant: Plant, *, until: float) -> Counter[str]:
    """Return how often each job's message was refused, once the broker has none left for the workers."""
    refusals: Counter[str] = Counter()
    with contextlib.closing(sqlite3.connect(plant.queue.path, timeout=10)) as connection:
        while time.monotonic() < until:
            rows = connection.execute(_REFUSALS, (messages.JOBS,)).fetchall()
            refusals |= Counter({json.loads(data)["job_id"]: times for data, times in rows if times})
            if not rows:
                return refusals
            time.sleep(0.03)
    raise BrokenPromiseError("I1: the broker still has messages")


_REFUSALS = "SELECT data, refusals FROM deliveries JOIN messages ON id = message WHERE topic = ?"
