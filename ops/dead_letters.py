"""Dead letters on the command line: find them, show one, replay them, write some off."""

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from ops.answers import DamagedError, RefusedError, one_line
from ops.arguments import Text, operator_options
from ops.client import Client, connect
from ops.dead_letter_lines import listed, slip, told
from ops.moments import Moment, Rate, Share
from ops.pictures import whole
from ops.replays import drive, terms, who
from ops.show import json_line

_FILTERS = ("since", "until", "slug", "tenant", "engine")
#: As many as the service takes in one order.
_RESOLVED_AT_ONCE = 100
_EXTENSIONS = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/heic": ".heic"}

_json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as one line of JSON.")
_reason_option = click.option("--reason", type=Text(), metavar="TEXT", required=True, help="Kept on record.")


def _filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what tells dead letters apart."""
    for option in (
        click.option("--engine", type=Text(), metavar="NAME", help="That worked on them."),
        click.option("--tenant", type=Text(), metavar="ID", help="Whose jobs, as list names it."),
        click.option(
            "--slug", type=Text(), metavar="SLUG", help="Why they failed: poison, timeout, dead-lettered, ..."
        ),
        click.option("--until", metavar="TIME", type=Moment(), help="Where the time ends."),
        click.option("--since", metavar="TIME", type=Moment(), help="2026-11-25T06:00Z, 2026-11-25, 12h."),
    ):
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """Find, show, replay and resolve jobs that failed by no fault of their photo (operators)."""


@dead_letters.command("list")
@_filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Lines to print.")
@operator_options
@_json_option
def list_letters(limit: int, url: str, key: str | None, *, as_json: bool, **filters: str | None) -> None:
    """Count the open dead letters and list the newest; to look at them is no delivery."""
    with connect(url, key) as client:
        answer = client.get("/v1/dead-letters", "count", "dead_letters", limit=limit, **filters)
    click.echo(json_line(answer) if as_json else "\n".join(listed(answer)))
    if not answer["count"] and (why := slip(filters["slug"])):
        click.echo(one_line(why), err=True)


@dead_letters.command()
@click.argument("job_id", type=Text(), metavar="JOB")
@click.option(
    "--photo",
    "is_photo_wanted",
    is_flag=True,
    help="Write the photo to ./JOB.EXT, if nothing is there; this is logged.",
)
@operator_options
@_json_option
def show(job_id: str, url: str, key: str | None, *, is_photo_wanted: bool, as_json: bool) -> None:
    """Tell how one job has failed, and what was done about it."""
    with connect(url, key) as client:
        answer = client.get(_path(job_id), "id", "dead_letters")
        click.echo(json_line(answer) if as_json else "\n".join(told(answer)))
        if is_photo_wanted:
            click.echo(f"photo written to {_fetch_photo(client, answer)}", err=as_json)


@dead_letters.command()
@click.argument("jobs", type=Text(), metavar="[JOB]...", nargs=-1)
@_filter_options
@_reason_option
@click.option("--rate", type=Rate(), default="5/s", show_default=True, help="Jobs opened a second.")
@click.option("--canary", type=click.IntRange(min=0), help="So many first, and wait for them.  [default: 5]")
@click.option(
    "--stop-above", type=Share(), default="20%", show_default=True, help="Of the answered, failed again."
)
@click.option("--dry-run", is_flag=True, help="Count, and change nothing.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask, on a terminal, whether so many are meant.")
@operator_options
def replay(
    jobs: tuple[str, ...], url: str, key: str | None, *, dry_run: bool, is_sure: bool, **options: Any
) -> None:
    """Open jobs that have failed again, under the same ids: those named, or those that filters mean.

    They are counted before anything begins; on a terminal, what filters mean is begun when you say so.
    The selection is frozen then. Interrupting this command does not stop a replay that has begun.

    Exit status: 0 all that were opened succeeded, 1 some failed again or nothing is meant, 2 usage,
    3 unreachable, 130 interrupted.
    """
    order = _order(jobs, options)
    with connect(url, key) as client:
        meant = client.post("/v1/replays", order | {"dry_run": True}, "count", "canary", "jobs")
        if dry_run:
            click.echo("\n".join(_selected(meant)))
            return
        click.echo(f"{meant['count']} to be replayed, canary {meant['canary']}")
        if not jobs and not is_sure:
            _confirm()
        counted = {"filters": meant["filters"]} if "filters" in order and meant.get("filters") else {}
        key = secrets.token_hex(16)
        plan = client.post("/v1/replays", order | counted, "id", "status", "count", key=key)
        click.echo(one_line(f"{_frozen(plan, meant)} for {plan['id']}: {terms(plan)}"))
        drive(client, plan)


@dead_letters.command()
@click.argument("jobs", type=Text(), metavar="JOB...", nargs=-1, required=True)
@_reason_option
@operator_options
def resolve(jobs: tuple[str, ...], reason: str, url: str, key: str | None) -> None:
    """Write down that nothing more is to be done about jobs.

    Of 100 jobs all are resolved, or none. More are taken a hundred at a time, until some are refused; to
    run this again harms nothing.
    """
    named = list(dict.fromkeys(jobs))
    with connect(url, key) as client:
        for start in range(0, len(named), _RESOLVED_AT_ONCE):
            order = {"jobs": named[start : start + _RESOLVED_AT_ONCE], "reason": reason, "by": who()}
            with _saying_what_is_left(named[start:], of=len(named)):
                answer = client.post("/v1/dead-letters/resolve", order, "resolved", "already")
            click.echo("\n".join(_outcomes(answer)))


# --- what is sent and printed -------------------------------------------------------------------


def _order(jobs: tuple[str, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    filters = {name: options[name] for name in _FILTERS if options[name] is not None}
    if bool(jobs) == bool(filters):
        raise click.UsageError("name jobs, or give filters (--since, --slug, ...), and not both")
    order = {"jobs": list(jobs)} if jobs else {"filters": filters}
    canary = {} if options["canary"] is None else {"canary": options["canary"]}
    terms = {"reason": options["reason"], "rate_per_s": options["rate"], "stop_above": options["stop_above"]}
    return order | canary | terms | {"by": who()}


def _confirm() -> None:
    """Ask who sits at a terminal whether so many are meant; a script has nobody to ask."""
    if sys.stdin is None or not sys.stdin.isatty():
        return
    try:
        is_meant = click.confirm("Replay them?", err=True)
    except click.Abort:
        raise KeyboardInterrupt from None  # or its exit status would be a refusal's
    if not is_meant:
        raise RefusedError("nothing was begun")


def _fetch_photo(client: Client, answer: Mapping[str, Any]) -> Path:
    job_id, photo = answer["id"], answer["photo"]
    into = Path(one_line(job_id) + _EXTENSIONS.get(photo.get("content_type"), ""))
    if os.path.lexists(into):
        raise RefusedError(f"{into} is there already; move it away to fetch the photo")
    try:
        with whole(into) as unfinished:
            size_bytes, _ = client.download(f"{client.url}{_path(job_id)}/photo", unfinished)
            if size_bytes != photo.get("bytes"):
                said = f"{size_bytes} bytes arrived, the photo has {photo.get('bytes')}; fetch it again"
                raise DamagedError(said)
    except OSError as error:
        raise DamagedError(f"{into} was not written: {error.strerror or error}") from error
    return into


@contextmanager
def _saying_what_is_left(left: list[str], *, of: int) -> Iterator[None]:
    """Where an order is the last of several, since it has failed, say how far they have come."""
    try:
        yield
    except click.ClickException:
        if of > _RESOLVED_AT_ONCE:
            said = f"{of - len(left)} of {of} jobs are resolved; from {left[0]} on nothing is known to be"
            click.echo(said, err=True)
        raise


def _outcomes(answer: Mapping[str, Any]) -> Iterator[str]:
    for name, word in (("resolved", "resolved"), ("already", "resolved already")):
        yield from (f"{one_line(job_id)}  {word}" for job_id in answer[name])


def _selected(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"{answer['count']} would be replayed, canary {answer['canary']}; nothing was changed"
    yield from (one_line(job_id) for job_id in answer["jobs"])
    if answer["count"] > len(answer["jobs"]):
        yield f"... and {answer['count'] - len(answer['jobs'])} more"


def _frozen(plan: Mapping[str, Any], meant: Mapping[str, Any]) -> str:
    """Say how many a plan holds; jobs may have failed, or been replayed, since they were counted."""
    was = f" ({meant['count']} when they were counted)" if plan["count"] != meant["count"] else ""
    return f"{plan['count']} selected{was}"


def _path(job_id: str) -> str:
    return f"/v1/dead-letters/{quote(job_id, safe='')}"
