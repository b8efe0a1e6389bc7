"""Show jobs as their clients see them, cancel them, count the open ones."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from ops.answers import one_line, problem_text
from ops.arguments import Text, operator_options, server_options
from ops.client import connect

_OPEN = frozenset({"queued", "processing"})
_KILO = 1000

_json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as one line of JSON.")


@click.command()
@click.argument("job_id", type=Text(), metavar="JOB")
@server_options
@_json_option
def status(job_id: str, url: str, key: str | None, *, as_json: bool) -> None:
    """Show one job as its client sees it.

    Exit status: 0 while it is open and when it succeeded, 1 when it failed, was cancelled or is unknown,
    3 if the service cannot be reached.
    """
    with connect(url, key) as client:
        job = client.job(job_id)
    click.echo(json_line(job) if as_json else "\n".join(_table(job)))
    sys.exit(0 if is_open(job) or job["status"] == "succeeded" else 1)


@click.command()
@click.argument("job_id", type=Text(), metavar="JOB")
@server_options
@_json_option
def cancel(job_id: str, url: str, key: str | None, *, as_json: bool) -> None:
    """Withdraw a job that has not settled.

    Exit status: 0 cancelled (also when it was already), 1 settled otherwise or unknown, 3 unreachable.
    """
    with connect(url, key) as client:
        job = client.cancel(job_id)
    click.echo(json_line(job) if as_json else job_line(job))


@click.command()
@click.option("--open", "is_asked", is_flag=True, help="Jobs that have not settled; the only choice yet.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Lines to print.")
@operator_options
@_json_option
def jobs(limit: int, url: str, key: str | None, *, is_asked: bool, as_json: bool) -> None:
    """Count the open jobs and list the oldest (operators)."""
    if not is_asked:
        raise click.UsageError("expected --open: only open jobs can be listed")
    with connect(url, key) as client:
        answer = client.open_jobs(limit)
    click.echo(json_line(answer) if as_json else "\n".join(_open_jobs(answer)))


# --- what is printed ----------------------------------------------------------------------------


def is_open(job: Mapping[str, Any]) -> bool:
    """Whether a job may still change by itself."""
    return job["status"] in _OPEN


def json_line(document: Mapping[str, Any]) -> str:
    """Write a document as one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def job_line(job: Mapping[str, Any]) -> str:
    """Say in one line what a job has come to."""
    parts = [job["id"], job["status"]]
    took_s = _between_s(job.get("created_at"), job.get("finished_at"))
    if took_s is not None:
        parts.append(f"{took_s:.1f} s")
    if engine := job.get("engine"):
        parts.append(engine.get("name"))
    if error := job.get("error"):
        parts.append(problem_text(error))
    return "  ".join(one_line(part) for part in parts if part)


def delivery_line(answer: Mapping[str, Any]) -> str:
    """Say in one line whether jobs are delivered."""
    if answer.get("delivery") != "paused":
        return "delivery is running"
    told = answer.get("pause") or {}
    return one_line(
        f"DELIVERY IS PAUSED since {told.get('at')} by {told.get('by')}: {told.get('reason')}"
        " (./cutout resume goes on)"
    )


def size_text(size_bytes: object) -> str:
    """Say a size as people do."""
    if not isinstance(size_bytes, int):
        return "? bytes"
    if size_bytes < _KILO:
        return f"{size_bytes} bytes"
    return f"{size_bytes / _KILO:.0f} kB" if size_bytes < _KILO**2 else f"{size_bytes / _KILO**2:.1f} MB"


def _between_s(begin: str | None, end: str | None) -> float | None:
    if not begin or not end:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def _table(job: Mapping[str, Any]) -> list[str]:
    rows = [(name, value) for name, value in _rows(job) if value not in (None, "")]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {one_line(value)}" for name, value in rows]


def _rows(job: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "job", job["id"]
    yield "status", job["status"] + (f", attempt {job['attempt']}" if job.get("attempt") else "")
    yield "created", job.get("created_at")
    yield "started", job.get("started_at")
    yield "finished", job.get("finished_at")
    is_gone = job["status"] == "succeeded" and not (job.get("results") or job.get("matte"))
    yield ("pictures", "no longer kept") if is_gone else ("kept until", job.get("expires_at"))
    if photo := job.get("input"):
        yield "photo", _picture(photo)
    for name, result in (job.get("results") or {}).items():
        yield name, f"{_picture(result)}  {result.get('url')}"
    for name in ("matte", "preview"):
        if result := job.get(name):
            yield name, f"{_picture(result)}  {result.get('url')}"
    yield "engine", (job.get("engine") or {}).get("name")
    yield "print", (job.get("print") or {}).get("verdict")
    if total := (job.get("timings_ms") or {}).get("total"):
        yield "took", f"{total / _KILO:.1f} s"
    if error := job.get("error"):
        yield "error", problem_text(error)


def _picture(facts: Mapping[str, Any]) -> str:
    size = size_text(facts.get("bytes"))
    if not facts.get("width"):
        return f"{size}, not read yet"
    return f"{facts['width']} x {facts.get('height')} px, {size}, {facts.get('content_type')}"


def _open_jobs(answer: Mapping[str, Any]) -> Iterator[str]:
    listed = answer["jobs"]
    oldest = f", oldest {answer['oldest_age_s']:.1f} s" if answer.get("oldest_age_s") is not None else ""
    if answer.get("delivery") == "paused":
        yield delivery_line(answer)
    yield f"{answer['count']} open{oldest}"
    if not listed:
        return
    counts = Counter(str(job.get("status")) for job in listed)
    among = f" among the {len(listed)} listed" if answer.get("truncated") else ""
    yield ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) + among
    for job in listed:
        facts = (job.get("id"), f"e{job.get('epoch')}", job.get("status"), f"{job.get('age_s')} s")
        yield "  ".join(one_line(fact) for fact in facts)
    if answer.get("truncated"):
        yield f"... and {answer['count'] - len(listed)} more; --limit shows more"
