"""A replay opens each failed job once, at its rate, canary first, whoever drives it and whoever dies."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from shared import dead_letters, replays, settling
from shared.errors import (
    ImageCorruptError,
    InternalError,
    ReplayEndedError,
    ReplayNotFoundError,
    StoreUnavailableError,
)
from shared.pace import ONE_MACHINE
from shared.replay_progress import MAX_PENDING
from shared.replaying import Driver
from tests.dead import a_plan, die, drive, driver, fail, job_name, opened, push_all
from tests.world import Killed, Process, World, kill_at
from worker.handler import Outcome


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_replayed_job_succeeds_under_its_id_in_the_next_epoch(world: World) -> None:
    (name,) = die(world, 1)
    world.queue.published.clear()
    plan = driver(world).begin(a_plan(world, [name]))
    assert opened(world) == [], "a plan alone replays nothing"
    view = drive(world, plan)
    assert (view.status, view.tally.succeeded) == ("done", 1)
    world.assert_succeeded(name, epoch=1)
    job = world.job(name)
    assert (job.id, job.epoch, job.status) == (name, 1, "succeeded")
    assert world.ledger().terminal(name, 0).error["slug"] == "dead-lettered", (
        "the first answer stays on record"
    )
    assert world.names("replaying/") == []


def test_status_never_goes_backwards_over_a_replay(world: World) -> None:
    (name,) = die(world, 1)
    seen = [(0, "failed")]

    def look(_call: str = "") -> None:
        job = world.job(name)
        seen.append((job.epoch, job.status))

    plan = driver(world).begin(a_plan(world, [name]))
    driver(world, ledger=world.ledger(Process(look))).advance(plan.id)
    world.model.during = look
    drive(world, plan)
    look()
    order = [(0, "failed"), (1, "queued"), (1, "processing"), (1, "succeeded")]
    assert sorted(set(seen), key=seen.index) == order
    assert [order.index(state) for state in seen] == sorted(order.index(state) for state in seen)


def test_messages_of_the_first_epoch_that_come_late_change_nothing(world: World) -> None:
    (name,) = die(world, 1)
    plan = driver(world).begin(a_plan(world, [name]))
    driver(world).advance(plan.id)
    calls = world.model.calls
    assert world.deliver(job_id=name, epoch=0) is Outcome.ACK
    assert world.model.calls == calls
    assert world.job(name).status == "queued"


def test_the_canary_is_waited_for(world: World) -> None:
    names = die(world, *range(10))
    plan = driver(world).begin(a_plan(world, names, canary=3, rate_per_s=100.0))
    for _ in range(20):
        driver(world).advance(plan.id)
        world.clock.turn(seconds=30)
    assert opened(world) == names[:3]
    world.queue.published.clear()
    for name in names[:3]:
        driver(world).advance(plan.id)
        assert opened(world) == names[:3], "all of it"
        assert world.deliver(job_id=name, epoch=1) is Outcome.ACK
    driver(world).advance(plan.id)
    assert opened(world) == names


def test_a_canary_that_fails_stops_the_replay(world: World) -> None:
    names = die(world, *range(10))
    plan = driver(world).begin(a_plan(world, names, canary=3))
    driver(world).advance(plan.id)
    for name in opened(world):
        fail(world, name, 1)
    view = drive(world, plan)
    assert (view.status, view.tally.failed, len(opened(world))) == ("stopped", 3, 3)
    assert view.document()["ended"]["reason"] == "3 of 3 failed again, more than 20%"


def test_a_job_that_is_skipped_is_no_part_of_the_canary(world: World) -> None:
    names = die(world, *range(12))
    gone = names[:5]
    for name in gone:
        settling.erase(world.ledger(), name, kind="erasure", by="client")
    plan = driver(world).begin(a_plan(world, names, canary=3, rate_per_s=100.0))
    for _ in range(20):
        driver(world).advance(plan.id)
        world.clock.turn(seconds=30)
    assert opened(world) == [*gone, *names[5:8]], "an erasure is an epoch too"
    for name in names[5:8]:
        fail(world, name, 1)
    view = drive(world, plan)
    assert (view.status, view.tally.failed, len(opened(world))) == ("stopped", 3, 8)


def test_of_two_replays_of_the_same_jobs_each_waits_for_a_canary_of_its_own(world: World) -> None:
    names = die(world, *range(12))
    terms = {"canary": 3, "rate_per_s": 100.0}
    first = driver(world).begin(a_plan(world, names, **terms))
    second = driver(world).begin(a_plan(world, names, id="replay_20260101000000ffff", **terms))
    for _ in range(20):
        driver(world).advance(first.id)
        driver(world).advance(second.id)
        world.clock.turn(seconds=30)
    assert opened(world) == names[:6]


def test_fewer_jobs_than_the_canary_are_all_tried_and_judged(world: World) -> None:
    names = die(world, *range(4))
    settling.erase(world.ledger(), names[0], kind="erasure", by="client")
    plan = driver(world).begin(a_plan(world, names, canary=4, rate_per_s=1.0))
    for _ in range(4):
        driver(world).advance(plan.id)
        world.clock.turn(seconds=1)
    assert opened(world) == names
    for name in names[1:]:
        fail(world, name, 1)
    view = drive(world, plan)
    assert (view.status, view.tally.failed, view.tally.skipped) == ("stopped", 3, {"erased": 1})


def test_what_was_resolved_meanwhile_is_left_alone_unless_it_was_named(world: World) -> None:
    refunded, meant = die(world, 1, 2)
    plan = driver(world).begin(a_plan(world, [refunded, meant]))
    named = a_plan(world, [refunded], id="replay_20260101000000ffff", filters={"jobs": [refunded]})
    assert dead_letters.resolve(world.store, world.job(refunded), {"by": "ada", "reason": "refunded"})
    world.queue.published.clear()
    view = drive(world, plan)
    assert (view.tally.succeeded, view.tally.skipped) == (1, {"resolved": 1})
    assert opened(world) == [meant]
    assert drive(world, driver(world).begin(named)).tally.succeeded == 1


def test_a_plan_whose_rate_is_next_to_nothing_hides_no_other(world: World) -> None:
    plan = driver(world).begin(a_plan(world, die(world, 1, 2), canary=0, rate_per_s=1e-20))
    assert driver(world).advance(plan.id).wait <= timedelta(hours=1)


def test_nobody_judges_before_the_whole_canary_has_answered(world: World) -> None:
    names = die(world, *range(10))
    world.queue.published.clear()
    plan = driver(world).begin(a_plan(world, names, canary=5, rate_per_s=1.0))
    driver(world).advance(plan.id)
    fail(world, names[0], 1)
    view = drive(world, plan)
    assert (view.status, view.tally.failed, view.tally.succeeded) == ("done", 1, 9)


def test_without_a_canary_it_stops_at_the_first_failure_that_is_too_many(world: World) -> None:
    names = die(world, *range(3))
    plan = driver(world).begin(a_plan(world, names, canary=0, rate_per_s=1.0))
    driver(world).advance(plan.id)
    fail(world, names[0], 1)
    world.clock.turn(seconds=1)
    assert driver(world).advance(plan.id).status == "stopped"
    assert opened(world) == names[:1]


def test_it_stops_above_the_limit_though_hundreds_are_still_open(world: World) -> None:
    names = die(world, *range(MAX_PENDING + 3))
    plan = driver(world).begin(a_plan(world, names, canary=2, rate_per_s=100.0, stop_above=0.0))
    driver(world).advance(plan.id)
    for name in names[:2]:
        world.deliver(job_id=name, epoch=1)
    assert driver(world).advance(plan.id).tally.opened == MAX_PENDING + 2
    fail(world, names[2], 1)
    world.clock.turn(seconds=1)
    assert driver(world).advance(plan.id).status == "stopped"
    assert len(opened(world)) == MAX_PENDING + 2


def test_it_stops_itself_above_the_limit_and_not_at_it(world: World) -> None:
    names = die(world, *range(40))
    plan = driver(world).begin(a_plan(world, names, canary=5, rate_per_s=5.0))
    bad = {0, 5, 6}  # one of the first five is 20 %: at the limit; three of ten are above it
    for _ in range(60):
        view = driver(world).advance(plan.id)
        for name in opened(world):
            if int(name[4:]) in bad and world.job(name).terminal is None:
                fail(world, name, 1)
        push_all(world)
        world.clock.turn(seconds=1)
        if view.status != "running":
            break
    assert (view.status, view.tally.failed) == ("stopped", 3)
    assert len(opened(world)) == 10


def test_the_photos_own_fault_is_an_answer_and_stops_nothing(world: World) -> None:
    names = die(world, *range(10))
    plan = driver(world).begin(a_plan(world, names, canary=2))
    driver(world).advance(plan.id)
    for name in opened(world):
        fail(world, name, 1, error=ImageCorruptError)
    world.queue.published.clear()
    view = drive(world, plan)
    assert (view.status, view.tally.other, view.tally.succeeded, view.tally.failed) == ("done", 2, 8, 0)


def test_what_has_succeeded_or_been_handled_meanwhile_is_skipped(world: World) -> None:
    replayed, erased, fresh = die(world, 1, 2, 3)
    other = driver(world).begin(a_plan(world, [replayed], id="replay_20260101000000ffff"))
    drive(world, other)
    settling.erase(world.ledger(), erased, kind="erasure", by="client")
    world.accept(job_id=job_name(4))
    world.deliver(job_id=job_name(4))
    world.accept(job_id=job_name(5))
    names = [replayed, erased, job_name(4), "job_nobody", job_name(5), fresh]
    world.queue.published.clear()
    plan = driver(world).begin(
        a_plan(world, names, canary=5, selection=(*((n, 0) for n in names), (fresh, 7)))
    )
    before = {name: world.store.stat(name).generation for name in world.names(f"jobs/{replayed}/")}
    view = drive(world, plan)
    assert view.tally.skipped == {
        "replayed already": 1,
        "erased": 1,
        "succeeded": 1,
        "open": 1,
        "unknown": 2,
    }
    assert (view.tally.opened, view.tally.succeeded) == (1, 1)
    first = json.loads(world.store.read(replays.step_name(plan.id, 0, "done.json")).data)["outcomes"]
    assert (first[replayed], first[erased]) == ("replayed already", "erased")
    assert world.names("open/") == [f"open/{job_name(5)}.e0"], "nothing was begun for the others"
    assert {name: world.store.stat(name).generation for name in world.names(f"jobs/{replayed}/")} == before


def test_a_damaged_job_keeps_no_other_from_being_replayed(world: World) -> None:
    damaged, whole = die(world, 1, 2)
    world.store.delete(f"jobs/{damaged}/accepted.json")
    world.store.create(f"jobs/{damaged}/accepted.json", b"not json")
    view = drive(world, driver(world).begin(a_plan(world, [damaged, whole], canary=2)))
    assert (view.status, view.tally.skipped, view.tally.succeeded) == ("done", {"unreadable": 1}, 1)
    world.assert_succeeded(whole, epoch=1)


def test_an_answer_that_cannot_be_read_keeps_no_replay_from_its_end(world: World) -> None:
    (name,) = die(world, 1)
    plan = driver(world).begin(a_plan(world, [name]))
    driver(world).advance(plan.id)
    world.store.create(f"jobs/{name}/e1/terminal.json", b"not json")
    world.store.delete(f"open/{name}.e1")
    view = drive(world, plan, works=False)
    assert (view.status, view.tally.other) == ("done", 1)


def test_storage_that_is_away_for_one_job_is_waited_for(world: World) -> None:
    names = die(world, 1, 2)
    plan = driver(world).begin(a_plan(world, names, canary=2))

    def away(call: str) -> None:
        if call == f"before store.create jobs/{names[0]}/e1/opened.json":
            raise StoreUnavailableError("away")

    with pytest.raises(StoreUnavailableError):
        driver(world, ledger=world.ledger(Process(away))).advance(plan.id)
    view = drive(world, plan)
    assert (view.tally.opened, view.tally.succeeded, view.tally.skipped) == (2, 2, {})


def test_pictures_that_are_kept_no_longer_are_not_made_again(world: World) -> None:
    names = die(world, 1)
    world.clock.time = world.ledger().accepted(names[0]).expires_at
    plan = driver(world).begin(a_plan(world, names))
    view = drive(world, plan)
    assert view.tally.skipped == {"expired": 1}
    assert opened(world) == []


def opening_times(world: World) -> list[float]:
    return sorted(
        world.store.stat(f"jobs/{name}/e1/opened.json").updated.timestamp() for name in opened(world)
    )


@pytest.mark.parametrize("rate", [0.5, 1.0, 5.0, 7.5])
def test_the_rate_is_kept_though_two_sweeps_and_a_command_drive(world: World, rate: float) -> None:
    names = die(world, *range(30))
    plan = driver(world).begin(a_plan(world, names, rate_per_s=rate))
    drivers = [driver(world, by) for by in ("sweep-1", "sweep-2", "command")]
    for _ in range(2000):
        views = [each.advance(plan.id) for each in drivers]
        push_all(world)
        world.clock.turn(seconds=0.1)
        if views[-1].status == "done":
            break
    times = opening_times(world)
    assert len(times) == 30
    for first in range(30):
        for last in range(first, 30):
            span_s = times[last] - times[first]
            assert last - first + 1 <= rate * span_s + max(1, int(rate)) + 1e-6
    assert times[-1] - times[0] <= 30 / rate + 5, "and it is not slower than it need be"


def test_a_driver_that_died_in_a_batch_makes_the_next_ones_no_faster(world: World) -> None:
    names = die(world, *range(30))
    plan = driver(world).begin(a_plan(world, names, rate_per_s=5.0))
    drive_steps(world, plan, 1)
    with pytest.raises(Killed):
        driver(world, ledger=world.ledger(Process(kill_at(8)))).advance(plan.id)
    world.clock.turn(seconds=61)
    for _ in range(100):
        driver(world).advance(plan.id)
        push_all(world)
        world.clock.turn(seconds=0.1)
    times = opening_times(world)
    assert len(times) == 30
    for first in range(30):
        for last in range(first, 30):
            # The batch that was done again came late: for once it and the next one follow each other.
            assert last - first + 1 <= 5 * (times[last] - times[first]) + 2 * 5


def test_a_batch_that_is_being_opened_is_left_to_its_driver(world: World, caplog) -> None:
    plan = driver(world).begin(a_plan(world, die(world, 1)))
    seen = []

    def look(call: str) -> None:
        if call == f"before store.create {replays.step_name(plan.id, 0, 'done.json')}" and not seen:
            world.clock.turn(seconds=59)
            seen.append(driver(world, "other").advance(plan.id))

    driver(world, ledger=world.ledger(Process(look))).advance(plan.id)
    assert [(view.progress.is_done, view.wait) for view in seen] == [(False, world.pace.beat / 2)]
    assert "replay.batch_again" not in caplog.messages


def test_drivers_at_the_same_moment_take_one_step(world: World) -> None:
    names = die(world, *range(6))
    plan = driver(world).begin(a_plan(world, names, rate_per_s=2.0))
    nested = []

    def advance_too(call: str) -> None:
        if call.startswith("before store.create replays/") and not nested:
            nested.append(driver(world, "other").advance(plan.id))

    driver(world, ledger=world.ledger(Process(advance_too))).advance(plan.id)
    assert nested
    assert opened(world) == names[:1]


def calls_of_a_step(tmp_path: Path, position: int) -> list[str]:
    seen: list[str] = []
    world, plan = at_position(tmp_path, position)
    driver(world, ledger=world.ledger(Process(seen.append))).advance(plan.id)
    return seen


def at_position(tmp_path: Path, position: int) -> tuple[World, replays.Plan]:
    """A replay of three jobs, one a batch, of which so many are done."""
    world = World(tmp_path)
    names = die(world, 1, 2, 3)
    world.queue.published.clear()
    plan = driver(world).begin(a_plan(world, names, rate_per_s=1.0))
    for _ in range(position):
        driver(world).advance(plan.id)
        push_all(world)
        world.clock.turn(seconds=1)
    return world, plan


@pytest.mark.parametrize("position", [0, 1, 3])
def test_whoever_dies_at_any_call_the_replay_goes_on_and_opens_no_job_twice(
    tmp_path: Path, position: int
) -> None:
    seen = calls_of_a_step(tmp_path, position)
    assert len(seen) > 8
    for moment, call in enumerate(seen):
        world, plan = at_position(tmp_path, position)
        with pytest.raises(Killed):
            driver(world, ledger=world.ledger(Process(kill_at(moment)))).advance(plan.id)
        view = drive_with_sweeps(world, plan)
        assert (view.status, view.tally.opened, view.tally.succeeded) == ("done", 3, 3), call
        assert world.names("open/") == world.names("replaying/") == [], call
        assert len([n for n in world.names("dead/") if n.endswith(".replayed.json")]) == 3, call
        for number in (1, 2, 3):
            world_job = world.job(job_name(number))
            assert (world_job.epoch, world_job.status, world_job.worked.attempts) == (1, "succeeded", 1), call


def drive_with_sweeps(world: World, plan: replays.Plan):
    for _ in range(100):
        driver(world, "sweep").drive_all(timedelta(0), world.clock.monotonic)
        world.sweep()
        push_all(world)
        world.clock.turn(seconds=61)
        if not world.names("replaying/"):
            break
    return driver(world).look(plan.id)


def test_whoever_dies_while_planning_asks_again_and_has_one_replay(tmp_path: Path) -> None:
    seen: list[str] = []
    world = World(tmp_path)
    driver(world, ledger=world.ledger(Process(seen.append))).begin(a_plan(world, die(world, 1)))
    assert len(seen) == 4
    for moment, call in enumerate(seen):
        world = World(tmp_path)
        plan = a_plan(world, die(world, 1))
        world.queue.published.clear()
        with pytest.raises(Killed):
            driver(world, ledger=world.ledger(Process(kill_at(moment)))).begin(plan)
        view = drive(world, driver(world).begin(plan))
        assert (view.status, view.tally.succeeded, view.progress.plan) == ("done", 1, plan), call
        assert world.names("replaying/") == [], call


def test_whoever_dies_while_cancelling_asks_again_and_no_further_job_is_opened(tmp_path: Path) -> None:
    seen: list[str] = []
    world, plan = at_position(tmp_path, 1)
    driver(world, ledger=world.ledger(Process(seen.append))).cancel(plan.id, "bob", "stop")
    assert len(seen) > 8
    for moment, call in enumerate(seen):
        world, plan = at_position(tmp_path, 1)
        with pytest.raises(Killed):
            driver(world, ledger=world.ledger(Process(kill_at(moment)))).cancel(plan.id, "bob", "stop")
        assert driver(world).cancel(plan.id, "bob", "stop").status == "cancelled", call
        view = drive_with_sweeps(world, plan)
        assert (view.status, view.tally.opened) == ("cancelled", 1), call
        assert world.names("replaying/") == [], call


def test_a_killed_plan_was_never_made_and_its_marker_goes_away(world: World) -> None:
    names = die(world, 1)
    with pytest.raises(Killed):
        driver(world, ledger=world.ledger(Process(kill_at(2)))).begin(a_plan(world, names))
    assert world.names("replaying/")
    driver(world).drive_all(timedelta(0), world.clock.monotonic)
    assert world.names("replaying/"), "its author may still be at it"
    world.clock.turn(minutes=61)
    driver(world).drive_all(timedelta(0), world.clock.monotonic)
    assert world.names("replaying/") == []
    assert opened(world) == []


def test_a_plan_asked_for_twice_is_one_plan(world: World) -> None:
    names = die(world, 1, 2)
    first = driver(world).begin(a_plan(world, names))
    again = driver(world).begin(a_plan(world, names[:1], reason="another"))
    assert again == first


def test_a_cancelled_replay_opens_no_further_job(world: World) -> None:
    names = die(world, *range(6))
    plan = driver(world).begin(a_plan(world, names, rate_per_s=1.0))
    drive_steps(world, plan, 2)
    view = driver(world).cancel(plan.id, "bob", "wrong filter")
    assert (view.status, view.document()["ended"]["by"]) == ("cancelled", "bob")
    before = opened(world)
    drive_steps(world, plan, 5)
    assert opened(world) == before == names[:2]
    assert driver(world).cancel(plan.id, "eve", "again").progress.last.by == "bob"
    with pytest.raises(ReplayNotFoundError):
        driver(world).cancel("replay_20260101000000none", "bob", "x")


def drive_steps(world: World, plan: replays.Plan, steps: int) -> None:
    for _ in range(steps):
        driver(world).advance(plan.id)
        push_all(world)
        world.clock.turn(seconds=1)


def test_a_cancel_between_two_steps_of_a_driver_wins_or_loses_but_never_both(world: World) -> None:
    names = die(world, *range(4))
    plan = driver(world).begin(a_plan(world, names, rate_per_s=1.0))
    drive_steps(world, plan, 1)

    def cancel(call: str) -> None:
        if call == f"before store.create {replays.step_name(plan.id, 1)}":
            driver(world).cancel(plan.id, "bob", "stop")

    view = driver(world, ledger=world.ledger(Process(cancel))).advance(plan.id)
    assert view.status == "cancelled"
    assert opened(world) == names[:1]


def test_a_replay_that_has_not_begun_can_be_cancelled(world: World) -> None:
    plan = driver(world).begin(a_plan(world, die(world, 1)))
    assert driver(world).cancel(plan.id, "bob", "never mind").status == "cancelled"
    assert driver(world).look(plan.id).document()["position"] == 0
    assert driver(world).advance(plan.id).status == "cancelled"
    assert opened(world) == []


def test_a_replay_that_is_done_cannot_be_cancelled(world: World) -> None:
    names = die(world, 1)
    plan = driver(world).begin(a_plan(world, names))
    drive(world, plan)
    with pytest.raises(ReplayEndedError):
        driver(world).cancel(plan.id, "bob", "late")


def test_a_cancel_after_a_driver_died_counts_what_it_had_opened(world: World) -> None:
    names = die(world, 1, 2)
    plan = driver(world).begin(a_plan(world, names))

    def die_before_the_count(call: str) -> None:
        if call == f"before store.create {replays.step_name(plan.id, 0, 'done.json')}":
            raise Killed

    with pytest.raises(Killed):
        driver(world, ledger=world.ledger(Process(die_before_the_count))).advance(plan.id)
    view = driver(world).cancel(plan.id, "bob", "stop")
    assert (view.status, view.tally.opened, view.progress.position) == ("cancelled", 1, 1)


def test_at_most_so_many_jobs_of_a_replay_are_open_at_once(world: World) -> None:
    """Customers' own jobs must not queue behind thousands."""
    names = die(world, *range(MAX_PENDING + 40))
    plan = driver(world).begin(a_plan(world, names, rate_per_s=30.0))
    drive_steps(world, plan, 1)
    for _ in range(20):
        driver(world).advance(plan.id)
        world.clock.turn(seconds=1)
    assert len(opened(world)) == 1 + 120, "the first number of open jobs that is no smaller, in batches of 30"
    assert driver(world).look(plan.id).wait == world.pace.beat / 2
    assert drive(world, plan).tally.succeeded == len(names)


def test_who_why_when_and_what_stay_on_record(world: World) -> None:
    names = die(world, 1, 2)
    plan = driver(world).begin(a_plan(world, names, filters={"slug": "dead-lettered"}))
    drive(world, plan)
    record = json.loads(world.store.read(f"replays/{plan.id}/plan.json").data)
    assert (record["by"], record["reason"], record["filters"]) == (
        "ada",
        "the worker was down",
        {"slug": "dead-lettered"},
    )
    assert record["selection"] == [[name, 0] for name in names]
    done = json.loads(world.store.read(f"replays/{plan.id}/batch/1.done.json").data)
    assert done["outcomes"] == {names[1]: "opened"}
    opening = json.loads(world.store.read(f"jobs/{names[0]}/e1/opened.json").data)
    assert (opening["kind"], opening["replay"], opening["by"]) == ("replay", plan.id, "ada")


def test_a_job_that_fails_again_is_a_dead_letter_again_and_can_be_replayed_again(world: World) -> None:
    (name,) = die(world, 1)
    plan = driver(world).begin(a_plan(world, [name]))
    driver(world).advance(plan.id)
    fail(world, name, 1, error=InternalError)
    assert drive(world, plan, works=False).status == "stopped"
    world.queue.published.clear()
    second = a_plan(world, [], id="replay_20260102000000abcd", selection=((name, 1),))
    view = drive(world, driver(world).begin(second))
    assert (view.status, view.tally.succeeded) == ("done", 1)
    world.assert_succeeded(name, epoch=2)


def test_an_operator_is_told_who_why_when_what_and_how_far(world: World) -> None:
    names = die(world, 1, 2, 3)
    began = world.clock()
    plan = driver(world).begin(
        a_plan(world, names, canary=2, rate_per_s=4.0, filters={"slug": "dead-lettered"})
    )
    view = driver(world).advance(plan.id)
    told = {
        "id": plan.id,
        "status": "running",
        "created_at": began.isoformat(),
        "by": "ada",
        "reason": "the worker was down",
        "filters": {"slug": "dead-lettered"},
        "rate_per_s": 4.0,
        "canary": 2,
        "stop_above": 0.2,
        "count": 3,
        "position": 2,
        "opened": 2,
        "succeeded": 0,
        "failed": 0,
        "other": 0,
        "pending": 2,
        "skipped": {},
        "ended": None,
        "wait_s": 7.5,
    }
    assert view.document() == told
    world.queue.published.clear()
    fail(world, names[0], 1, error=ImageCorruptError)
    world.deliver(job_id=names[1], epoch=1)
    assert driver(world).look(plan.id).document() == told | {
        "succeeded": 1,
        "other": 1,
        "pending": 0,
        "wait_s": 0.0,
    }
    ended = driver(world).cancel(plan.id, "bob", "enough").document()
    assert (ended["status"], ended["position"], ended["wait_s"]) == ("cancelled", 2, 0)
    assert ended["ended"] == {"by": "bob", "reason": "enough", "at": world.clock().isoformat()}


def test_to_look_at_a_replay_changes_nothing(world: World) -> None:
    plan = driver(world).begin(a_plan(world, die(world, 1)))
    before = {stat.name: stat.generation for stat in world.store.list("").objects}
    assert driver(world).look(plan.id).status == "running"
    assert {stat.name: stat.generation for stat in world.store.list("").objects} == before


def test_a_failure_that_nobody_has_finished_is_finished_before_it_is_replayed(world: World) -> None:
    (name,) = die(world, 1)
    world.store.delete(f"jobs/{name}/e0/announced.json")
    world.store.delete(f"dead/2026-01-01/{name}.e0.json")
    world.queue.published.clear()  # a late delivery of the first epoch would finish it too
    drive(world, driver(world).begin(a_plan(world, [name])))
    assert world.job(name).history.epoch(0).announced
    assert f"dead/2026-01-01/{name}.e0.json" in world.names("dead/")


def test_a_batch_that_is_done_again_publishes_no_job_twice(world: World) -> None:
    names = die(world, 1, 2)
    plan = driver(world).begin(a_plan(world, names))
    driver(world).advance(plan.id)
    world.store.delete(replays.step_name(plan.id, 0, "done.json"))  # as if its driver had died
    before = len(world.queue.published)
    world.clock.turn(seconds=60)
    assert driver(world).advance(plan.id).progress.is_done
    assert replays.step_name(plan.id, 0, "done.json") in world.names("replays/")
    assert len(world.queue.published) == before
    assert world.names(f"jobs/{names[0]}/e1/published/") == [f"jobs/{names[0]}/e1/published/0.json"]


def test_storage_that_is_away_for_one_replay_defers_it_and_the_next_sweep_goes_on(
    world: World, caplog
) -> None:
    names = die(world, 1)
    plan = driver(world).begin(a_plan(world, names))

    def away(call: str) -> None:
        if "plan.json" in call:
            raise StoreUnavailableError("away")

    driver(world, ledger=world.ledger(Process(away))).drive_all(timedelta(0), world.clock.monotonic)
    assert opened(world) == []
    assert [r.getMessage() for r in caplog.records if r.levelname in {"WARNING", "ERROR"}] == [
        "replay.deferred"
    ]
    assert drive(world, plan).status == "done"


def test_a_damaged_plan_keeps_no_other_from_going_on(world: World) -> None:
    names = die(world, 1)
    world.put("replaying/replay_00000000bad")
    world.store.create("replays/replay_00000000bad/plan.json", b"not json")
    plan = driver(world).begin(a_plan(world, names))
    driver(world).drive_all(timedelta(0), world.clock.monotonic)
    assert opened(world) == names
    assert drive(world, plan).status == "done"


def test_a_sweep_drives_at_the_rate_for_its_time_and_no_longer(world: World) -> None:
    world.pace = ONE_MACHINE
    names = die(world, *range(30))
    plan = driver(world).begin(a_plan(world, names, rate_per_s=2.0))
    drive_steps(world, plan, 1)
    began = world.clock.monotonic()
    Driver(ledger=world.ledger(), by="sweep").drive_all(timedelta(seconds=2.5), world.clock.monotonic)
    assert world.clock.monotonic() - began <= 2.5
    assert len(opened(world)) in range(5, 8)
