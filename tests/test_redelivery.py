"""A job survives being delivered more than once, late, or to a dying worker."""

import threading
from pathlib import Path

import pytest

from tests.beside import MANY_ORDERS, ORDERS
from tests.world import JOB, TWO_EFFECTS, Killed, Process, World, kill_at
from worker.handler import Outcome

#: More throws of the dice show what the others do.
MORE_THROWS = [
    pytest.param(order, marks=pytest.mark.exhaustive) for order in MANY_ORDERS if order not in ORDERS
]


def calls_of_one_run(tmp: Path, order: str) -> list[str]:
    seen: list[str] = []
    world = World(tmp, order=order)
    world.accept(recipe=TWO_EFFECTS)
    world.deliver(world.services(Process(seen.append)))
    return seen


@pytest.fixture(params=ORDERS)
def order(request) -> str:
    """How what does not depend on each other is ordered: each promise holds for every order."""
    return request.param


@pytest.fixture
def world(tmp_path: Path, order: str) -> World:
    world = World(tmp_path, order=order)
    world.accept(recipe=TWO_EFFECTS)
    return world


def test_a_delivery_settles_the_job_and_owes_nothing(world: World) -> None:
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_a_second_delivery_changes_nothing_and_needs_no_model(world: World) -> None:
    """Field report 24: retry started a second GPU job."""
    world.deliver()
    before = {name: world.store.stat(name).generation for name in world.names()}
    calls = world.model.calls
    assert world.deliver() is Outcome.ACK
    assert {name: world.store.stat(name).generation for name in world.names()} == before
    assert world.model.calls == calls


@pytest.mark.parametrize("order", [*ORDERS, *MORE_THROWS])
def test_a_worker_killed_at_any_moment_is_made_good_by_redelivery(tmp_path: Path, order: str) -> None:
    """Kill the worker around each port call in turn; when its claim is dead the next delivery finishes."""
    calls = calls_of_one_run(tmp_path, order)
    assert len(calls) == 22, "the worker must be seen to call its ports"
    for moment, call in enumerate(calls):
        world = World(tmp_path, order=order)
        world.accept(recipe=TWO_EFFECTS)
        with pytest.raises(Killed):
            world.deliver(world.services(Process(kill_at(moment))))
        world.clock.turn(seconds=61)
        assert world.deliver() is Outcome.ACK, call
        world.clock.turn(seconds=61)
        world.sweep()
        world.assert_succeeded()
        assert world.job().terminal.attempt <= 2, call


def test_a_worker_killed_twice_at_the_same_call_is_made_good(tmp_path: Path, order: str) -> None:
    for moment, call in enumerate(calls_of_one_run(tmp_path, order)):
        world = World(tmp_path, order=order)
        world.accept(recipe=TWO_EFFECTS)
        for _ in range(2):
            try:
                world.deliver(world.services(Process(kill_at(moment))))
            except Killed:
                world.clock.turn(seconds=61)
        assert world.deliver() is Outcome.ACK, call
        world.clock.turn(seconds=61)
        world.sweep()
        world.assert_succeeded()


def test_a_job_under_a_live_claim_is_left_to_its_holder(world: World) -> None:
    outcomes: list[Outcome] = []
    world.model.during = lambda: outcomes.append(world.deliver())
    assert world.deliver() is Outcome.ACK
    assert outcomes == [Outcome.REFUSE]
    assert world.model.calls == 1
    world.assert_succeeded()


def test_of_many_deliveries_at_once_one_works(world: World) -> None:
    """Fault D1: 32 duplicates at once."""
    start = threading.Barrier(32)
    outcomes: list[Outcome] = []

    def deliver() -> None:
        start.wait()
        outcomes.append(world.deliver())

    threads = [threading.Thread(target=deliver) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.model.calls == 1
    assert outcomes.count(Outcome.ACK) >= 1
    assert len(outcomes) == 32
    world.assert_succeeded()


def test_a_message_of_an_epoch_that_does_not_exist_resurrects_nothing(world: World) -> None:
    """Fault D3: a week-old or invented message."""
    names = world.names()
    assert world.deliver(epoch=3) is Outcome.ACK
    assert world.deliver(job_id="job_unknown") is Outcome.ACK
    assert world.names() == names


def test_a_zombie_loses_the_race_and_deletes_what_it_wrote(world: World) -> None:
    """Fault D4, D5: an attempt that was taken for dead comes back after another has settled."""

    def another_settles(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/terminal.json":
            world.clock.turn(seconds=61)
            assert world.deliver() is Outcome.ACK

    assert world.deliver(world.services(Process(another_settles))) is Outcome.ACK
    assert world.model.calls == 2
    world.assert_succeeded()
    assert world.job().terminal.attempt == 2


def test_a_zombie_that_was_cancelled_stops_between_stages(world: World) -> None:
    def cancel() -> None:
        world.cancel()
        world.clock.turn(seconds=2)

    world.model.during = cancel
    assert world.deliver() is Outcome.ACK
    assert world.job().status == "cancelled"
    assert world.names("results/") == []
    assert world.names("open/") == []


def test_a_settled_job_is_acknowledged_after_one_look(world: World) -> None:
    """Fault D2: a redelivery after done costs one listing."""
    world.deliver()
    calls: list[str] = []
    assert world.deliver(world.services(Process(calls.append))) is Outcome.ACK
    assert calls == ["before store.list jobs/JOB/", "after store.list jobs/JOB/"]


def test_what_a_worker_that_died_while_settling_still_owed_is_done_by_the_next_delivery(world: World) -> None:
    """Fault W7: killed after the terminal record, before the answer."""

    def kill(call: str) -> None:
        if call == "after store.create jobs/JOB/e0/terminal.json":
            raise Killed

    with pytest.raises(Killed):
        world.deliver(world.services(Process(kill)))
    assert world.deliver() is Outcome.ACK
    assert world.model.calls == 1
    world.assert_succeeded()


def test_a_cancel_in_the_last_moment_wins_and_leaves_no_picture(world: World) -> None:
    def cancel(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/terminal.json":
            world.cancel()

    assert world.deliver(world.services(Process(cancel))) is Outcome.ACK
    assert world.job().status == "cancelled"
    assert world.names("results/") == []


def test_a_settled_claim_stops_beating(world: World) -> None:
    world.deliver()
    (pulse,) = world.pulses
    assert pulse.is_concluded


def test_records_of_an_epoch_that_was_never_opened_open_nothing(world: World) -> None:
    world.deliver()
    world.put(f"jobs/{JOB}/e1/published/0.json")
    assert world.deliver(epoch=1) is Outcome.ACK
    assert world.model.calls == 1
    assert (world.job().epoch, world.job().status) == (0, "succeeded")


def test_a_claim_has_one_winner(world: World) -> None:
    standing = world.ledger().look(JOB, 0)
    ledger = world.ledger()
    first = ledger.claim(standing, {"worker": "a"})
    assert first.number == 1
    with pytest.raises(Exception, match="claimed"):
        ledger.claim(standing, {"worker": "b"})
