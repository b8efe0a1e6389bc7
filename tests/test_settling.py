"""Settling has one outcome, whoever does it and however often; erasing deletes bytes and keeps the story."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared import settling
from shared.errors import DeadLetteredError, JobNotSettledError, StoreUnavailableError
from shared.jobs import Claim
from shared.pace import CLOUD
from shared.records import Terminal
from tests.beside import ORDERS
from tests.world import JOB, Killed, Process, World, kill_at
from worker.handler import Outcome


@pytest.fixture(params=ORDERS)
def order(request) -> str:
    """How what does not depend on each other is ordered: each promise holds for every order."""
    return request.param


@pytest.fixture
def world(tmp_path: Path, order: str) -> World:
    world = World(tmp_path, order=order)
    world.accept()
    return world


def fail(world: World, process: Process | None = None) -> Terminal:
    ledger = world.ledger(process)
    terminal = settling.failed(DeadLetteredError("gone"), ledger, by="test")
    return settling.settle(ledger, JOB, 0, terminal)


def test_the_first_to_settle_wins_and_everyone_hears_the_same(world: World) -> None:
    world.cancel()
    assert fail(world).status == "cancelled"
    assert world.job().status == "cancelled"
    assert world.names("dead/") == []


def test_a_cancel_that_comes_too_late_changes_nothing(world: World) -> None:
    world.deliver()
    assert world.cancel().status == "succeeded"
    world.assert_succeeded()


def test_a_failure_of_ours_is_indexed_by_the_day_it_happened(world: World) -> None:
    fail(world)
    world.clock.turn(days=3)
    fail(world)
    assert world.names("dead/") == [f"dead/2026-01-01/{JOB}.e0.json"]


def test_whoever_dies_while_settling_the_sweep_finishes(tmp_path: Path, order: str) -> None:
    seen: list[str] = []
    world = World(tmp_path, order=order)
    world.accept()
    fail(world, Process(seen.append))
    for moment, call in enumerate(seen):
        world = World(tmp_path, order=order)
        world.accept()
        with pytest.raises(Killed):
            fail(world, Process(kill_at(moment)))
        for _ in range(400):
            world.clock.turn(minutes=4)
            world.sweep()
        assert world.job().status == "failed", call
        assert world.names("open/") == [], call
        assert len(world.names("dead/")) == 1, call
        assert world.job().worked.announced, call


def test_the_epoch_and_status_never_go_backwards(world: World) -> None:
    seen = [(world.job().epoch, world.job().status)]
    world.model.during = lambda: seen.append((world.job().epoch, world.job().status))
    world.deliver()
    seen.append((world.job().epoch, world.job().status))
    assert seen == [(0, "queued"), (0, "processing"), (0, "succeeded")]


def test_an_open_job_cannot_be_erased(world: World) -> None:
    with pytest.raises(JobNotSettledError):
        settling.erase(world.ledger(), JOB, kind="erasure", by="client")
    assert world.names("inputs/")


def test_erasing_deletes_every_picture_and_keeps_the_records(world: World) -> None:
    """Field report 22, 32: expiry is stated, and nothing of the customer's stays."""
    world.deliver()
    settling.erase(world.ledger(), JOB, kind="erasure", by="client")
    assert world.names("inputs/") == world.names("results/") == world.names("open/") == []
    job = world.job()
    assert (job.status, job.epoch, job.is_closed) == ("succeeded", 1, True)
    before = world.names()
    settling.erase(world.ledger(), JOB, kind="erasure", by="client")
    assert world.names() == before
    assert world.deliver() is Outcome.ACK
    assert world.deliver(epoch=1) is Outcome.ACK
    assert world.names() == before


def test_an_erasure_asked_for_again_deletes_what_the_first_left(world: World) -> None:
    world.deliver()
    erase = settling.erase

    def fail(call: str) -> None:
        if call.startswith("before store.delete"):
            raise StoreUnavailableError("away")

    with pytest.raises(StoreUnavailableError):
        erase(world.ledger(Process(fail)), JOB, kind="erasure", by="client")
    assert world.names("results/")
    world.store.delete(f"open/{JOB}.e1")
    erase(world.ledger(), JOB, kind="erasure", by="client")
    assert world.names("inputs/") == world.names("results/") == []


def test_two_erasures_at_once_are_one(world: World) -> None:
    world.deliver()

    def erase_too(call: str) -> None:
        if call == "before store.create open/JOB.e1":
            settling.erase(world.ledger(), JOB, kind="erasure", by="another")

    settling.erase(world.ledger(Process(erase_too)), JOB, kind="erasure", by="client")
    assert world.names("inputs/") == world.names("results/") == world.names("open/") == []
    assert world.job().epoch == 1


def test_a_frozen_attempt_that_settles_first_clears_away_the_pictures_of_a_later_one(world: World) -> None:
    def die_before_settling(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/terminal.json":
            raise Killed

    def freeze(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/terminal.json":
            world.clock.turn(seconds=61)
            with pytest.raises(Killed):
                world.deliver(world.services(Process(die_before_settling)))

    assert world.deliver(world.services(Process(freeze))) is Outcome.ACK
    assert world.job().terminal.attempt == 1
    world.assert_succeeded()


def test_an_erasure_that_died_midway_is_finished_by_the_sweep(tmp_path: Path, order: str) -> None:
    seen: list[str] = []
    world = World(tmp_path, order=order)
    world.accept()
    world.deliver()
    settling.erase(world.ledger(Process(seen.append)), JOB, kind="erasure", by="client")
    for moment, call in enumerate(seen):
        world = World(tmp_path, order=order)
        world.accept()
        world.deliver()
        with pytest.raises(Killed):
            settling.erase(world.ledger(Process(kill_at(moment))), JOB, kind="erasure", by="client")
        for _ in range(40):
            world.clock.turn(minutes=4)
            world.sweep()
        assert world.names("open/") == [], call
        if world.job().is_closed:
            assert world.names("inputs/") == world.names("results/") == [], call
        else:
            world.assert_succeeded()


@pytest.mark.parametrize(
    ("number", "seconds", "is_sure"),
    [(1, 0, True), (1, 29.9, True), (1, 30, False), (1, 61, False), (1, -0.1, False), (2, 1, False)],
)
def test_an_attempt_is_sure_to_have_been_alone_only_while_nobody_can_have_taken_it_for_dead(
    number: int, seconds: float, is_sure: bool
) -> None:
    claimed = datetime(2026, 1, 1, tzinfo=UTC)
    claim = Claim(job_id=JOB, epoch=0, number=number, created=claimed)
    assert claim.was_alone(claimed + timedelta(seconds=seconds), CLOUD) is is_sure


@pytest.mark.parametrize(
    ("status", "is_claimed", "is_ours", "has_losers"),
    [
        ("succeeded", True, True, False),
        ("succeeded", True, False, True),
        ("succeeded", False, True, True),
        ("failed", True, True, True),
        ("cancelled", True, True, True),
    ],
)
def test_losers_are_looked_for_unless_the_only_attempt_has_just_settled_as_a_success(
    status: str, is_claimed: bool, is_ours: bool, has_losers: bool
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    claim = Claim(job_id=JOB, epoch=0, number=1, created=now) if is_claimed else None
    known = settling.Known(claim=claim, settled=now if is_ours else None)
    assert known.has_losers(Terminal(status=status, at=now, settled_by="test"), CLOUD) is has_losers


def test_a_claim_of_which_the_store_has_told_no_time_is_sure_of_nothing() -> None:
    claim = Claim(job_id=JOB, epoch=0, number=1)
    assert not claim.was_alone(datetime(2026, 1, 1, tzinfo=UTC), CLOUD)


@pytest.mark.parametrize("failing", ["store.list results/", "store.create jobs/JOB/e0/announced.json"])
def test_a_chore_that_fails_beside_another_leaves_the_marker_for_the_sweep(
    world: World, failing: str
) -> None:
    def away(call: str) -> None:
        if call.startswith(f"before {failing}"):
            raise StoreUnavailableError("away")

    with pytest.raises(StoreUnavailableError):
        fail(world, Process(away))
    assert world.names("open/") == [f"open/{JOB}.e0"]
    world.clock.turn(seconds=61)
    world.sweep()
    assert world.names("open/") == []
    assert world.job().worked.announced


def test_pictures_of_a_cancelled_job_go_although_an_outage_kept_their_worker_from_it(world: World) -> None:
    """Its delivery comes again, and finds the job settled and announced."""
    world.model.during = world.cancel

    def away(call: str) -> None:
        if call.startswith("before store.read jobs/JOB/e0/terminal.json"):
            raise StoreUnavailableError("away")

    assert world.deliver(world.services(Process(away))) is Outcome.REFUSE
    assert len(world.names("results/")) == 3
    assert world.deliver() is Outcome.ACK
    assert world.names("results/") == []
    assert world.job().status == "cancelled"


@pytest.mark.parametrize(("age_s", "waits_s"), [(0, 1), (0.4, 0.6), (1, 0), (3600, 0), (-3600, 1)])
def test_who_lets_an_object_rest_never_waits_for_longer_than_that(
    world: World, age_s: float, waits_s: float
) -> None:
    """An age below zero is one of a store whose clock was set back, as a host's may be between two boots."""
    began, changed = world.clock(), world.clock() - timedelta(seconds=age_s)
    world.ledger().rest(changed, began)
    assert (world.clock() - began).total_seconds() == pytest.approx(waits_s)
