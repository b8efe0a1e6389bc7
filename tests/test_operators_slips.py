"""What an operator meets on a bad day is told in a sentence, with what to do, and costs nothing."""

import math
import re
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ops.moral import ADVICE
from ops.replays import rest_s
from shared.errors import DeadLetteredError, EngineUnavailableError, ImageCorruptError, PoisonError
from shared.history import COUNTED
from shared.pace import ONE_MACHINE
from tests.api_world import ApiWorld, slug
from tests.dead import a_plan, die, driver, fail, job_name, push_all
from tests.scripted import runner
from tests.served import REPLAY, Served, lines, serving
from tests.world import JOB, Process


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path, pace=replace(ONE_MACHINE, beat=timedelta(milliseconds=20)))


@pytest.fixture
def run(served: Served) -> Any:
    return runner(served)


# --- the photo of a dead letter -----------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """The folder that the command is run in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_photo_is_not_written_over_what_is_there(
    world: ApiWorld, run, here: Path, kind: str, caplog
) -> None:
    (name,) = die(world, 1)
    there = here / f"{name}.jpg"
    if kind == "file":
        there.write_bytes(b"mine")
    elif kind == "folder":
        there.mkdir()
    else:
        there.symlink_to(here / "nowhere")
    result = run("dead-letters", "show", name, "--photo")
    assert (result.exit_code, lines(result)[0]) == (1, f"{name}  failed, epoch 0")
    assert result.stderr == f"Error: {name}.jpg is there already; move it away to fetch the photo\n"
    assert [file.name for file in here.iterdir()] == [f"{name}.jpg"]
    assert kind != "file" or there.read_bytes() == b"mine"
    assert "dead_letter.photo_opened" not in caplog.messages


def test_a_photo_that_cannot_be_written_is_said(world: ApiWorld, run, here: Path) -> None:
    (name,) = die(world, 1)
    here.rmdir()
    result = run("dead-letters", "show", name, "--photo")
    said = f"Error: {name}.jpg was not written: No such file or directory\n"
    assert (result.exit_code, result.stderr) == (1, said)


def test_a_photo_is_whole_or_not_there(world: ApiWorld, run, here: Path) -> None:
    (name,) = die(world, 1)
    photo = world.ledger().accepted(name).photo.name
    world.store.delete(photo)
    world.store.create(photo, world.photo[:100])
    result = run("dead-letters", "show", name, "--photo")
    assert (result.exit_code, "100 bytes arrived" in result.stderr) == (1, True)
    assert [file.name for file in here.iterdir()] == []


# --- entries that are damaged -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (b'{"version": 1, "slug": "poison", "error": "gone"}', "no attempt  gone [poison]"),
        (b'{"version": 1, "error": ["gone"]}', "no attempt  ['gone'] [unreadable]"),
        (b'{"version": 1, "slug": "poison"}', "no attempt  poison"),
        (b'{"version": 1}', "no attempt  unreadable"),
        (b"not json", "no attempt  unreadable"),
    ],
)
def test_of_a_damaged_entry_is_told_what_can_be(world: ApiWorld, run, entry: bytes, told: str) -> None:
    (name,) = die(world, 1)
    (file,) = world.names("dead/")
    world.store.delete(file)
    world.store.create(file, entry)
    assert lines(run("dead-letters", "list"))[1].endswith(told)
    assert lines(run("dead-letters", "show", name))[2].endswith(f"{told}  open")


# --- jobs whose records are damaged -------------------------------------------------------------


def damage(world: ApiWorld, name: str, data: bytes = b"not json") -> None:
    world.store.delete(name)
    world.store.create(name, data)


@pytest.mark.parametrize("record", ["accepted.json", "e0/terminal.json"])
@pytest.mark.parametrize(
    "data",
    [b"not json", b'{"version": 9}', b'{"version": 1}', b'{"version": 1, "at": 7, "status": "failed"}'],
)
def test_a_job_that_cannot_be_read_is_named_with_its_record(
    world: ApiWorld, record: str, data: bytes, caplog
) -> None:
    whole, damaged = die(world, 1, 2)
    damage(world, f"jobs/{damaged}/{record}", data)
    before = world.names()
    order = {"jobs": [whole, damaged], "reason": "refunded"}
    for answer in (
        world.client.get(f"/v1/dead-letters/{damaged}"),
        world.client.get(f"/v1/dead-letters/{damaged}/photo"),
        world.client.post("/v1/dead-letters/resolve", json=order),
        world.client.post("/v1/replays", json=order),
    ):
        assert slug(answer) == (500, "job-unreadable")
        assert answer.json["detail"].startswith(
            f"{damaged} cannot be read: jobs/{damaged}/{record} is damaged."
        )
    assert world.names() == before
    assert caplog.messages.count("job.unreadable") == 4


def test_an_error_that_is_no_object_is_damage_too(world: ApiWorld) -> None:
    (name,) = die(world, 1)
    data = b'{"version": 1, "status": "failed", "at": "2026-01-01T00:00:00+00:00", "error": "gone"}'
    damage(world, f"jobs/{name}/e0/terminal.json", data)
    assert slug(world.client.get(f"/v1/dead-letters/{name}")) == (500, "job-unreadable")


def test_of_an_earlier_epoch_that_cannot_be_read_the_record_is_named(world: ApiWorld) -> None:
    (name,) = die(world, 1)
    driver(world).begin(a_plan(world, [name]))
    driver(world).advance(a_plan(world, [name]).id)
    fail(world, name, 1)
    damage(world, f"jobs/{name}/e0/terminal.json")
    answer = world.client.get(f"/v1/dead-letters/{name}")
    assert f"jobs/{name}/e0/terminal.json is damaged" in answer.json["detail"]
    damage(world, f"jobs/{name}/e1/opened.json")
    answer = world.client.get(f"/v1/dead-letters/{name}")
    assert f"jobs/{name}/e0/terminal.json, jobs/{name}/e1/opened.json are damaged" in answer.json["detail"]


def test_what_goes_wrong_without_damage_is_a_bug_as_ever(world: ApiWorld) -> None:
    def break_(call: str) -> None:
        if call.startswith("before store.list dead/"):
            raise KeyError("a bug")

    (name,) = die(world, 1)
    assert slug(world.api(Process(break_)).get(f"/v1/dead-letters/{name}")) == (500, "internal-error")


def test_the_command_says_what_is_damaged(world: ApiWorld, run) -> None:
    (name,) = die(world, 1)
    damage(world, f"jobs/{name}/e0/terminal.json")
    for command in ("show", "resolve"):
        reason = ("--reason", "x") if command == "resolve" else ()
        result = run("dead-letters", command, name, *reason)
        assert result.exit_code == 1
        assert f"jobs/{name}/e0/terminal.json is damaged" in result.stderr
        assert "[job-unreadable]" in result.stderr


def test_the_story_of_a_queued_job_ends_with_the_pause_that_keeps_it(world: ApiWorld, run) -> None:
    name, pause = world.submitted(), {"reason": "wrong checkpoint", "by": "ada"}
    assert lines(run("job", name))[-1].startswith("Queued: ")
    assert world.client.post("/v1/delivery/pause", json=pause).status_code == 200
    assert lines(run("job", name))[-1].startswith("DELIVERY IS PAUSED since ")


# --- who is not known, and what is not ----------------------------------------------------------


def test_who_has_no_name_where_the_command_runs_is_named_by_number(world: ApiWorld, run, monkeypatch) -> None:
    (name,) = die(world, 1)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54_321)
    assert run("pause", "--reason", "wrong checkpoint").exit_code == 0
    assert run("dead-letters", "resolve", name, "--reason", "refunded").exit_code == 0
    resolved = world.client.get(f"/v1/dead-letters/{name}").json["dead_letters"][0]["handled"]["by"]
    paused = world.client.get("/v1/delivery").json["pause"]["by"]
    assert resolved == paused == f"uid-54321@{socket.gethostname()}"


@pytest.mark.parametrize("words", ["dead-letters list", "jobs --open", "replays list", f"job {JOB}"])
def test_who_has_given_no_admin_key_is_told_to_give_it(tmp_path: Path, words: str) -> None:
    with serving(ApiWorld(tmp_path, admin_key="k" * 32)) as served:
        result = runner(served)(*words.split())
    assert result.exit_code == 1
    assert result.stderr.endswith("Give --admin-key KEY, or set CUTOUT_ADMIN_KEY, to what the API has.\n")


@pytest.mark.parametrize(
    ("slug", "said"),
    [
        ("oom", "this build knows no failure 'oom'; expected one of: poison, timeout, "),
        ("image-corrupt", "image-corrupt is a photo's own fault: it leaves no dead letter\n"),
    ],
)
def test_a_slug_that_no_dead_letter_has_is_not_taken_for_good_news(
    world: ApiWorld, run, slug: str, said: str
) -> None:
    die(world, 1)
    result = run("dead-letters", "list", "--slug", slug)
    assert (result.exit_code, lines(result)) == (0, ["0 open dead letters"])
    assert result.stderr.startswith(said)


@pytest.mark.parametrize("slug", ["poison", "unreadable"])
def test_a_slug_that_one_could_have_is_counted_and_no_more(run, slug: str) -> None:
    assert run("dead-letters", "list", "--slug", slug).stderr == ""


def test_every_failure_that_can_be_a_dead_letter_has_advice() -> None:
    settles = {kind.slug for kind in (*COUNTED.values(), PoisonError, DeadLetteredError)}
    assert {*settles, EngineUnavailableError.slug} == ADVICE.keys()


def test_a_fault_of_ours_is_told_with_the_request_to_look_for_in_the_log(world: ApiWorld, run) -> None:
    (name,) = die(world, 1)
    replay = driver(world).begin(a_plan(world, [name])).id
    world.store.delete(f"replays/{replay}/plan.json")
    world.store.create(f"replays/{replay}/plan.json", b"{")
    assert re.search(r" \[internal-error, request [0-9a-f]+\]\n$", run("replays", "show", replay).stderr)
    said = "1 of them cannot be read: replay.unreadable in the API's log names the records"
    assert lines(run("replays", "list")) == ["1 replay", said]
    world.clock.turn(hours=1)
    driver(world).begin(a_plan(world, [name], id="replay_20260101000001abcd"))
    count, good, bad = lines(run("replays", "list"))
    assert (count, good.split()[0], bad) == ("2 replays", "replay_20260101000001abcd", said)
    assert lines(run("replays", "list", "--limit", 1))[2] == "... and 1 more; --limit shows more"


# --- what is not to be resolved -----------------------------------------------------------------


def test_a_job_in_replay_is_resolved_when_that_is_over(world: ApiWorld, run) -> None:
    (name,) = die(world, 1)
    driver(world).begin(a_plan(world, [name]))
    driver(world).advance(a_plan(world, [name]).id)
    plan, now = a_plan(world, [name]), world.clock().isoformat()
    said = f"  replayed {now} by {plan.by} as {plan.id}: {plan.reason}"
    assert lines(run("dead-letters", "show", name))[2].endswith(said)
    result = run("dead-letters", "resolve", name, "--reason", "x")
    why = f"{name} was opened again by a replay, and is queued; resolve it if it fails again."
    said = f"Error: The job has not settled yet: {why} [job-not-settled]\n"
    assert (result.exit_code, result.stderr) == (1, said)
    push_all(world)
    result = run("dead-letters", "resolve", name, "--reason", "x")
    why = f"{name} is succeeded: there is nothing to resolve."
    said = f"Error: There is no such dead letter: {why} [dead-letter-not-found]\n"
    assert (result.exit_code, result.stderr) == (1, said)


@pytest.mark.parametrize("command", ["show", "resolve"])
def test_a_job_without_a_dead_letter_says_why_it_has_none(world: ApiWorld, run, command: str) -> None:
    failed, queued = job_name(1), world.submitted()
    die(world, 1, error=ImageCorruptError)
    for name, why in (
        (failed, f"{failed} has failed by its photo's own fault (image-corrupt)"),
        (queued, f"{queued} is queued"),
    ):
        result = run("dead-letters", command, name, *(["--reason", "x"] if command == "resolve" else []))
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: There is no such dead letter: {why}")


def test_a_job_that_has_just_failed_is_not_called_its_photos_fault(world: ApiWorld, run) -> None:
    (name,) = die(world, 1)
    world.store.delete(f"dead/2026-01-01/{name}.e0.json")
    said = f"{name} has just failed (dead-lettered), and is not in the index yet"
    assert said in run("dead-letters", "show", name).stderr


def test_a_photo_that_was_erased_is_not_said_to_be_kept(world: ApiWorld, run) -> None:
    (name,) = die(world, 1)
    assert ", kept until 2027-" in lines(run("dead-letters", "show", name))[1]
    assert world.client.delete(f"/v1/jobs/{name}").status_code == 204
    told = lines(run("dead-letters", "show", name))
    assert told[1].endswith(", no longer kept")
    assert told[2].endswith(f"  closed {world.clock().isoformat()}")


def test_what_is_too_long_says_how_long_it_is(world: ApiWorld, run) -> None:
    die(world, 1)
    result = run(*REPLAY[:2], "--slug", "dead-lettered", "--reason", "x" * 501)
    assert "reason has 501 characters; expected one line of 1 to 500 characters" in result.stderr
    names = [job_name(number) for number in range(101)]
    assert "jobs has 101; expected a list of 1 to 100 jobs" in run(*REPLAY, *names).stderr
    assert world.names("replays/") == []


# --- arguments that nothing can hold ------------------------------------------------------------


BAD = "y\udcff"  # what Python makes of a byte that is not UTF-8


@pytest.mark.parametrize(
    "args",
    [
        ["pause", "--reason", BAD],
        ["pause", "--reason", "x", "--project", BAD],
        ["dead-letters", "list", "--slug", BAD],
        ["dead-letters", "list", "--tenant", BAD],
        ["dead-letters", "list", "--engine", BAD],
        ["dead-letters", "list", "--since", BAD],
        ["dead-letters", "show", BAD],
        ["dead-letters", "replay", BAD, "--reason", "x"],
        ["dead-letters", "replay", "job_1", "--reason", BAD],
        ["dead-letters", "resolve", "job_1", BAD, "--reason", "x"],
        ["dead-letters", "resolve", "job_1", "--reason", BAD],
        ["replays", "show", BAD],
        ["replays", "cancel", BAD],
        ["replays", "cancel", "replay_1", "--reason", BAD],
        ["status", BAD],
        ["cancel", BAD],
        ["job", BAD],
    ],
    ids=" ".join,
)
def test_an_argument_that_is_not_utf8_is_wrong_usage(world: ApiWorld, run, args: list[str]) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, ""), result.exception
    assert r"'y\udcff'" in result.stderr
    assert world.names() == []


@pytest.mark.parametrize("blank", ["", "  "], ids=repr)
@pytest.mark.parametrize(
    ("args", "where"),
    [
        (["pause", "--reason", ""], "--reason"),
        (["dead-letters", "list", "--slug", ""], "--slug"),
        (["dead-letters", "list", "--tenant", ""], "--tenant"),
        (["dead-letters", "list", "--engine", ""], "--engine"),
        (["dead-letters", "show", ""], "JOB"),
        (["dead-letters", "replay", "", "--reason", "x"], "[JOB]..."),
        (["dead-letters", "replay", "JOB", "", "--reason", "x"], "[JOB]..."),
        (["dead-letters", "replay", "JOB", "--reason", ""], "--reason"),
        (["dead-letters", "resolve", "JOB", "", "--reason", "x"], "JOB..."),
        (["dead-letters", "resolve", "JOB", "--reason", ""], "--reason"),
        (["replays", "show", ""], "REPLAY"),
        (["replays", "cancel", ""], "REPLAY"),
        (["replays", "cancel", "replay_1", "--reason", ""], "--reason"),
        (["status", ""], "JOB"),
        (["cancel", ""], "JOB"),
        (["job", ""], "JOB"),
        (["status", "job_1", "--url", ""], "--url"),
    ],
    ids=str,
)
def test_an_argument_that_is_blank_is_wrong_usage_and_changes_nothing(
    world: ApiWorld, run, args: list[str], where: str, blank: str
) -> None:
    (name,) = die(world, 1)
    before = world.names()
    result = run(*[{"": blank, "JOB": name}.get(word, word) for word in args])
    assert (result.exit_code, result.stdout) == (2, ""), result.exception
    assert f"Invalid value for '{where}': {blank!r} is blank; expected text" in result.stderr
    assert world.names() == before


@pytest.mark.parametrize("key", ["bad\nkey", "bad\0key", "bad ", BAD], ids=repr)
@pytest.mark.parametrize(
    "command", [["status", "job_1", "--api-key"], ["replays", "list", "--admin-key"]], ids=lambda c: c[-1]
)
def test_a_key_that_no_header_holds_is_wrong_usage_and_is_not_repeated(
    run, command: list[str], key: str
) -> None:
    result = run(*command, key)
    assert result.exit_code == 2, result.output
    assert "one line of text, without blanks around it" in result.stderr
    assert "bad" not in result.stderr
    assert r"\udcff" not in result.stderr


def test_an_address_that_is_not_utf8_is_wrong_usage(run) -> None:
    result = run("replays", "list", "--url", f"http://{BAD}")
    assert (result.exit_code, "--url" in result.stderr) == (2, True)


# --- replays that stand still, or were many jobs ------------------------------------------------


PAUSED = "DELIVERY IS PAUSED since 2026-01-01T00:00:00+00:00 by ada: wrong model (./cutout resume goes on)"


@pytest.mark.parametrize("is_early", [True, False], ids=["from the beginning", "on the way"])
def test_a_replay_that_waits_for_a_pause_says_so_once(
    world: ApiWorld, served: Served, run, is_early: bool
) -> None:
    die(world, 1, 2)
    world.queue.published.clear()
    steps = iter(range(7))

    def turn() -> None:
        step = next(steps)
        if step == 0:
            world.client.post("/v1/delivery/pause", json={"reason": "wrong model", "by": "ada"})
        if step == 6:
            world.client.post("/v1/delivery/resume")
            served.after_step = lambda: None

    if is_early:
        turn()
    served.after_step = turn
    result = run(*REPLAY, "--slug", "dead-lettered", "--canary", 1)
    assert result.exit_code == 0, result.output
    (told,) = (number for number, line in enumerate(lines(result)) if "PAUSED" in line)
    assert told == (2 if is_early else 4)
    assert lines(result)[told].endswith("by ada: wrong model (./cutout resume goes on)")
    assert lines(result)[-2:] == ["2 of 2, 2 succeeded", "done"]


def test_a_running_replay_that_is_shown_says_that_delivery_is_paused(world: ApiWorld, run) -> None:
    names = die(world, 1)
    plan = world.client.post("/v1/replays", json={"reason": "x", "jobs": names}).json
    assert "PAUSED" not in run("replays", "show", plan["id"]).stdout
    world.client.post("/v1/delivery/pause", json={"reason": "wrong model", "by": "ada"})
    assert lines(run("replays", "show", plan["id"]))[-1] == PAUSED
    assert "PAUSED" not in run("replays", "show", plan["id"], "--json").stdout
    run("replays", "cancel", plan["id"])
    assert "PAUSED" not in run("replays", "show", plan["id"]).stdout


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1, "1 job: job_0000000000000000"),
        (3, "3 jobs: job_0000000000000000, job_0000000000000001, job_0000000000000002"),
        (5, "5 jobs: job_0000000000000000, job_0000000000000001, job_0000000000000002, ..."),
    ],
)
def test_jobs_that_were_named_are_counted_and_the_first_told(
    world: ApiWorld, run, count: int, told: str
) -> None:
    names = die(world, *range(count))
    plan = world.client.post("/v1/replays", json={"reason": "x", "jobs": names}).json
    assert lines(run("replays", "show", plan["id"]))[2] == f"selected by  {told}"


@pytest.mark.parametrize(
    ("asked_s", "rests_s"), [(0.2, 0.2), (61, 60), (1e300, 60), (math.inf, 60), (-1, 0), (math.nan, 0)]
)
def test_a_command_that_drives_a_replay_rests_a_minute_at_most(asked_s: float, rests_s: float) -> None:
    assert rest_s({"wait_s": asked_s}) == rests_s
