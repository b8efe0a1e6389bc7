"""A job that finds every slot taken claims and reads its photo meanwhile, and is worked on by nobody else."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shared import records
from tests.world import JOB, Process, World
from worker.handler import Outcome
from worker.services import Patience, Services
from worker.slots import Slots

OTHER = "job_fedcba9876543210"
WITHIN_S = 20.0


@dataclass
class Scene:
    """A worker of one slot, a job in the middle of its forward pass, and another that stands ready."""

    world: World
    pool: ThreadPoolExecutor
    slots: Slots = field(default_factory=lambda: Slots(1))
    stopping: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    calls: list[str] = field(default_factory=list)  #: of the one that stands ready
    is_ready: threading.Event = field(default_factory=threading.Event)

    def services(self, process: Process | None = None, patience_s: float = WITHIN_S) -> Services:
        return self.world.services(
            process,
            slots=self.slots,
            patience=Patience(for_a_slot_s=patience_s),
            is_stopping=self.stopping.is_set,
        )

    def at_work(self) -> Future[Outcome]:
        """Begin the first job; it stays in its forward pass."""
        begun = threading.Event()

        def during() -> None:
            if not begun.is_set():
                begun.set()
                assert self.go_on.wait(WITHIN_S)

        self.world.model.during = during
        delivery = self.pool.submit(self.world.deliver, self.services())
        assert begun.wait(WITHIN_S)
        return delivery

    def ready(self, patience_s: float = WITHIN_S) -> Future[Outcome]:
        """Begin the other job, and wait until it stands ready."""

        def spy(call: str) -> None:
            self.calls.append(call)
            if call.startswith("after store.read inputs/"):
                self.is_ready.set()

        delivery = self.pool.submit(self.world.deliver, self.services(Process(spy), patience_s), job_id=OTHER)
        assert self.is_ready.wait(WITHIN_S), "it waits for its slot before it reads its photo"
        return delivery


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    world = World(tmp_path)
    world.accept()
    world.accept(job_id=OTHER)
    with running(world) as scene:
        yield scene


@contextmanager
def running(world: World) -> Iterator[Scene]:
    with ThreadPoolExecutor() as pool:
        scene = Scene(world, pool)
        scene.slots.is_stopping = scene.stopping.is_set
        try:
            yield scene
        finally:
            scene.go_on.set()


def reason(world: World) -> str:
    return str(records.read_record(world.store, f"jobs/{OTHER}/e0/claims/1.released.json")["reason"])


def test_claim_and_photo_are_there_before_the_slot_is(scene: Scene) -> None:
    first, other = scene.at_work(), scene.ready()
    assert scene.world.model.calls == 1
    assert scene.world.job(OTHER).status == "processing"
    scene.go_on.set()
    assert [first.result(WITHIN_S), other.result(WITHIN_S)] == [Outcome.ACK, Outcome.ACK]
    for job_id in (JOB, OTHER):
        assert scene.world.job(job_id).status == "succeeded"
    assert scene.world.model.calls == 2
    scene.slots.take(alone=True, within_s=0)


def test_its_beats_say_whether_it_has_its_slot(scene: Scene) -> None:
    def said() -> list[bool]:
        scene.world.tick_pulses()
        names = [f"jobs/{job_id}/e0/claims/1.beat" for job_id in (JOB, OTHER)]
        return [json.loads(scene.world.store.read(name).data)["stands_ready"] for name in names]

    first, other = scene.at_work(), scene.ready()
    assert said() == [False, True]
    is_second, may_end = threading.Event(), threading.Event()

    def during() -> None:
        is_second.set()
        assert may_end.wait(WITHIN_S)

    scene.world.model.during = during
    scene.go_on.set()
    assert is_second.wait(WITHIN_S)
    try:
        assert said() == [False, False]
    finally:
        may_end.set()
    assert [first.result(WITHIN_S), other.result(WITHIN_S)] == [Outcome.ACK, Outcome.ACK]


def test_a_copy_of_the_message_finds_the_claim_of_one_that_stands_ready(scene: Scene) -> None:
    scene.at_work(), scene.ready()
    assert scene.world.deliver(scene.services(), job_id=OTHER) is Outcome.REFUSE
    assert scene.world.names(f"jobs/{OTHER}/e0/claims/") == [f"jobs/{OTHER}/e0/claims/1.json"]


def test_one_whose_slot_never_comes_is_given_back_and_that_does_not_count(scene: Scene) -> None:
    scene.at_work()
    other = scene.ready(patience_s=0.2)
    assert other.result(WITHIN_S) is Outcome.REFUSE
    assert reason(scene.world) == "busy"
    assert scene.world.model.calls == 1
    scene.go_on.set()
    assert scene.world.deliver(scene.services(), job_id=OTHER) is Outcome.ACK
    assert scene.world.job(OTHER).terminal.attempt == 2


def test_the_wait_for_a_slot_is_counted_from_the_delivery(scene: Scene) -> None:
    scene.at_work()

    def spy(call: str) -> None:
        if call.startswith("after store.read inputs/"):
            scene.world.clock.turn(seconds=WITHIN_S)

    other = scene.pool.submit(scene.world.deliver, scene.services(Process(spy)), job_id=OTHER)
    assert other.result(WITHIN_S / 2) is Outcome.REFUSE
    assert reason(scene.world) == "busy"


def test_no_number_of_slots_that_never_came_gives_a_job_up(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.accept()
    for number in range(1, 6):
        world.claim(number, reason="busy")
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_one_that_stands_ready_in_a_worker_that_stops_is_given_back(scene: Scene) -> None:
    scene.at_work()
    other = scene.ready()
    scene.stopping.set()
    assert other.result(WITHIN_S) is Outcome.REFUSE
    assert reason(scene.world) == "shutdown"
    assert scene.world.model.calls == 1


def test_one_that_a_beat_finds_settled_takes_no_time_of_the_engine(scene: Scene) -> None:
    scene.at_work()
    other = scene.ready()
    scene.world.cancel(OTHER)
    scene.world.tick_pulses()
    scene.go_on.set()
    assert other.result(WITHIN_S) is Outcome.ACK
    assert scene.world.model.calls == 1
    assert scene.world.job(OTHER).status == "cancelled"
    assert scene.world.names(f"results/{OTHER}/") == []


def test_the_wait_for_a_slot_is_told_as_waiting_in_the_queue(scene: Scene) -> None:
    scene.at_work()
    other = scene.ready()
    while not scene.slots._line:
        time.sleep(0.001)
    scene.world.clock.turn(seconds=7)
    scene.go_on.set()
    assert other.result(WITHIN_S) is Outcome.ACK
    timings = scene.world.job(OTHER).terminal.outcome["timings_ms"]
    assert timings["queue"] == pytest.approx(7000)
    assert timings["total"] == pytest.approx(7000)
