"""Tell what happened to a job, for whoever is on call: ``./cutout job JOB``.

However much happened, the story has fewer than sixty lines, ends with what will happen next or what to do,
and never shows the customer's metadata.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import click

from ops.answers import problem_text
from ops.arguments import Text, operator_options
from ops.client import connect
from ops.evidence import Evidence, Facts, elapsed, last_sign
from ops.moral import moral
from ops.show import delivery_line, json_line, size_text
from shared.history import COUNTED, ClaimTrace, EpochTrace, Release
from shared.records import results_prefix

#: How a job fails whose attempts are used up.
_GIVEN_UP = {error.slug for error in COUNTED.values()}

#: The longest story: this many lines from its beginning, and as many from its end.
_FIRST_LINES, _LAST_LINES = 14, 30
#: Columns before what happened: how long after the promise, and when.
_BEFORE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened."""

    at: datetime
    kind: str
    text: str


@click.command()
@click.argument("job_id", type=Text(), metavar="JOB")
@operator_options
@click.option("--json", "as_json", is_flag=True, help="Print the records as one line of JSON.")
def job(job_id: str, url: str, key: str | None, *, as_json: bool) -> None:
    """Tell what happened to one job, from its records (operators).

    Exit status: 0 told, 1 unknown, 3 the service cannot be reached.
    """
    with connect(url, key) as client:
        document = client.records(job_id)
    click.echo(json_line(document) if as_json else "\n".join(tell(document)))


def tell(document: Mapping[str, Any]) -> list[str]:
    """Return the story of a job from an answer of ``GET /v1/jobs/{id}/records``: one line an event."""
    evidence = Evidence.from_document(document)
    now, accepted = evidence.history.now, evidence.history.accepted
    events = sorted(_events(evidence), key=lambda event: event.at)
    zero = accepted.updated if accepted else now
    return [
        f"{evidence.job_id or 'unnamed job'}, as of {now:%Y-%m-%d %H:%M:%S %Z}",
        *_lines(events, zero),
        _told(now, zero, "now"),
        *_pictures(evidence),
        moral(evidence),
        *([delivery_line(document)] if evidence.is_open and document.get("delivery") == "paused" else []),
    ]


# --- how it is told -----------------------------------------------------------------------------


def _lines(events: list[Event], zero: datetime) -> list[str]:
    """Tell the events; publications in a row as one, and only the ends of a story that is too long."""
    runs = [list(run) for _, run in groupby(enumerate(events), key=lambda pair: _run_key(*pair))]
    told = [_line([event for _, event in run], zero) for run in runs]
    left_out = runs[_FIRST_LINES:-_LAST_LINES]
    if not left_out:
        return told
    kinds = Counter(event.kind for run in left_out for _, event in run)
    summary = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return [
        *told[:_FIRST_LINES],
        f"{'...':<{_BEFORE}}left out: {summary}; --json shows all",
        *told[-_LAST_LINES:],
    ]


def _run_key(position: int, event: Event) -> object:
    return event.kind if event.kind == "published" else position


def _line(run: list[Event], zero: datetime) -> str:
    first, last = run[0], run[-1]
    often = f"{len(run)} times until +{elapsed(last.at - zero)}: " if len(run) > 1 else ""
    return _told(first.at, zero, f"{often}{last.text}")


def _told(at: datetime, zero: datetime, text: str) -> str:
    """Say how long after the promise something was, and at what time: the logs have the time alone."""
    after = f"+{elapsed(at - zero)}" if at >= zero else f"-{elapsed(zero - at)}"  # that was restored since
    return f"{after:<14}{at:%m-%d %H:%M:%S}  {text}"


# --- what happened ------------------------------------------------------------------------------


def _events(evidence: Evidence) -> Iterator[Event]:
    if accepted := evidence.history.accepted:
        yield Event(at=accepted.updated, kind="accepted", text=f"accepted: {_promise(evidence.accepted)}")
    for epoch in evidence.epochs:
        yield from _beginning(evidence, epoch)
        for claim in epoch.claims.values():
            yield from _attempt(evidence, epoch, claim)
        yield from _end(evidence, epoch)
    yield from _dead_letters(evidence)


def _dead_letters(evidence: Evidence) -> Iterator[Event]:
    for stat in evidence.under("dead/"):
        if stat.name.endswith(".resolved.json"):
            facts = Facts(evidence.documents.get(stat.name))
            text = f"resolved by {facts.text('by', 'unknown')}: {facts.text('reason', 'no reason given')}"
            yield Event(at=stat.updated, kind="resolved", text=text)
        elif not stat.name.endswith((".replayed.json", ".closed.json")):  # the epoch that was opened tells
            yield Event(at=stat.updated, kind="dead", text=f"entered in the operators' index, {stat.name}")


def _promise(accepted: Facts) -> str:
    photo, recipe = accepted.part("photo"), accepted.part("recipe")
    side = f"{photo.text('width', '?')} x {photo.text('height', '?')} px"
    effects = ", ".join(_effect(effect) for effect in recipe.parts("effects"))
    usual = {"background": "transparent", "crop": "none", "margin": "0.05"}
    wishes = [
        f"{name} {text}"
        for name, _ in recipe.items()
        if name != "effects" and (text := recipe.text(name)) and text != usual.get(name)
    ]
    size = size_text(photo.count("bytes"))
    kind = photo.text("content_type", "unknown type")
    return f"photo {side}, {size}, {kind}; " + ", ".join([effects or "no effects", *wishes])


def _effect(effect: Facts) -> str:
    parameters = ", ".join(f"{name}={effect.text(name)}" for name, _ in effect.items() if name != "name")
    return effect.text("name", "unnamed") + (f" ({parameters})" if parameters else "")


def _beginning(evidence: Evidence, epoch: EpochTrace) -> Iterator[Event]:
    if epoch.opened:
        opened = evidence.record(epoch, "opened.json")
        who = opened.text("by") or opened.text("who", "unknown")
        why = f": {reason}" if (reason := opened.text("reason")) else ""
        text = f"epoch {epoch.number} opened for {opened.text('kind', 'reasons unknown')}, by {who}{why}"
        yield Event(at=epoch.opened.updated, kind="opened", text=text)
    for number, stat in sorted(epoch.published.items()):
        by = evidence.record(epoch, f"published/{number}.json").text("by", "unknown")
        yield Event(
            at=stat.updated, kind="published", text=f"handed to the queue by {by} (publication {number})"
        )


def _attempt(evidence: Evidence, epoch: EpochTrace, claim: ClaimTrace) -> Iterator[Event]:
    if claim.claimed:
        facts = evidence.record(epoch, f"claims/{claim.number}.json")
        revision = f", revision {text}" if (text := facts.text("revision")) else ""
        who = f"attempt {claim.number} claimed by {facts.text('worker', 'unknown')}{revision}"
        yield Event(at=claim.claimed.updated, kind="claimed", text=who)
    sign = last_sign(claim)
    if claim.released:
        text = _release(evidence, epoch, claim)
        yield Event(at=claim.released.updated, kind="released", text=f"attempt {claim.number} {text}")
    if sign and evidence.is_silent(epoch, claim) and (text := _silence(evidence, epoch, claim)):
        last = "last beat" if sign is claim.beat else "no beat at all"
        yield Event(at=sign.updated, kind="fallen silent", text=f"attempt {claim.number}: {last}{text}")


def _release(evidence: Evidence, epoch: EpochTrace, claim: ClaimTrace) -> str:
    reason = evidence.reason(epoch, claim)
    detail = evidence.record(epoch, f"claims/{claim.number}.released.json").text("detail")
    counts = "counts" if reason in COUNTED else "does not count"
    what = "was taken for dead" if reason == Release.SILENT.value else f"gave the job back: {reason}"
    return what + (f", {detail}" if detail else "") + f" ({counts})"


def _silence(evidence: Evidence, epoch: EpochTrace, claim: ClaimTrace) -> str:
    """Say what followed an attempt's last sign, if its end is not told otherwise."""
    terminal = evidence.terminal(epoch)
    by_worker = terminal.text("settled_by") == "worker"
    has_settled = by_worker and terminal.count("attempt") == claim.number
    # Another worker that has given the job up names the last attempt as well.
    is_given_up = terminal.part("error").text("slug") in _GIVEN_UP
    if has_settled and (claim.released is None or not is_given_up):
        return ""
    sign = last_sign(claim)
    if claim.released and sign and sign.updated >= claim.released.updated:
        return ", after it was taken for dead"
    if (
        claim.released
        or claim.number < epoch.attempts
        or (terminal.text("status") == "failed" and not by_worker)
    ):
        return ", then silence: its worker died"
    if epoch.terminal:
        return "; the job was settled without it"
    return f", {elapsed(sign.age)} ago" if sign else ""


def _end(evidence: Evidence, epoch: EpochTrace) -> Iterator[Event]:
    if epoch.terminal:
        text = _outcome(evidence.terminal(epoch))
        yield Event(at=epoch.terminal.updated, kind="settled", text=f"settled: {text}")
    if epoch.announced:
        to = evidence.record(epoch, "announced.json").text("to", "nobody to tell")
        yield Event(at=epoch.announced.updated, kind="announced", text=f"announced: {to}")


def _outcome(terminal: Facts) -> str:
    """Say how an epoch ended."""
    attempt = f", attempt {terminal.count('attempt')}" if terminal.count("attempt") else ""
    text = f"{terminal.text('status', 'unknown')} by {terminal.text('settled_by', 'unknown')}{attempt}"
    if error := terminal.part("error"):
        text += f": {problem_text({name: error.text(name) for name in ('title', 'detail', 'slug')})}"
    timings = terminal.part("timings_ms")
    stages = [f"{name} {value:.0f}" for name, value in timings.items() if isinstance(value, int | float)]
    return text + (f"; ms: {', '.join(stages)}" if stages else "")


def _pictures(evidence: Evidence) -> Iterator[str]:
    for epoch in evidence.epochs:
        winner = evidence.terminal(epoch).count("attempt") if epoch.terminal else 0
        for number in epoch.claims:
            stored = evidence.under(results_prefix(evidence.job_id, epoch.number, number))
            if stored:
                whose = "" if number == winner else ", which has not won: deleted when the job settles"
                size = size_text(sum(stat.size for stat in stored))
                yield f"{'':{_BEFORE}}{len(stored)} pictures stored by attempt {number}, {size}{whose}"
