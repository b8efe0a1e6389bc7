"""The dead letter of a job that is erased or expires is open no more: there is nothing left to replay."""

from datetime import timedelta
from pathlib import Path

import pytest

from shared import dead_letter_index, settling
from shared.broom import Broom
from shared.dead_letter_index import Filter
from shared.errors import ImageCorruptError
from tests.api_world import ApiWorld
from tests.dead import a_plan, die, driver, fail, job_name
from tests.promises import Promises
from tests.world import Killed, Process, World, kill_at

NAME = job_name(1)
ERASED_BY = {"kind": "erasure", "by": "client"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def found(world: World, **wanted) -> list[str]:
    letters = dead_letter_index.find(world.ledger(), Filter(**wanted), world.clock())
    return [letter.job_id for letter in letters]


def states(world: World, name: str = NAME) -> list[str]:
    letters = dead_letter_index.of_job(world.ledger(), world.job(name))
    return [letter.state for letter in letters]


def test_what_was_erased_is_no_open_dead_letter_and_says_so(world: World) -> None:
    erased, left = die(world, 1, 2)
    settling.erase(world.ledger(), erased, **ERASED_BY)
    for wanted in ({}, {"slug": "dead-lettered"}, {"since": world.clock() - timedelta(days=1)}):
        assert found(world, **wanted) == [left]
    assert (states(world, erased), states(world, left)) == (["closed"], ["open"])


def test_what_has_expired_is_no_open_dead_letter(world: World) -> None:
    die(world, 1)
    world.clock.turn(days=401)
    assert Broom(ledger=world.ledger(), retention=timedelta(days=30)).sweep("00")["expired"] == 1
    assert (found(world), states(world)) == ([], ["closed"])


def test_of_a_job_that_was_replayed_the_last_dead_letter_is_closed(world: World) -> None:
    names = die(world, 1)
    plan = driver(world).begin(a_plan(world, names))
    driver(world).advance(plan.id)
    fail(world, NAME, 1)
    settling.erase(world.ledger(), NAME, **ERASED_BY)
    assert (found(world), states(world)) == ([], ["replayed", "closed"])


def test_what_was_resolved_before_it_was_erased_stays_so(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path)
    die(world, 1)
    assert (
        world.client.post("/v1/dead-letters/resolve", json={"jobs": [NAME], "reason": "x"}).status_code == 200
    )
    settling.erase(world.ledger(), NAME, **ERASED_BY)
    assert states(world) == ["resolved"]


def test_a_photo_that_was_at_fault_has_no_dead_letter_to_close(world: World) -> None:
    die(world, 1, error=ImageCorruptError)
    settling.erase(world.ledger(), NAME, **ERASED_BY)
    assert world.names("dead/") == []


def test_a_damaged_end_keeps_no_job_from_being_closed(world: World) -> None:
    die(world, 1)
    world.ledger().open(NAME, 1, {**ERASED_BY, "at": world.clock().isoformat()})
    world.store.delete(f"jobs/{NAME}/e0/terminal.json")
    world.store.create(f"jobs/{NAME}/e0/terminal.json", b"not json")
    world.clock.turn(minutes=1)
    world.sweep()
    assert world.names(f"jobs/{NAME}/e1/closed.json")
    assert world.names("open/") == world.names("inputs/") == []


def test_whoever_dies_while_erasing_the_sweep_closes_the_dead_letter(tmp_path: Path) -> None:
    seen: list[str] = []
    world = World(tmp_path)
    die(world, 1)
    settling.erase(world.ledger(Process(seen.append)), NAME, **ERASED_BY)
    for moment, call in enumerate(seen):
        world = World(tmp_path)
        die(world, 1)
        with pytest.raises(Killed):
            settling.erase(world.ledger(Process(kill_at(moment))), NAME, **ERASED_BY)
        for _ in range(20):
            world.clock.turn(minutes=4)
            world.sweep()
        assert world.names("open/") == [], call
        Promises(world.ledger()).check_settled(NAME)
        assert states(world) == (["closed"] if world.job(NAME).is_closed else ["open"]), call


def test_a_dead_letter_that_an_older_build_left_open_is_closed_by_erasing_its_job_again(world: World) -> None:
    die(world, 1)
    settling.erase(world.ledger(), NAME, **ERASED_BY)
    world.store.delete(f"dead/2026-01-01/{NAME}.e0.closed.json")
    assert states(world) == ["open"]
    settling.erase(world.ledger(), NAME, **ERASED_BY)
    assert states(world) == ["closed"]


def test_erasing_looks_no_more_often_than_it_must(world: World) -> None:
    """One create; how the job ended is known to who erases it."""
    die(world, 1)
    calls: list[str] = []
    settling.erase(world.ledger(Process(calls.append)), NAME, **ERASED_BY)
    assert calls.count(f"before store.read jobs/{NAME}/e0/terminal.json") == 1
    assert [call for call in calls if " dead/" in call and call.startswith("before")] == [
        f"before store.create dead/2026-01-01/{NAME}.e0.closed.json"
    ]


def test_an_erased_job_is_counted_by_no_replay(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path)
    die(world, 1, 2)
    assert world.client.delete(f"/v1/jobs/{NAME}").status_code == 204
    order = {"filters": {"slug": "dead-lettered"}, "reason": "x", "dry_run": True}
    counted = world.client.post("/v1/replays", json=order).json
    assert (counted["count"], counted["jobs"]) == (1, [job_name(2)])
    assert world.client.get("/v1/dead-letters").json["count"] == 1
    shown = world.client.get(f"/v1/dead-letters/{NAME}").json
    assert [letter["state"] for letter in shown["dead_letters"]] == ["closed"]
