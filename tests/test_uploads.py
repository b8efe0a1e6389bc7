"""Pictures are stored while the next ones are made; an attempt that ends otherwise leaves none behind."""

import threading
from pathlib import Path

import pytest

from shared.errors import ImageCorruptError, StoreUnavailableError
from tests.beside import ORDERS, Drawn, Threads
from tests.world import JOB, TWO_EFFECTS, Process, World
from worker.errands import Errands
from worker.handler import Outcome

PICTURES = ("color", "enhancedblackwhite", "matte", "preview")
WAIT_S = 10.0


def a_world(tmp_path: Path, order: str) -> World:
    world = World(tmp_path, order=order)
    world.accept(recipe=TWO_EFFECTS)
    return world


@pytest.fixture(params=ORDERS)
def order(request) -> str:
    return request.param


@pytest.fixture
def world(tmp_path: Path, order: str) -> World:
    return a_world(tmp_path, order)


def upload(name: str) -> str:
    return f"store.create results/JOB/e0/1/{name}"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_that_cannot_be_stored_ends_the_attempt_and_takes_the_others_along(
    world: World, picture: str, when: str
) -> None:
    def fail(call: str) -> None:
        if call == f"{when} {upload(picture)}":
            raise StoreUnavailableError("away")

    assert world.deliver(world.services(Process(fail))) is Outcome.REFUSE
    assert world.names("results/") == []
    assert world.ends_of_claims() == ["storage"]
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_a_picture_that_lands_after_another_has_failed_is_deleted_too(tmp_path: Path) -> None:
    world, has_failed = a_world(tmp_path, "threads"), threading.Event()

    def fail_one_and_hold_the_other(call: str) -> None:
        if call == f"before {upload('color')}":
            assert has_failed.wait(WAIT_S)
        if call == f"before {upload('matte')}":
            has_failed.set()
            raise StoreUnavailableError("away")

    assert world.deliver(world.services(Process(fail_one_and_hold_the_other))) is Outcome.REFUSE
    assert world.names("results/") == []


def test_the_next_picture_is_made_while_one_is_on_its_way(tmp_path: Path) -> None:
    world, next_is_there, waits = a_world(tmp_path, "threads"), threading.Event(), []

    def hold_the_first(call: str) -> None:
        if call == f"before {upload('color')}":
            waits.append(next_is_there.wait(WAIT_S))
        if call == f"before {upload('enhancedblackwhite')}":
            next_is_there.set()

    assert world.deliver(world.services(Process(hold_the_first))) is Outcome.ACK
    assert waits == [True]
    world.assert_succeeded()


def test_a_worker_that_is_stopped_while_pictures_are_on_their_way_leaves_none(world: World) -> None:
    stopping: list[str] = []

    def stop(call: str) -> None:
        if call.startswith("before store.create results/"):
            stopping.append(call)

    services = world.services(Process(stop), is_stopping=lambda: bool(stopping))
    assert world.deliver(services) is Outcome.REFUSE
    assert world.ends_of_claims() == ["shutdown"]
    assert world.names("results/") == []


def test_an_attempt_that_runs_out_of_time_while_its_pictures_are_on_their_way_leaves_none(
    world: World,
) -> None:
    def stall(call: str) -> None:
        if call == f"after {upload('preview')}":
            world.clock.turn(seconds=481)

    assert world.deliver(world.services(Process(stall))) is Outcome.REFUSE
    assert world.ends_of_claims() == ["timeout"]
    assert world.names("results/") == []


def test_an_attempt_that_learns_between_stages_that_the_job_was_cancelled_goes_no_further(
    world: World, order: str
) -> None:
    calls: list[str] = []

    def cancel() -> None:
        world.cancel()
        world.clock.turn(seconds=11)

    world.model.during = cancel
    assert world.deliver(world.services(Process(calls.append))) is Outcome.ACK
    assert world.job().status == "cancelled"
    assert not any("create jobs/JOB/e0/terminal.json" in call for call in calls)
    if order == "early":  # the answer to its question was there at once
        assert not any("create results/" in call for call in calls)
    assert world.names("results/") == world.names("open/") == []


def test_a_failed_job_keeps_no_picture_though_storage_refused_to_delete_one(world: World) -> None:
    refused: list[str] = []

    def fail(call: str) -> None:
        if call == f"before {upload('preview')}":
            raise ImageCorruptError("broken")
        if call.startswith("before store.delete results/") and not refused:
            refused.append(call)
            raise StoreUnavailableError("away")

    assert world.deliver(world.services(Process(fail))) is Outcome.ACK
    assert refused
    assert world.job().terminal.error["slug"] == "image-corrupt"
    assert world.names("results/") == world.names("open/") == []


def test_a_promise_that_cannot_be_read_gives_the_claim_back_and_never_counts(world: World) -> None:
    def fail(call: str) -> None:
        if call == "before store.read jobs/JOB/accepted.json":
            raise StoreUnavailableError("away")

    for _ in range(5):
        assert world.deliver(world.services(Process(fail))) is Outcome.REFUSE
    assert world.ends_of_claims() == ["storage"] * 5
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_a_claim_that_is_lost_to_another_leaves_its_promise_alone(world: World) -> None:
    def be_faster(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/claims/1.json":
            world.claim(1)

    assert world.deliver(world.services(Process(be_faster))) is Outcome.REFUSE
    assert world.names(f"jobs/{JOB}/e0/claims/") == [f"jobs/{JOB}/e0/claims/1.json"]


@pytest.mark.parametrize(
    ("sizes", "at_once"),
    [
        ([1] * 10, 5),
        ([8_000_000] * 10, 4),
        ([10_000_000] * 10, 3),
        ([20_000_000] * 3, 1),
        ([40_000_000] * 3, 1),
        ([1, 40_000_000, 1], 1),
    ],
)
def test_pictures_on_their_way_are_bounded_by_number_and_by_bytes(sizes: list[int], at_once: int) -> None:
    """Field report 15: memory has a budget."""
    late, done, under_way = Drawn(), [], []
    errands = Errands(late)
    for size in sizes:
        errands.start(lambda size=size: done.append(size), holds_bytes=size)
        under_way.append(len(late.started))
    errands.finish()
    assert max(under_way) == at_once
    assert done == sizes


def test_an_error_surfaces_at_the_next_errand() -> None:
    threads = Threads()
    errands = Errands(threads)
    errands.start(lambda: 1 / 0)
    threads.die()
    with pytest.raises(ZeroDivisionError):
        errands.start(lambda: None)
    errands.finish()


def test_errands_that_are_abandoned_have_ended_whatever_they_raise() -> None:
    late = Drawn()
    errands = Errands(late)
    for number in (1, 0, 2):
        errands.start(lambda number=number: 1 / number)
    errands.abandon()
    late.join()
    errands.finish()
