"""A replay is counted before it begins, and who sits at a terminal is asked whether so many are meant."""

import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.pace import ONE_MACHINE
from tests.api_world import ApiWorld
from tests.dead import die, opened
from tests.scripted import runner
from tests.served import REPLAY, Served, lines
from tests.system import ROOT

BY_SLUG = (*REPLAY, "--slug", "dead-lettered")


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path, pace=replace(ONE_MACHINE, beat=timedelta(milliseconds=20)))


@pytest.fixture
def run(served: Served) -> Any:
    return runner(served)


@contextmanager
def at_a_terminal(served: Served, *words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the command with a terminal to ask at; give it, and the end of the one who sits there."""
    operator, terminal = pty.openpty()
    command = [ROOT / "cutout", *words, "--url", served.url]
    streams = {"stdin": terminal, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    try:
        with subprocess.Popen(command, **streams) as process:
            try:
                yield process, operator
            except BaseException:
                process.kill()  # it may be asking still
                raise
    finally:
        os.close(operator)
        os.close(terminal)


def interrupt(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C until it is heard: just before the read that waits for an answer, it is not."""
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)


def everything(world: ApiWorld) -> dict[str, int]:
    return {stat.name: stat.generation for stat in world.store.list("").objects}


# --- the order ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stdin", ["</dev/null", "<&-"])
def test_the_count_is_printed_before_the_service_is_asked_to_begin(
    world: ApiWorld, served: Served, tmp_path: Path, stdin: str
) -> None:
    """A sweep may open the canary as soon as there is a plan; a script has nobody to ask."""
    die(world, *range(7))
    said, until_then = tmp_path / "said", []
    served.before_order = lambda _: until_then.append(said.read_text())
    with said.open("w") as stdout:
        words = ["sh", "-c", f'exec "$0" "$@" {stdin}', ROOT / "cutout", *BY_SLUG, "--url", served.url]
        subprocess.run(words, stdout=stdout, check=True)
    assert [order.get("dry_run", False) for order in served.orders] == [True, False]
    assert until_then == ["", "7 to be replayed, canary 5\n"]


@pytest.mark.parametrize("words", [("--slug", "dead-lettered"), ("JOB",)], ids=str)
def test_what_is_counted_is_what_is_ordered(
    world: ApiWorld, served: Served, run, words: tuple[str, ...]
) -> None:
    (name,) = die(world, 1)
    before, unchanged = everything(world), []
    served.before_order = lambda _: unchanged.append(everything(world) == before)
    assert run(*REPLAY, *(name if word == "JOB" else word for word in words)).exit_code == 0
    counted, begun = served.orders
    assert counted == begun | {"dry_run": True}
    assert unchanged == [True, True], "to count changes nothing"


def test_an_age_counts_from_the_services_clock_and_once_for_count_and_order(
    world: ApiWorld, served: Served, run
) -> None:
    """The clock of whoever runs the command may be a week off; this test's is, by months."""
    die(world, 1)
    world.clock.turn(hours=2)
    late = die(world, 2)
    since = (world.clock() + timedelta(minutes=1) - timedelta(hours=1)).isoformat()
    served.before_order = lambda _: world.clock.turn(minutes=1)
    assert run(*REPLAY, "--since", "1h").exit_code == 0
    counted, begun = served.orders
    assert (counted["filters"], begun["filters"]) == ({"since": "1h"}, {"since": since})
    assert opened(world) == late


def test_what_has_changed_since_the_count_is_said(world: ApiWorld, served: Served, run) -> None:
    die(world, 1, 2)

    def fail_meanwhile(order: dict[str, Any]) -> None:
        if "dry_run" not in order:
            die(world, 3)

    served.before_order = fail_meanwhile
    result = run(*BY_SLUG)
    assert result.exit_code == 0, result.output
    first, second, *_ = lines(result)
    assert first == "2 to be replayed, canary 2"
    assert second.startswith("3 selected (2 when they were counted) for replay_")
    assert len(opened(world)) == 3


def test_what_is_gone_since_the_count_begins_nothing(world: ApiWorld, served: Served, run) -> None:
    (name,) = die(world, 1)

    def resolve_meanwhile(order: dict[str, Any]) -> None:
        if "dry_run" not in order:
            world.client.post("/v1/dead-letters/resolve", json={"jobs": [name], "reason": "refunded"})

    served.before_order = resolve_meanwhile
    result = run(*BY_SLUG)
    assert (result.exit_code, "[nothing-selected]" in result.stderr) == (1, True)
    assert world.names("repla") == []


def test_where_nothing_is_meant_nothing_is_begun(world: ApiWorld, served: Served, run) -> None:
    die(world, 1)
    before = everything(world)
    result = run(*REPLAY, "--slug", "poison")
    assert (result.exit_code, result.stdout) == (1, "")
    assert [order["dry_run"] for order in served.orders] == [True], "and it was not even asked to"
    assert everything(world) == before


# --- a terminal ---------------------------------------------------------------------------------


def test_at_a_terminal_nothing_begins_until_somebody_says_so(world: ApiWorld, served: Served) -> None:
    die(world, 1, 2)
    with at_a_terminal(served, *BY_SLUG) as (process, operator):
        assert process.stdout.readline() == "2 to be replayed, canary 2\n"
        assert world.names("repla") == []
        os.write(operator, b"y\n")
        said = process.stdout.readlines()
    assert (process.returncode, said[-1]) == (0, "done\n")
    assert len(opened(world)) == 2


@pytest.mark.parametrize(("answer", "status"), [(b"n\n", 1), (b"\n", 1), (signal.SIGINT, 130)], ids=str)
def test_who_does_not_say_yes_has_begun_nothing(
    world: ApiWorld, served: Served, answer: bytes | int, status: int
) -> None:
    die(world, 1, 2)
    before = everything(world)
    with at_a_terminal(served, *BY_SLUG) as (process, operator):
        assert process.stdout.readline() == "2 to be replayed, canary 2\n"
        assert process.stderr.read(1) == "R", "it asks"
        if isinstance(answer, bytes):
            os.write(operator, answer)
        else:
            interrupt(process)
        said = process.stderr.read()
    assert (process.returncode, "nothing was begun" in said) == (status, status == 1)
    assert [order["dry_run"] for order in served.orders] == [True]
    assert everything(world) == before


@pytest.mark.parametrize("words", [("--slug", "dead-lettered", "--yes"), ("JOB",)], ids=str)
def test_at_a_terminal_nobody_is_asked_who_has_said_it_already(
    world: ApiWorld, served: Served, words: tuple[str, ...]
) -> None:
    (name,) = die(world, 1)
    named = [name if word == "JOB" else word for word in words]
    with at_a_terminal(served, *REPLAY, *named) as (process, _):
        said, asked = process.communicate(timeout=20)
    assert (process.returncode, asked) == (0, "")
    assert said.splitlines()[-1] == "done"
