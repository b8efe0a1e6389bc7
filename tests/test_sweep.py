"""The sweep does what nobody else has done, in its time, and nothing twice."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared import messages, records
from shared.deliveries import opened
from shared.errors import QueueUnavailableError, StoreUnavailableError
from shared.pace import CLOUD, ONE_MACHINE
from shared.sqlite_queue import SqliteQueue
from shared.subscriptions import Subscription
from shared.sweep import Sweep
from tests.dead import a_plan, die, drive, driver
from tests.world import JOB, Process, World
from worker.handler import Outcome


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def queue_away(call: str) -> None:
    if call.startswith("before queue"):
        raise QueueUnavailableError("away")


def published(world: World) -> int:
    return len([m for m in world.queue.published if m.topic == messages.JOBS])


def publications(world: World) -> list[str]:
    return [name.rpartition("/")[2] for name in world.names(f"jobs/{JOB}/e0/published/")]


def test_a_publish_that_failed_is_made_good_after_half_a_minute(world: World) -> None:
    world.accept(Process(queue_away))
    assert published(world) == 0
    world.clock.turn(seconds=29)
    world.sweep()
    assert published(world) == 0
    world.clock.turn(seconds=2)
    world.sweep()
    assert published(world) == 1
    assert publications(world) == ["0.json"]
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_publications_follow_after_10_20_and_40_minutes(world: World) -> None:
    world.accept()
    at_minutes = []
    for minute in range(1, 180):
        world.clock.turn(minutes=1)
        before = published(world)
        world.sweep()
        at_minutes += [minute] * (published(world) - before)
    # Markers are looked at when they are 30 s, 1, 2, 4, 8, 16, 32, 64, 128 minutes old.
    assert at_minutes == [16, 64, 128]
    assert publications(world) == ["0.json", "1.json", "2.json", "3.json"]


def test_on_one_machine_a_message_that_was_lost_comes_again_after_5_10_and_20_seconds(tmp_path: Path) -> None:
    world = World(tmp_path, pace=ONE_MACHINE)
    world.accept()
    at_seconds = []
    for second in range(5, 100, 5):
        world.clock.turn(seconds=5)
        before = published(world)
        world.sweep()
        at_seconds += [second] * (published(world) - before)
    assert at_seconds == [5, 15, 35, 75]


@pytest.fixture
def on_one_machine(tmp_path: Path) -> Iterator[tuple[World, Callable[[], None]]]:
    """A world whose queue is the broker's, and what takes all that is to be pushed."""
    world = World(tmp_path, pace=ONE_MACHINE)
    world.queue = SqliteQueue(tmp_path / "queue.db", world.clock)
    url = "http://127.0.0.1:1/push"
    jobs = Subscription(name="jobs", topic=messages.JOBS, endpoint=url, max_in_flight=1)
    with opened(world.queue) as deliveries:
        deliveries.declare([jobs], ())
        world.queue.publish(messages.JOBS, b"not a message")
        world.accept()
        yield world, lambda: deliveries.take(jobs, 9)


def test_what_waits_in_the_queue_is_not_published_again(on_one_machine) -> None:
    """A long queue would become longer with each sweep, and its drain slower (fault L1)."""
    world, take = on_one_machine
    world.clock.turn(seconds=5)
    assert world.sweep() == {"in_queue": 1, "open": 1}
    assert publications(world) == ["0.json"]
    take()  # and whoever has it may die of it
    assert world.sweep() == {"published": 1, "open": 1}
    assert publications(world) == ["0.json", "1.json"]


def test_what_waited_in_a_queue_that_was_lost_is_published_again(on_one_machine) -> None:
    world, _ = on_one_machine
    world.queue.path.unlink()
    world.clock.turn(seconds=5)
    assert world.sweep() == {"published": 1, "open": 1}


def test_a_job_that_has_waited_in_the_queue_for_a_day_is_settled_all_the_same(on_one_machine) -> None:
    world, _ = on_one_machine
    world.clock.turn(hours=25)
    assert world.sweep()["dead_lettered"] == 1


def test_a_marker_is_looked_at_when_its_age_doubles() -> None:
    looked = [m for m in range(1, 24 * 60) if CLOUD.looks_at(timedelta(minutes=m, seconds=15))]
    assert looked[:10] == [1, 2, 3, 4, 5, 8, 9, 16, 17, 32]
    assert len(looked) < 24 * 60 / 8


@pytest.mark.parametrize("every_minutes", [1, 2, 3, 5, 7, 11, 30])
def test_sweeps_that_come_late_settle_a_forgotten_job_all_the_same(world: World, every_minutes: int) -> None:
    world.accept()
    for _ in range(0, 26 * 60, every_minutes):
        world.clock.turn(minutes=every_minutes)
        world.sweep()
    assert world.job().terminal.error["slug"] == "dead-lettered"
    assert world.names("open/") == []


def test_a_live_claim_is_left_alone(world: World) -> None:
    world.accept()
    seen: list[dict[str, int]] = []

    def sweep_meanwhile() -> None:
        world.clock.turn(seconds=40)
        seen.append(world.sweep())

    world.model.during = sweep_meanwhile
    assert world.deliver() is Outcome.ACK
    assert seen == [{"busy": 1, "open": 1}]
    assert published(world) == 1


def test_a_job_settled_by_a_worker_that_died_right_after_is_finished(world: World) -> None:
    world.accept()
    world.deliver()
    world.store.delete(records.epoch_name(JOB, 0, "announced.json"))
    world.put(records.marker_name(JOB, 0))
    world.clock.turn(seconds=31)
    assert world.sweep()["finished"] == 1
    world.assert_succeeded()


def test_three_silent_claims_are_given_up_without_any_delivery(world: World) -> None:
    world.accept()
    for number in (1, 2, 3):
        world.claim(number)
    world.clock.turn(seconds=61)
    assert world.sweep()["given_up"] == 1
    assert world.job().terminal.error["slug"] == "poison"


def test_a_job_open_for_a_day_is_dead_lettered(world: World) -> None:
    world.accept()
    world.clock.turn(hours=25)
    world.sweep()
    world.clock.turn(hours=25)
    world.sweep()
    job = world.job()
    assert (job.status, job.terminal.error["slug"]) == ("failed", "dead-lettered")
    assert len(world.names("dead/")) == 1
    assert world.names("open/") == []


def test_a_marker_without_a_promise_is_removed_after_an_hour(world: World) -> None:
    """Fault A2: the API died between marker and commit."""
    world.put(records.marker_name(JOB, 0))
    world.clock.turn(minutes=33)
    world.sweep()
    assert world.names("open/") == [records.marker_name(JOB, 0)]
    world.clock.turn(minutes=32)
    world.sweep()
    assert world.names("open/") == []


def test_a_marker_made_young_again_is_not_removed_under_a_late_commit(world: World) -> None:
    """A client comes back with its key an hour later, just as the sweep has found the old marker."""
    world.put(records.marker_name(JOB, 0))
    world.clock.turn(minutes=65)
    (stale,) = world.store.list("open/").objects
    world.accept()
    Sweep(ledger=world.ledger(), monotonic=world.clock.monotonic)._abandoned(stale, JOB, 0)
    assert world.names("open/") == [records.marker_name(JOB, 0)]
    assert world.job().status == "queued"


def test_an_epoch_that_was_never_opened_takes_no_photo_with_it(world: World) -> None:
    """An operator's replay died between marker and commit; the job is promised, and may be replayed yet."""
    (name,) = die(world, 1)
    world.queue.published.clear()
    world.put(records.marker_name(name, 1))
    world.clock.turn(minutes=65)
    world.sweep()
    assert world.names("open/") == []
    drive(world, driver(world).begin(a_plan(world, [name])))
    world.assert_succeeded(name, epoch=1)


def test_no_promise_is_made_long_after_its_marker(world: World) -> None:
    def stall(call: str) -> None:
        if call == f"before store.create open/{'JOB'}.e0":
            world.clock.turn(minutes=6)

    with pytest.raises(StoreUnavailableError):
        world.accept(Process(stall))
    assert world.names("jobs/") == []


def test_one_unreadable_job_does_not_keep_the_sweep_from_others(world: World) -> None:
    world.accept(Process(queue_away))
    world.store.create("jobs/job_broken/accepted.json", b"not json")
    world.store.create("jobs/job_broken/e0/terminal.json", b"not json")
    world.put("open/job_broken.e0")
    world.put("open/not-a-marker")
    world.clock.turn(seconds=31)
    counts = world.sweep()
    assert (counts["crashed"], counts["unknown"], counts["published"]) == (1, 1, 1)


def test_sweeps_that_overlap_record_one_publication(world: World) -> None:
    world.accept(Process(queue_away))
    world.clock.turn(seconds=31)

    def sweep_too(call: str) -> None:
        if call.startswith("before store.create") and "published" in call:
            world.sweep()

    Sweep(ledger=world.ledger(Process(sweep_too)), monotonic=world.clock.monotonic).run()
    assert publications(world) == ["0.json"]
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_a_sweep_stops_at_its_budget_and_the_next_goes_on(world: World) -> None:
    for number in range(5):
        world.accept(Process(queue_away), job_id=f"job_{number}")
    world.clock.turn(seconds=31)
    ticks = iter([0.0, *[51.0] * 5])
    counts = Sweep(ledger=world.ledger(), monotonic=lambda: next(ticks)).run()
    assert counts == {"left": 5, "open": 5}
    assert world.sweep()["published"] == 5


def test_the_sweep_records_who_published(world: World) -> None:
    world.accept(Process(queue_away))
    world.clock.turn(seconds=31)
    world.sweep()
    record = json.loads(world.store.read(f"jobs/{JOB}/e0/published/0.json").data)
    assert record["by"] == "sweep"
