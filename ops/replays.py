"""Replays on the command line: list, show and cancel them, and drive one until it has ended."""

import getpass
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import click

from ops.answers import one_line
from ops.arguments import Text, operator_options
from ops.client import Client, connect
from ops.show import delivery_line, json_line

_json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as one line of JSON.")

#: A service may say any time, and a driver that comes too early only looks.
_LONGEST_REST_S = 60.0
#: Jobs of a selection that are printed.
_SHOWN = 3


@click.group()
def replays() -> None:
    """List, show and cancel replays (operators)."""


@replays.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Lines to print.")
@operator_options
@_json_option
def list_replays(limit: int, url: str, key: str | None, *, as_json: bool) -> None:
    """List the replays, newest first."""
    with connect(url, key) as client:
        answer = client.get("/v1/replays", "count", "replays", limit=limit)
    click.echo(json_line(answer) if as_json else "\n".join(_listed(answer, limit)))


@replays.command()
@click.argument("replay_id", type=Text(), metavar="REPLAY")
@operator_options
@_json_option
def show(replay_id: str, url: str, key: str | None, *, as_json: bool) -> None:
    """Tell who replays what, why, and how far it has come."""
    with connect(url, key) as client:
        replay = client.get(_path(replay_id), "id", "status")
        held = _held(client) if replay["status"] == "running" and not as_json else ""
    click.echo(json_line(replay) if as_json else "\n".join(told(replay)))
    _say(held)
    _point_to_failures(replay)


@replays.command()
@click.argument("replay_id", type=Text(), metavar="REPLAY")
@click.option("--reason", type=Text(), metavar="TEXT", help="Kept on record.")
@operator_options
@_json_option
def cancel(replay_id: str, reason: str | None, url: str, key: str | None, *, as_json: bool) -> None:
    """Open no further job of a replay; those that are open go on.

    Exit status: 0 cancelled (also when it was already), 1 ended otherwise or unknown, 3 unreachable.
    """
    order = {"by": who()} | ({"reason": reason} if reason else {})
    with connect(url, key) as client:
        replay = client.post(f"{_path(replay_id)}/cancel", order, "id", "status")
    click.echo(json_line(replay) if as_json else "\n".join(told(replay)))


# --- driving ------------------------------------------------------------------------------------


def drive(client: Client, replay: Mapping[str, Any]) -> None:
    """Take a replay's steps until it has ended, say what comes of it, and exit.

    Whoever stops this does not stop the replay: the service's own sweeps go on with it.
    """
    said = held = ""
    try:
        held = _say(_held(client))
        while replay["status"] == "running":
            time.sleep(rest_s(replay))
            replay = client.post(f"{_path(replay['id'])}/advance", {}, "id", "status", "wait_s")
            before, said = said, _say(progress(replay), said)
            if said == before:
                held = _say(_held(client), held)
    except KeyboardInterrupt:
        command = f"./cutout replays cancel {replay['id']}"
        click.echo(f"The service goes on with {replay['id']}; to stop it: {command}", err=True)
        raise
    click.echo(_ending(replay))
    _point_to_failures(replay)
    sys.exit(0 if replay["status"] == "done" and not replay["failed"] else 1)


def rest_s(replay: Mapping[str, Any]) -> float:
    """Return how long to leave a replay alone: as it says, for a minute at most."""
    return min(max(0.0, float(replay["wait_s"])), _LONGEST_REST_S)


def _held(client: Client) -> str:
    """Say why opened jobs are not worked on, or nothing where they are delivered."""
    answer = client.get("/v1/delivery", "delivery")
    return delivery_line(answer) if answer["delivery"] == "paused" else ""


def _say(line: str, said: str = "") -> str:
    """Print a line, unless it was the last of its kind or there is nothing to say; return the last one."""
    if line in {"", said}:
        return said
    click.echo(line)
    return line


def _point_to_failures(replay: Mapping[str, Any]) -> None:
    """Say how to find the jobs that failed again: each is an open dead letter, newer than the replay."""
    if replay.get("failed"):
        command = one_line(f"./cutout dead-letters list --since {replay['created_at']}")
        click.echo(f"What has failed again: {command}", err=True)


def who() -> str:
    """Return who runs this command, for the record; in a container its user may have no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


# --- what is printed ----------------------------------------------------------------------------


def progress(replay: Mapping[str, Any]) -> str:
    """Say how far a replay has come, in one line."""
    parts = [f"{replay['position']} of {replay['count']}", f"{replay['succeeded']} succeeded"]
    parts += [f"{replay[name]} {word}" for name, word in _WORDS.items() if replay.get(name)]
    parts += [f"{count} skipped ({why})" for why, count in sorted(replay["skipped"].items())]
    return one_line(", ".join(parts))


_WORDS = {"failed": "failed again", "other": "ended otherwise", "pending": "open"}


def told(replay: Mapping[str, Any]) -> Iterator[str]:
    """Tell of a replay."""
    rows = {
        replay["id"]: replay["status"],
        "asked for": f"{replay['created_at']} by {replay['by']}: {replay['reason']}",
        "selected by": _filters(replay["filters"]),
        "how": terms(replay),
        "so far": progress(replay),
    }
    yield from (f"{one_line(name):<11}  {one_line(text)}" for name, text in rows.items())
    if replay["ended"]:
        yield _ending(replay)


def counted(count: int, noun: str) -> str:
    """Say how many there are."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def terms(replay: Mapping[str, Any]) -> str:
    """Say at what rate a replay goes, and what stops it."""
    rate, limit = f"{replay['rate_per_s']:g}/s", f"{replay['stop_above']:.0%}"
    return f"canary {replay['canary']}, then {rate}; stops when more than {limit} fail again"


def _filters(filters: Mapping[str, Any]) -> str:
    if jobs := filters.get("jobs"):
        few = ", ".join(jobs[:_SHOWN])
        return f"{counted(len(jobs), 'job')}: {few}{', ...' if len(jobs) > _SHOWN else ''}"
    return ", ".join(f"{name} {value}" for name, value in filters.items())


def _ending(replay: Mapping[str, Any]) -> str:
    ended = replay.get("ended") or {}
    why = f": {ended['reason']}" if ended.get("reason") else ""
    at, by = (f" {word} {ended[word]}" if ended.get(word) else "" for word in ("at", "by"))
    whose = f"{at}{by}" if replay["status"] == "cancelled" else ""
    return one_line(f"{replay['status']}{whose}{why}")


def _listed(answer: Mapping[str, Any], limit: int) -> Iterator[str]:
    yield counted(answer["count"], "replay")
    for replay in answer["replays"]:
        facts = [replay[name] for name in ("id", "status", "created_at", "by")]
        yield "  ".join(one_line(fact) for fact in (*facts, progress(replay), replay["reason"]))
    unreadable = min(answer["count"], limit) - len(answer["replays"])
    if unreadable > 0:
        yield f"{unreadable} of them cannot be read: replay.unreadable in the API's log names the records"
    if answer.get("truncated"):
        yield f"... and {answer['count'] - limit} more; --limit shows more"


def _path(replay_id: str) -> str:
    return f"/v1/replays/{quote(replay_id, safe='')}"
