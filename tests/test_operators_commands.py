"""Operators clear dead letters from the command line, over a service that is real but for its machines."""

import json
import os
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ops.replays import who
from shared.errors import PoisonError
from shared.pace import ONE_MACHINE
from tests.api_world import ApiWorld
from tests.dead import die, job_name, opened, push_all
from tests.scripted import runner
from tests.served import REPLAY, Served, lines


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path, pace=replace(ONE_MACHINE, beat=timedelta(milliseconds=20)))


@pytest.fixture
def run(served: Served) -> Any:
    return runner(served)


def test_dead_letters_are_counted_and_the_newest_listed(world: ApiWorld, run) -> None:
    die(world, 1, 2)
    world.clock.turn(hours=2)
    die(world, 3, error=PoisonError)
    why = "The photo stopped the worker every time: gone [poison]"
    assert lines(run("dead-letters", "list", "--limit", 1)) == [
        "3 open dead letters",
        f"{job_name(3)}  {world.clock().isoformat()}  e0  no attempt  {why}",
        "... and 2 more; --limit shows more",
    ]
    assert lines(run("dead-letters", "list", "--slug", "poison"))[0] == "1 open dead letter"
    assert lines(run("dead-letters", "list", "--until", "2026-01-01T01:00Z"))[0] == "2 open dead letters"
    assert lines(run("dead-letters", "list", "--since", "1h"))[0] == "1 open dead letter"
    assert lines(run("dead-letters", "list", "--until", "1h"))[0] == "2 open dead letters"
    assert json.loads(run("dead-letters", "list", "--json", "--tenant", "x").stdout)["count"] == 0
    assert lines(run("dead-letters", "list", "--engine", "grabcut")) == ["0 open dead letters"]


def test_where_they_differ_it_is_said_how_many_failed_of_what(world: ApiWorld, run) -> None:
    die(world, 1, error=PoisonError)
    world.clock.turn(hours=2)
    die(world, 2, 3)
    assert lines(run("dead-letters", "list"))[:2] == ["3 open dead letters", "2 dead-lettered, 1 poison"]
    die(world, 4, 5)
    world.clock.turn(hours=2)
    die(world, 6, error=PoisonError)
    assert lines(run("dead-letters", "list", "--limit", 3))[:2] == [
        "6 open dead letters",
        "2 dead-lettered, 1 poison among the 3 newest",
    ]


def test_one_is_shown_and_its_photo_written_only_if_it_is_asked_for(
    world: ApiWorld, run, tmp_path: Path, monkeypatch, caplog
) -> None:
    monkeypatch.chdir(tmp_path)
    (name,) = die(world, 1)
    shown = run("dead-letters", "show", name)
    assert lines(shown)[0] == f"{name}  failed, epoch 0"
    assert lines(shown)[2].endswith("[dead-lettered]  open")
    assert not Path(f"{name}.jpg").exists()
    assert "dead_letter.photo_opened" not in caplog.messages
    assert lines(run("dead-letters", "show", name, "--photo"))[-1] == f"photo written to {name}.jpg"
    assert Path(f"{name}.jpg").read_bytes() == world.photo
    assert "dead_letter.photo_opened" in caplog.messages
    assert run("dead-letters", "show", "job_nobody").exit_code == 1
    assert json.loads(run("dead-letters", "show", name, "--json").stdout)["status"] == "failed"


def test_a_filter_is_counted_and_then_replayed_to_its_end(world: ApiWorld, run) -> None:
    names = die(world, *range(7))
    world.queue.published.clear()
    counted = run(*REPLAY, "--slug", "dead-lettered", "--dry-run")
    assert lines(counted) == ["7 would be replayed, canary 5; nothing was changed", *names]
    assert opened(world) == []
    done = run(*REPLAY, "--slug", "dead-lettered")
    assert done.exit_code == 0, done.output
    count, first, *_, last_count, end = lines(done)
    assert count == "7 to be replayed, canary 5"
    assert first.startswith("7 selected for replay_")
    assert first.endswith(": canary 5, then 100/s; stops when more than 20% fail again")
    assert (last_count, end) == ("7 of 7, 7 succeeded", "done")
    for name in names:
        assert (world.job(name).epoch, world.job(name).status) == (1, "succeeded")
    assert lines(run("dead-letters", "list")) == ["0 open dead letters"]
    plan = json.loads(world.store.read(world.names("replays/")[-1]).data)
    assert (plan["by"], plan["reason"]) == (who(), "worker down")
    again = run(*REPLAY, "--slug", "dead-lettered")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "[nothing-selected]" in again.stderr


def test_a_replay_whose_canary_fails_stops_with_exit_1(world: ApiWorld, served: Served, run) -> None:
    die(world, *range(7))
    world.clock.turn(hours=1)
    served.works = False
    result = run(*REPLAY, "--slug", "dead-lettered", "--canary", 2, "--stop-above", "50%")
    assert result.exit_code == 1
    assert lines(result)[-2:] == [
        "2 of 7, 0 succeeded, 2 failed again",
        "stopped: 2 of 2 failed again, more than 50%",
    ]
    said, _, command = result.stderr.strip().partition(": ./cutout ")
    assert said == "What has failed again"
    assert sorted(line.split()[0] for line in lines(run(*command.split()))[1:]) == sorted(opened(world))
    replay = json.loads(run("replays", "list", "--json").stdout)["replays"][0]["id"]
    assert run("replays", "show", replay).stderr == result.stderr


def test_named_jobs_are_replayed_or_resolved(world: ApiWorld, run) -> None:
    first, second, third = die(world, 1, 2, 3)
    world.queue.published.clear()
    assert run(*REPLAY, second, "--canary", 0).exit_code == 0
    assert opened(world) == [second]
    result = run("dead-letters", "resolve", first, third, "--reason", "refunded")
    assert lines(result) == [f"{first}  resolved", f"{third}  resolved"]
    assert lines(run("dead-letters", "resolve", first, "--reason", "x")) == [f"{first}  resolved already"]
    unknown = run("dead-letters", "resolve", "job_nobody", "--reason", "x")
    assert (unknown.exit_code, "[job-not-found]" in unknown.stderr) == (1, True)
    told = lines(run("dead-letters", "show", first))[-1]
    assert told.endswith(f"  resolved {world.clock().isoformat()} by {who()}: refunded")


def test_any_number_of_jobs_is_resolved_a_hundred_at_a_time(world: ApiWorld, run) -> None:
    names = die(world, *range(201))
    result = run("dead-letters", "resolve", *names, names[0], "--reason", "refunded")
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines(result) == [f"{name}  resolved" for name in names]
    assert lines(run("dead-letters", "list")) == ["0 open dead letters"]
    assert run("dead-letters", "replay", *names, "--reason", "x").exit_code == 1, "a replay takes no more"


def test_where_one_of_many_is_refused_it_is_said_what_was_resolved(world: ApiWorld, run) -> None:
    names = die(world, *range(203))
    order = [*names[:150], "job_nobody", *names[150:]]
    result = run("dead-letters", "resolve", *order, "--reason", "refunded")
    assert result.exit_code == 1
    assert lines(result) == [f"{name}  resolved" for name in names[:100]]
    said = f"100 of 204 jobs are resolved; from {names[100]} on nothing is known to be\n"
    assert result.stderr.startswith(said)
    assert "There is no job job_nobody." in result.stderr
    assert lines(run("dead-letters", "list"))[0] == "103 open dead letters"
    again = lines(run("dead-letters", "resolve", *names, "--reason", "refunded"))
    assert again[99:101] == [f"{names[99]}  resolved already", f"{names[100]}  resolved"]
    assert lines(run("dead-letters", "list")) == ["0 open dead letters"]


def test_replays_are_listed_shown_and_cancelled(world: ApiWorld, run) -> None:
    die(world, *range(3))
    body = {"reason": "day lost", "by": "ada", "filters": {"slug": "dead-lettered"}}
    replay_id = world.client.post("/v1/replays", json=body).json["id"]
    (count, line) = lines(run("replays", "list"))
    assert count == "1 replay"
    assert line == f"{replay_id}  running  {world.clock().isoformat()}  ada  0 of 3, 0 succeeded  day lost"
    assert lines(run("replays", "show", replay_id))[1:] == [
        f"asked for    {world.clock().isoformat()} by ada: day lost",
        "selected by  slug dead-lettered",
        "how          canary 3, then 5/s; stops when more than 20% fail again",
        "so far       0 of 3, 0 succeeded",
    ]
    cancelled = run("replays", "cancel", replay_id, "--reason", "wrong day")
    said = f"cancelled at {world.clock().isoformat()} by {who()}: wrong day"
    assert (cancelled.exit_code, lines(cancelled)[-1]) == (0, said)
    assert lines(run("replays", "show", replay_id))[-1] == said
    assert json.loads(run("replays", "show", replay_id, "--json").stdout)["ended"]["by"] == who()
    assert json.loads(run("replays", "list", "--json").stdout)["replays"][0]["status"] == "cancelled"
    assert run("replays", "show", "replay_nobody00").exit_code == 1


@pytest.mark.parametrize(
    "args",
    [
        ["dead-letters", "replay", "job_1"],
        ["dead-letters", "replay", "--reason", "x"],
        ["dead-letters", "replay", "job_1", "--slug", "poison", "--reason", "x"],
        ["dead-letters", "replay", "job_1", "--reason", "x", "--rate", "0/s"],
        ["dead-letters", "replay", "job_1", "--reason", "x", "--rate", "101/s"],
        ["dead-letters", "replay", "job_1", "--reason", "x", "--rate", "0.0000001/s"],
        ["dead-letters", "replay", "job_1", "--reason", "x", "--rate", "fast"],
        ["dead-letters", "replay", "job_1", "--reason", "x", "--canary", "-1"],
        ["dead-letters", "replay", "job_1", "--reason", "x", "--stop-above", "0.2"],
        ["dead-letters", "replay", "job_1", "--reason", "x", "--stop-above", "101%"],
        ["dead-letters", "list", "--since", "yesterday"],
        ["dead-letters", "resolve", "--reason", "x"],
        ["dead-letters", "resolve", "job_1"],
        ["replays", "cancel"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2_and_changes_nothing(world: ApiWorld, run, args: list[str]) -> None:
    before = world.names()
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert result.stderr
    assert world.names() == before


@pytest.mark.parametrize(
    ("options", "slug"),
    [
        (["job_nobody"], "job-not-found"),
        (["--slug", "nonsense"], "nothing-selected"),
        (["--slug", "dead-lettered", "--canary", "3"], "invalid-value"),
    ],
    ids=str,
)
def test_an_order_that_is_refused_is_exit_1_with_a_sentence_and_changes_nothing(
    world: ApiWorld, run, options: list[str], slug: str
) -> None:
    die(world, 1, 2)
    before = world.names()
    result = run(*REPLAY, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"[{slug}]" in result.stderr
    assert world.names() == before


def test_an_interrupt_leaves_the_replay_to_the_service_and_says_so(
    world: ApiWorld, served: Served, run
) -> None:
    """The command is only one of a replay's drivers."""
    names = die(world, 1, 2)
    world.queue.published.clear()
    served.after_step = lambda: os.kill(os.getpid(), signal.SIGINT)
    result = run(*REPLAY, "--slug", "dead-lettered", "--canary", 1)
    assert result.exit_code == 130
    (replay_id,) = (name.split("/")[1] for name in world.names("replaying/"))
    assert f"The service goes on with {replay_id}" in result.stderr
    for _ in range(20):
        world.client.post("/internal/sweep")
        push_all(world)
    assert opened(world) == names
    assert world.names("replaying/") == []
