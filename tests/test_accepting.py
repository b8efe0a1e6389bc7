"""Accepting commits at one record: before it nothing was promised, after it nothing is lost."""

from pathlib import Path

import pytest

from shared.errors import (
    IdempotencyKeyReusedError,
    QueueUnavailableError,
    StoreFullError,
    StoreUnavailableError,
)
from tests.beside import ORDERS
from tests.world import JOB, Killed, Process, World, kill_at
from worker.handler import Outcome


@pytest.fixture(params=ORDERS)
def order(request) -> str:
    """How what does not depend on each other is ordered: each promise holds for every order."""
    return request.param


def calls_of_one_accept(tmp: Path, order: str) -> list[str]:
    seen: list[str] = []
    World(tmp, order=order).accept(Process(seen.append))
    return seen


def test_photo_and_marker_are_written_before_the_promise_and_the_message_after_it(
    tmp_path: Path, order: str
) -> None:
    calls = [
        call.split(" ", 1)[1] for call in calls_of_one_accept(tmp_path, order) if call.startswith("before")
    ]
    begun = [c.split(" ")[1].split("/")[0] for c in calls]
    assert sorted(begun[:2]) == ["inputs", "open"]
    assert begun[2:] == ["jobs", "cutout-jobs", "jobs"]


def test_an_api_killed_at_any_moment_has_promised_nothing_or_loses_nothing(
    tmp_path: Path, order: str
) -> None:
    """Faults A1 to A5: kill around each call; then the sweep and one delivery settle what was promised."""
    for moment, call in enumerate(calls_of_one_accept(tmp_path, order)):
        world = World(tmp_path, order=order)
        with pytest.raises(Killed):
            world.accept(Process(kill_at(moment)))
        promised = f"jobs/{JOB}/accepted.json" in world.names()
        for _ in range(12):
            world.clock.turn(minutes=6)
            world.sweep()
        if promised:
            assert world.queue.published, call
            assert world.deliver() is Outcome.ACK
            world.clock.turn(seconds=61)
            world.sweep()
            world.assert_succeeded()
        else:
            assert world.names("jobs/") == world.names("open/") == [], call


def test_a_client_that_comes_back_with_its_key_gets_the_same_job(tmp_path: Path, order: str) -> None:
    """Field report 25: client timeouts times retries."""
    for moment, call in enumerate(calls_of_one_accept(tmp_path, order)):
        world = World(tmp_path, order=order)
        with pytest.raises(Killed):
            world.accept(Process(kill_at(moment)))
        world.clock.turn(seconds=3)
        world.accept()
        assert world.job().status == "queued", call
        assert len([n for n in world.names("jobs/") if n.endswith("accepted.json")]) == 1
        assert world.deliver() is Outcome.ACK
        world.assert_succeeded()


def test_the_same_key_for_another_request_is_refused(tmp_path: Path, order: str) -> None:
    world = World(tmp_path, order=order)
    world.accept()
    with pytest.raises(IdempotencyKeyReusedError):
        world.accept(digest="another")
    assert len(world.names("inputs/")) == 1


def test_a_full_disk_promises_nothing_and_heals(tmp_path: Path, order: str) -> None:
    world = World(tmp_path, order=order)
    for fault in ("inputs", "open", "jobs"):

        def fail(call: str, fault: str = fault) -> None:
            if call.startswith(f"before store.create {fault}"):
                raise StoreFullError("full")

        with pytest.raises(StoreFullError):
            world.accept(Process(fail))
        assert world.names("jobs/") == []
    world.accept()
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_a_queue_that_is_away_costs_the_client_nothing(tmp_path: Path, order: str) -> None:
    def fail(call: str) -> None:
        if call.startswith("before queue"):
            raise QueueUnavailableError("away")

    world = World(tmp_path, order=order)
    world.accept(Process(fail))
    assert world.job().status == "queued"


def test_a_create_whose_answer_was_lost_is_known_as_our_own(tmp_path: Path, order: str) -> None:
    """Fault G3: the adapter tries again and is told that the record exists already."""

    class LosesAnswers:
        def __init__(self, store) -> None:
            self.store, self.lost = store, set()

        def __getattr__(self, name):
            return getattr(self.store, name)

        def create(self, name, data, **kwargs):
            self.store.create(name, data, **kwargs)
            return self.store.create(name, data, **kwargs)

    world = World(tmp_path, order=order)
    real, world.store = world.store, LosesAnswers(world.store)
    world.accept()
    assert world.deliver() is Outcome.ACK
    world.store = real
    world.assert_succeeded()


@pytest.mark.parametrize("failing", ["inputs", "open"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_photo_or_a_marker_alone_promises_nothing(
    tmp_path: Path, order: str, failing: str, when: str
) -> None:
    """They are written side by side; whichever is lost, the other is not taken for both."""
    world = World(tmp_path, order=order)

    def away(call: str) -> None:
        if call.startswith(f"{when} store.create {failing}"):
            raise StoreUnavailableError("away")

    with pytest.raises(StoreUnavailableError):
        world.accept(Process(away))
    assert world.names("jobs/") == []
    assert not world.queue.published
    for _ in range(12):
        world.clock.turn(minutes=6)
        world.sweep()
    assert world.names("open/") == []


@pytest.mark.parametrize("old", [False, True])
def test_a_marker_that_a_client_made_young_again_goes_with_its_job_all_the_same(
    tmp_path: Path, order: str, old: bool
) -> None:
    """The promise tells the marker's generation; a client that came back may have replaced it since."""
    world = World(tmp_path, order=order)
    world.accept()
    world.clock.turn(minutes=6 if old else 1)
    told = world.job().accepted.marker
    now = world.ledger().mark(JOB, 0)
    assert (told != now) is old
    assert world.store.stat(f"open/{JOB}.e0").generation == now
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()
