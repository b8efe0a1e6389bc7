"""`./cutout job JOB` tells what the services recorded, in time order, in fewer than sixty lines."""

import json
import re

import pytest

from ops.story import tell
from shared import dead_letters, settling
from shared.history import Release
from tests.dead import a_plan, drive, driver, fail
from tests.world import JOB, World


def records_of(world, job_id=JOB) -> dict:
    """Answer as ``GET /v1/jobs/{id}/records`` does, from a world's store."""
    entries = []
    for prefix in (f"jobs/{job_id}/", f"open/{job_id}.", "dead/", f"results/{job_id}/"):
        for stat in world.store.list(prefix).objects:
            record = json.loads(world.store.read(stat.name).data) if prefix[0] in "jd" else None
            entries.append(
                {"name": stat.name, "size": stat.size, "updated": stat.updated.isoformat(), "record": record}
            )
    entries.sort(key=lambda entry: entry["name"])
    return {"id": job_id, "now": world.clock().isoformat(), "records": entries}


def story_of(world) -> list[str]:
    return tell(records_of(world))


def line_with(lines, text) -> str:
    found = [line for line in lines[:-1] if text in line]
    assert len(found) == 1, f"expected one line with {text!r} in:\n" + "\n".join(lines)
    return found[0]


@pytest.fixture
def world(tmp_path) -> World:
    world = World(tmp=tmp_path)
    world.accept()
    return world


def test_a_job_that_went_well_is_told_in_order_and_owes_nothing(world) -> None:
    world.clock.turn(seconds=1.2)
    world.deliver()
    lines = story_of(world)
    told = "\n".join(lines)
    assert lines[0].startswith(JOB)
    order = [
        "accepted: photo 96 x 96 px",
        "handed to the queue by api",
        "claimed by worker-1",
        "settled: succeeded",
    ]
    assert [told.index(text) for text in order] == sorted(told.index(text) for text in order)
    assert line_with(lines, "attempt 1 claimed by worker-1").startswith("+1.2 s ")
    assert "beat" not in told
    assert lines[-1].startswith("Done: succeeded")
    assert "Nothing is owed" in lines[-1]


def test_metadata_and_owner_are_never_shown(world) -> None:
    document = records_of(world)
    accepted = next(e for e in document["records"] if e["name"].endswith("accepted.json"))
    accepted["record"] |= {"metadata": {"order": "SECRET-17"}, "owner": "SECRET-shop"}
    assert "SECRET" not in "\n".join(tell(document))


def test_a_job_nobody_claims_points_at_the_worker(world) -> None:
    world.clock.turn(seconds=90)
    assert "handed to the queue once 90.0 s ago, and no worker has claimed it" in story_of(world)[-1]


def test_a_job_that_was_not_handed_to_the_queue_waits_for_the_sweep(world) -> None:
    world.store.delete(f"jobs/{JOB}/e0/published/0.json")
    assert "not yet handed to the queue" in story_of(world)[-1]


def test_an_open_job_says_at_last_that_delivery_is_paused(world) -> None:
    pause = {"at": "2026-01-01T00:00:00+00:00", "by": "ada", "reason": "wrong checkpoint"}
    held = {"delivery": "paused", "pause": pause}
    said = "DELIVERY IS PAUSED since 2026-01-01T00:00:00+00:00 by ada: wrong checkpoint"
    assert tell(records_of(world) | held)[-1].startswith(said)
    world.deliver()
    assert tell(records_of(world) | held)[-1].startswith("Done: succeeded")


@pytest.mark.parametrize("part", ["accepted.json", "e0/terminal.json", "e1/opened.json"])
def test_a_damaged_record_is_named_and_nothing_is_said_to_be_done(world, part) -> None:
    world.deliver()
    settling.erase(world.ledger(), JOB, kind="erasure", by="client")
    document = records_of(world)
    (damaged,) = [entry for entry in document["records"] if entry["name"] == f"jobs/{JOB}/{part}"]
    damaged["record"] = None
    assert tell(document)[-1].startswith(f"Damaged: jobs/{JOB}/{part}. The story goes without")


def test_a_promise_that_was_restored_is_younger_than_what_followed(world) -> None:
    fail(world, JOB)
    name = f"jobs/{JOB}/accepted.json"
    data = world.store.read(name).data
    world.clock.turn(hours=3)
    world.store.delete(name)
    world.store.create(name, data)
    assert line_with(story_of(world), "settled: failed").startswith("-3 h 0 min    01-01 00:00:00")


def test_each_line_has_the_time_that_the_logs_have(world) -> None:
    world.clock.turn(hours=30, seconds=5)
    world.deliver()
    world.clock.turn(seconds=7)
    world.cancel()
    lines = story_of(world)
    assert line_with(lines, "accepted: ").startswith("+0.0 s        01-01 00:00:00  accepted")
    assert line_with(lines, "attempt 1 claimed").startswith("+30 h 0 min   01-02 06:00:05  attempt")
    assert line_with(lines, "  now").startswith("+30 h 0 min   01-02 06:00:12  now")


def test_publications_in_a_row_are_one_line(world) -> None:
    for number in range(1, 6):
        world.clock.turn(minutes=10)
        world.put(f"jobs/{JOB}/e0/published/{number}.json", by="sweep")
    line = line_with(story_of(world), "handed to the queue by")
    assert "6 times until +50 min 0 s" in line


@pytest.mark.parametrize(
    ("silent_s", "moral"),
    [(3, "At work: attempt 1"), (30, "on one machine it is dead"), (300, "Attempt 1 is dead, silent for")],
)
def test_an_attempt_is_at_work_or_silent_by_the_age_of_its_last_beat(world, silent_s, moral) -> None:
    world.claim(1)
    world.clock.turn(seconds=15)
    world.store.create(f"jobs/{JOB}/e0/claims/1.beat", b"{}")
    world.clock.turn(seconds=silent_s)
    lines = story_of(world)
    assert line_with(lines, "attempt 1: last beat").startswith("+15.0 s ")
    assert moral in lines[-1]


@pytest.mark.parametrize(
    ("beat", "moral"),
    [
        (None, "Claimed: attempt 1 took the job 1.0 s ago. Whether it is at work, or stands ready"),
        ({}, "At work: attempt 1"),
        ({"stands_ready": False}, "At work: attempt 1"),
        ({"stands_ready": True}, "Ready: attempt 1 waited for its slot at its last sign, 1.0 s ago."),
        ({"stands_ready": "yes"}, "At work: attempt 1"),
    ],
)
def test_an_attempt_that_only_stands_ready_is_not_said_to_be_at_work(world, beat, moral) -> None:
    world.claim(1)
    if beat is not None:
        world.store.create(f"jobs/{JOB}/e0/claims/1.beat", json.dumps(beat).encode())
    world.clock.turn(seconds=1)
    assert story_of(world)[-1].startswith(moral)


def test_an_attempt_that_was_followed_by_another_died(world) -> None:
    world.claim(1)
    world.clock.turn(minutes=2)
    world.deliver()
    lines = story_of(world)
    assert line_with(lines, "its worker died").startswith("+0.0 s ")
    assert line_with(lines, "attempt 2 claimed").startswith("+2 min 0 s ")
    assert lines[-1].startswith("Done: succeeded")


def test_an_attempt_that_gave_up_alive_says_why_and_whether_it_counts(world) -> None:
    world.claim(1, reason=Release.SHUTDOWN.value, detail="The worker is being stopped.")
    world.claim(2, reason=Release.STORAGE.value)
    world.claim(3, reason=Release.BUG.value, detail="KeyError('x')")
    lines = story_of(world)
    assert "shutdown, The worker is being stopped. (does not count)" in line_with(lines, "attempt 1 gave")
    assert "bug, KeyError('x') (counts)" in line_with(lines, "attempt 3 gave")
    assert "attempt 3 is over (bug)" in lines[-1]
    assert "1 of 3 attempts" in lines[-1]


def test_used_up_attempts_say_how_the_job_will_fail(world) -> None:
    for number in (1, 2, 3):
        world.claim(number)
    world.clock.turn(minutes=5)
    assert "settles it as poison" in story_of(world)[-1]


def test_a_poisonous_photo_is_told_with_its_slug_and_what_to_do(world) -> None:
    for number in (1, 2, 3):
        world.claim(number)
        world.clock.turn(minutes=2)
    world.clock.turn(minutes=2, seconds=5)
    world.sweep()
    lines = story_of(world)
    assert sum("then silence: its worker died" in line for line in lines) == 3
    assert "[poison]" in line_with(lines, "settled: failed by sweep")
    assert "dead/2026-01-01" in line_with(lines, "operators' index")
    assert "keep the photo" in lines[-1]


def test_a_replay_is_told_after_the_failure_that_it_follows(world) -> None:
    fail(world, JOB)
    world.clock.turn(hours=9)
    drive(world, driver(world).begin(a_plan(world, [JOB])))
    lines = story_of(world)
    told = "\n".join(lines)
    order = [
        "settled: failed by test",
        "entered in the operators' index",
        "epoch 1 opened for replay, by ada: the worker was down",
        "handed to the queue by replay",
        "settled: succeeded by worker, attempt 1",
    ]
    assert [told.index(text) for text in order] == sorted(told.index(text) for text in order)
    assert lines[-1].startswith("Done: succeeded")


def test_a_failure_that_was_resolved_says_by_whom_and_why(world) -> None:
    fail(world, JOB)
    document = {"by": "ada", "reason": "refunded"}
    assert dead_letters.resolve(world.store, world.job(), document)
    lines = story_of(world)
    line_with(lines, "resolved by ada: refunded")
    assert lines[-1].startswith("Failed (dead-lettered), and resolved by ada: nothing more is to be done.")


def test_a_failure_whose_time_is_over_is_not_said_to_be_opened_again(world) -> None:
    fail(world, JOB)
    assert story_of(world)[-1].endswith("./cutout dead-letters replay opens it again.")
    world.clock.turn(days=401)
    assert story_of(world)[-1].endswith("a replay skips it as expired: the photo has to be sent again.")


def test_a_resolution_of_an_earlier_failure_is_none_of_this_one(world) -> None:
    fail(world, JOB)
    assert dead_letters.resolve(world.store, world.job(), {"by": "ada", "reason": "refunded"})
    driver(world).advance(driver(world).begin(a_plan(world, [JOB], filters={"jobs": [JOB]})).id)
    fail(world, JOB, 1)
    lines = story_of(world)
    line_with(lines, "resolved by ada: refunded")
    assert lines[-1].startswith("Failed (dead-lettered), marker gone")


def test_a_photos_own_fault_is_the_customers_business(world) -> None:
    world.store.delete(world.names("inputs/")[0])
    world.deliver()
    assert "photo's own fault (input-gone)" in story_of(world)[-1]


def test_a_cancelled_job_owes_nothing(world) -> None:
    world.cancel()
    lines = story_of(world)
    assert "settled: cancelled by client" in line_with(lines, "settled:")
    assert lines[-1].startswith("Done: cancelled")


def test_a_job_that_settled_and_was_not_announced_is_the_sweeps(world) -> None:
    world.deliver()
    world.store.delete(f"jobs/{JOB}/e0/announced.json")
    assert "not yet announced" in story_of(world)[-1]


def test_a_job_whose_marker_outlived_it_is_the_sweeps(world) -> None:
    world.deliver()
    world.store.create(f"open/{JOB}.e0", b"{}")
    assert "not yet rid of its marker" in story_of(world)[-1]


def test_an_open_job_without_a_marker_is_an_alarm(world) -> None:
    world.store.delete(f"open/{JOB}.e0")
    assert "That must not happen" in story_of(world)[-1]


def test_a_job_open_for_more_than_a_day_will_be_dead_lettered(world) -> None:
    world.clock.turn(hours=25)
    assert "dead-lettered" in story_of(world)[-1]


def test_an_erasure_is_told_and_ends_the_story(world) -> None:
    world.deliver()
    world.clock.turn(days=3)
    settling.erase(world.ledger(), JOB, kind="erasure", by="client")
    lines = story_of(world)
    assert line_with(lines, "epoch 1 opened for erasure, by client").startswith("+3 d 0 h")
    assert lines[-1].startswith("Its pictures have been deleted (erasure)")


def test_of_a_failure_that_is_erased_the_erasure_tells(world) -> None:
    fail(world, JOB)
    settling.erase(world.ledger(), JOB, kind="erasure", by="client")
    lines = story_of(world)
    assert [line for line in lines if "dead/" in line] == [
        line_with(lines, "entered in the operators' index")
    ]


def test_pictures_of_an_attempt_that_has_not_won_are_pointed_at(world) -> None:
    world.claim(1)
    world.store.create(f"results/{JOB}/e0/1/color", b"1234")
    assert "1 pictures stored by attempt 1, 4 bytes, which has not won" in line_with(
        story_of(world), "stored by"
    )


def test_a_marker_without_a_promise_was_never_accepted() -> None:
    now = "2026-01-01T00:00:00+00:00"
    marker = {"name": f"open/{JOB}.e0", "size": 2, "updated": now, "record": {}}
    assert tell({"id": JOB, "now": now, "records": [marker]})[-1].startswith("Never accepted")


def test_a_story_of_a_thousand_events_has_fewer_than_sixty_lines(world) -> None:
    for number in range(1, 400):
        world.claim(number, reason=Release.STORAGE.value)
        world.put(f"jobs/{JOB}/e0/published/{number}.json", by="sweep")
        world.clock.turn(seconds=30)
    lines = story_of(world)
    assert len(lines) < 60
    summary = line_with(lines, "left out")
    assert re.search(r"\d+ claimed", summary)
    assert re.search(r"\d+ released", summary)
    assert "attempt 399 gave the job back: storage" in "\n".join(lines)


def test_a_text_in_a_record_cannot_break_the_line_or_the_terminal(world) -> None:
    world.claim(1, reason="bug", detail="first\nsecond \x1b[31mred" + "x" * 1000)
    lines = story_of(world)
    assert "first second  [31mred" in line_with(lines, "gave the job back")
    assert not any("\n" in line or "\x1b" in line for line in lines)
    assert max(map(len, lines)) < 500
