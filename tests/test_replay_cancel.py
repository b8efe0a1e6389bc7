"""A cancel opens no job of a replay, wherever in a batch it comes, and what is counted is what was opened."""

import contextlib
from datetime import timedelta
from pathlib import Path

import pytest

from shared import replay_batches, replays
from shared.replay_progress import View
from tests.dead import a_plan, die, drive, driver, job_name, opened, push_all
from tests.world import Killed, Process, World, kill_at, once_at

JOBS = 5
NAMES = [job_name(number) for number in range(JOBS)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(autouse=True)
def _one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_batches, "_AT_ONCE", 1)


def planned(world: World) -> replays.Plan:
    """A replay of a few jobs in one batch, and as many behind them."""
    names = die(world, *range(2 * JOBS))
    world.queue.published.clear()
    return driver(world).begin(a_plan(world, names, canary=0, rate_per_s=float(JOBS)))


def advance(world: World, plan: replays.Plan, spy=lambda _call: None) -> None:
    driver(world, ledger=world.ledger(Process(spy))).advance(plan.id)


def die_at(world: World, plan: replays.Plan, call: str) -> None:
    def spy(seen: str) -> None:
        if seen == call:
            raise Killed

    with pytest.raises(Killed):
        advance(world, plan, spy)


def require_true(world: World, plan: replays.Plan) -> View:
    """What is told is what the jobs' records say."""
    view = driver(world).look(plan.id)
    tally = view.tally
    assert tally.opened == len(opened(world)) == tally.settled + len(tally.pending)
    assert tally.opened + sum(tally.skipped.values()) == view.progress.position
    assert set(tally.skipped) <= {"replay cancelled"}
    return view


def require_seen_to(world: World, plan: replays.Plan) -> None:
    """Every job that was opened is published, ends, and is no open dead letter."""
    for pause_s in (61, 61, 61, 3700):  # a marker without its epoch is kept for an hour
        world.clock.turn(seconds=pause_s)
        driver(world, "sweep").drive_all(timedelta(0), world.clock.monotonic)
        world.sweep()
        push_all(world)
    assert world.names("open/") == world.names("replaying/") == []
    for name in opened(world):
        assert (world.job(name).epoch, world.job(name).status) == (1, "succeeded"), name
        assert world.names(f"jobs/{name}/e1/published/"), name
        assert world.names(f"dead/2026-01-01/{name}.e0.replayed.json"), name
    assert require_true(world, plan).tally.succeeded == len(opened(world))


DEATHS = {
    "before the first job is opened": ("before store.create open/{first}.e1", 0),
    "while one is opened": (f"after store.create jobs/{NAMES[2]}/e1/opened.json", 3),
    "after the last was opened": ("before store.create {done}", JOBS),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_cancel_opens_nothing_of_a_batch_whose_driver_has_died(world: World, death: str) -> None:
    plan, (call, count) = planned(world), DEATHS[death]
    die_at(world, plan, call.format(first=NAMES[0], done=replays.step_name(plan.id, 0, "done.json")))
    assert len(opened(world)) == count
    view = driver(world).cancel(plan.id, "bob", "stop")
    assert opened(world) == NAMES[:count]
    left = {"replay cancelled": JOBS - count} if count < JOBS else {}
    assert (view.status, view.tally.opened, view.tally.skipped) == ("cancelled", count, left)
    assert (view.progress.position, len(view.tally.pending)) == (JOBS, count)
    require_seen_to(world, plan)
    assert opened(world) == NAMES[:count]


def test_a_cancelled_replays_jobs_are_open_dead_letters_of_another(world: World) -> None:
    plan = planned(world)
    die_at(world, plan, f"before store.create open/{NAMES[2]}.e1")
    driver(world).cancel(plan.id, "bob", "stop")
    other = a_plan(world, NAMES, id="replay_20260101000000ffff", canary=0)
    view = drive(world, driver(world).begin(other))
    assert (view.tally.opened, view.tally.skipped) == (3, {"replayed already": 2})


def calls_of_a_batch(tmp_path: Path) -> list[str]:
    world, seen = World(tmp_path), []
    advance(world, planned(world), seen.append)
    return seen


def test_a_driver_that_is_in_the_middle_of_a_batch_opens_no_further_job_once_it_is_cancelled(
    tmp_path: Path,
) -> None:
    moments = range(len(calls_of_a_batch(tmp_path)))
    for moment in moments:
        world = World(tmp_path)
        plan, before = planned(world), []

        def cancel(world=world, plan=plan, before=before) -> None:
            assert driver(world).cancel(plan.id, "bob", "stop").status == "cancelled"
            before.extend(opened(world))
            require_true(world, plan)

        advance(world, plan, once_at(moment, cancel))
        assert len(opened(world)) <= len(before) + 1, "the one that it was about to open"
        require_true(world, plan)
        require_seen_to(world, plan)


def test_a_driver_that_is_cancelled_and_dies_leaves_nothing_undone(tmp_path: Path) -> None:
    calls = calls_of_a_batch(tmp_path)
    middle = calls.index(f"after store.create jobs/{NAMES[2]}/e1/opened.json")
    for moment in range(middle - 6, middle + 10):
        world = World(tmp_path)
        plan, die = planned(world), kill_at(moment)

        def cancel_then_die(call: str, world=world, plan=plan, die=die) -> None:
            if call == f"before store.create open/{NAMES[2]}.e1":  # it has just looked whether it may
                driver(world).cancel(plan.id, "bob", "stop")
            die(call)

        with contextlib.suppress(Killed):
            advance(world, plan, cancel_then_die)
        if driver(world).look(plan.id).status == "running":
            driver(world).cancel(plan.id, "bob", "stop")
        require_seen_to(world, plan)


def test_of_two_drivers_of_a_batch_the_one_that_is_late_is_counted_too(world: World) -> None:
    plan = planned(world)
    at_it: list[str] = []

    def cancel(call: str) -> None:
        if call == f"before store.list jobs/{NAMES[2]}/":
            driver(world).cancel(plan.id, "bob", "stop")

    def be_late(call: str) -> None:
        if call == f"before store.create open/{NAMES[2]}.e1":
            at_it.append(call)
            world.clock.turn(seconds=61)
            advance(world, plan, cancel)  # does the batch again, and is cancelled where this one stands

    advance(world, plan, be_late)
    assert at_it
    assert opened(world) == NAMES[:3]
    assert require_true(world, plan).tally.opened == 3
    require_seen_to(world, plan)


def left_in_the_middle(tmp_path: Path) -> tuple[World, replays.Plan]:
    world = World(tmp_path)
    plan = planned(world)
    die_at(world, plan, f"after store.create jobs/{NAMES[2]}/e1/opened.json")
    return world, plan


def test_whoever_dies_while_cancelling_leaves_a_cancelled_replay_that_a_sweep_sees_to(tmp_path: Path) -> None:
    seen: list[str] = []
    world, plan = left_in_the_middle(tmp_path)
    driver(world, ledger=world.ledger(Process(seen.append))).cancel(plan.id, "bob", "stop")
    for moment, call in enumerate(seen):
        world, plan = left_in_the_middle(tmp_path)
        with pytest.raises(Killed):
            driver(world, ledger=world.ledger(Process(kill_at(moment)))).cancel(plan.id, "bob", "stop")
        if driver(world).look(plan.id).status == "running":
            driver(world).cancel(plan.id, "bob", "stop")
        require_seen_to(world, plan)
        assert opened(world) == NAMES[:3], call
