"""The canary passes on jobs that prove something, which one that its client cancels does not."""

from pathlib import Path

import pytest

from shared.errors import ImageCorruptError
from shared.replay_progress import View
from shared.replays import Plan
from tests.dead import a_plan, cancel, die, drive, driver, fail, opened
from tests.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def begun(world: World, count: int, **terms) -> tuple[Plan, list[str]]:
    """A replay whose canary of three is open."""
    names = die(world, *range(count))
    world.queue.published.clear()
    plan = driver(world).begin(a_plan(world, names, **{"canary": 3, "rate_per_s": 100.0} | terms))
    driver(world).advance(plan.id)
    assert opened(world) == names[:3]
    return plan, names


def go_on(world: World, plan: Plan) -> View:
    for _ in range(10):
        view = driver(world).advance(plan.id)
        world.clock.turn(seconds=30)
    return view


def test_of_a_canary_that_is_cancelled_other_jobs_take_the_place(world: World) -> None:
    plan, names = begun(world, 20)
    for name in names[:3]:
        cancel(world, name, 1)
    view = go_on(world, plan)
    assert opened(world) == names[:6], "three more, and these are waited for"
    assert (view.tally.other, view.tally.unproven, len(view.tally.pending)) == (3, 3, 3)
    for name in names[3:6]:
        fail(world, name, 1)
    view = drive(world, plan)
    assert (view.status, view.tally.failed, opened(world)) == ("stopped", 3, names[:6])
    assert view.document()["ended"]["reason"] == "3 of 3 failed again, more than 20%"


def test_one_of_a_canary_that_is_cancelled_is_made_up_for_while_the_others_are_at_work(world: World) -> None:
    plan, names = begun(world, 20)
    cancel(world, names[1], 1)
    go_on(world, plan)
    assert opened(world) == names[:4]
    for name in (names[0], names[2]):
        world.deliver(job_id=name, epoch=1)
    go_on(world, plan)
    assert opened(world) == names[:4], "the one that took its place is waited for as well"
    world.deliver(job_id=names[3], epoch=1)
    go_on(world, plan)
    assert opened(world) == names


def test_a_photo_that_is_at_fault_itself_is_an_answer_of_the_canary(world: World) -> None:
    plan, names = begun(world, 6)
    for name in names[:3]:
        fail(world, name, 1, error=ImageCorruptError)
    view = go_on(world, plan)
    assert (view.tally.other, view.tally.unproven) == (3, 0)
    assert opened(world) == names


def test_jobs_that_are_cancelled_do_not_thin_out_those_that_fail_again(world: World) -> None:
    plan, names = begun(world, 10, canary=3)
    for name in names[:3]:
        world.deliver(job_id=name, epoch=1)
    go_on(world, plan)
    fail(world, names[3], 1)
    for name in names[4:]:
        cancel(world, name, 1)
    view = driver(world).look(plan.id)
    assert (view.tally.failed, view.tally.answered, view.is_over_limit) == (1, 4, True)


def test_a_replay_whose_jobs_are_all_cancelled_comes_to_its_end(world: World) -> None:
    plan, names = begun(world, 5)
    for _ in range(3):
        for name in opened(world):
            if world.job(name).terminal is None:
                cancel(world, name, 1)
        view = go_on(world, plan)
    assert (view.status, view.tally.other, opened(world)) == ("done", 5, names)
