"""The store failing at each call site, for 1, 30 and 300 s of turned clock (G), over Google's own client."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from bench.progress import track
from shared.errors import TransientError
from shared.gcs_patience import Patience
from tests.chaos.plant import violations
from tests.chaos.rows import Effort, Finding
from tests.gcs_fake import running
from tests.gcs_fake_faults import SITES, Fault, Plan
from tests.gcs_world import connected
from tests.promises import Promises, require
from tests.world import JOB, Process, World, photo_bytes
from worker.handler import Outcome

FAULTS = (
    Fault.UNAVAILABLE, Fault.TOO_MANY, Fault.INTERNAL, Fault.RESET, Fault.STALL,
    Fault.TRUNCATED, Fault.CORRUPT, Fault.LOST, Fault.LATE,
)  # fmt: skip
SPANS_S = (1, 30, 300)
SILENCE_S = 0.05


@dataclass
class Outage:
    """Lasts from its beginning for so long by a clock."""

    clock: Callable[[], datetime]
    span: timedelta
    began: datetime | None = None

    def __contains__(self, _number: object) -> bool:
        return self.began is not None and self.clock() < self.began + self.span


def failing_store(folder: Path, effort: Effort) -> Finding:
    """Begin an outage at each call of a submission and a delivery, of each kind and length (G1 to G3)."""
    found: list[str] = []
    with _world(folder) as (world, _):
        calls = _calls(world)
    cases = [(c, fault, span) for c in range(len(calls)) for fault in FAULTS for span in SPANS_S]
    Random(effort.seed).shuffle(cases)
    cases = cases if effort.repeats > 1 else cases[:40]
    attempts = []
    for call, fault, span_s in track(cases, "outages"):
        with violations(found, f"{calls[call]}, {fault.name} for {span_s} s"):
            attempts.append(_survived(folder, call, fault, timedelta(seconds=span_s)))
    points = f"{len(calls)} calls x {len(FAULTS)} faults x {SPANS_S} s"
    figure = f"{points}; {max(attempts, default=0)} attempts at most, none counted"
    return Finding(runs=len(cases), violations=found, figure=figure)


@contextmanager
def _world(folder: Path) -> Iterator[tuple[World, object]]:
    world = World(folder)
    world.photo = photo_bytes(32)
    patience = Patience(
        silence_s=SILENCE_S, sleep=lambda s: world.clock.turn(seconds=s), monotonic=world.clock.monotonic
    )
    with running(world.clock) as fake:
        world.store = connected(fake, patience)
        try:
            yield world, fake
        finally:
            fake.released.set()
            world.store._calls._client.close()


def _calls(world: World) -> list[str]:
    seen: list[str] = []
    process = Process(lambda call: seen.append(call) if call.startswith("before store") else None)
    world.accept(process)
    world.deliver(world.services(process))
    return seen


def _survived(folder: Path, number: int, fault: Fault, span: timedelta) -> int:
    """Accept and deliver until it is done; return how many attempts that took."""
    with _world(folder) as (world, fake):
        outage = Outage(world.clock, span)
        for site in SITES:
            fake.faults._plans.append(Plan(site, fault, outage))
        left = [number]

        def begin(call: str) -> None:
            if call.startswith("before store"):
                left[0] -= 1
                if left[0] == -1:
                    outage.began = world.clock()

        process = Process(begin)
        _until_done(world, lambda: world.accept(process))
        _until_done(world, lambda: _deliver(world, process))
        for _ in range(4):
            world.clock.turn(seconds=301)
            world.sweep()
        promises = Promises(world.ledger())
        promises.check_job(JOB)
        promises.check_settled(JOB)
        job = promises.job(JOB)
        require(job.status == "succeeded", "I1", f"the job is {job.status}: {job.terminal.error}")
        return len(job.worked.claims)


def _deliver(world: World, process: Process) -> None:
    outcome = world.deliver(world.services(process))
    world.tick_pulses()
    if outcome is not Outcome.ACK:
        raise TransientError("refused")


def _until_done(world: World, act: Callable[[], object]) -> None:
    for turn in range(40):
        try:
            act()
        except TransientError:
            world.clock.turn(seconds=min(10 * 2**turn, 600))
        else:
            return
    require(False, "I1", "it was never done")
