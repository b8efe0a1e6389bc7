"""Open one failed job again under the same id, in its next epoch: of any number of replays one wins."""

from collections.abc import Callable, Mapping
from typing import Any

from shared import dead_letters, records, settling
from shared.errors import NoSuchObjectError
from shared.history import History
from shared.ledger import Ledger
from shared.records import Accepted, Terminal
from shared.replays import Plan, Selected

#: What became of a job: it was opened, or its records cannot be read, or its replay ended before its turn
#: came; anything else says why it was skipped.
OPENED, UNREADABLE, CANCELLED = "opened", "unreadable", "replay cancelled"


def reopen(ledger: Ledger, plan: Plan, selected: Selected, is_over: Callable[[], bool]) -> str:
    """Replay one job, unless its replay is over; return ``opened``, or why it was left alone.

    It may be asked for again and again.
    """
    job_id, epoch = selected
    history, accepted = ledger.glance(job_id)
    trace = history.epoch(epoch)
    if accepted is None or trace is None:
        return "unknown"
    if history.newest.number > epoch:
        return _opened_already(ledger, history, plan, selected)
    if trace.terminal is None:
        return "open"
    terminal = ledger.terminal(job_id, epoch)
    if reason := _reason_against(ledger, plan, selected, accepted, terminal):
        return reason
    if trace.announced is None:
        settling.finish(ledger, job_id, epoch, terminal)
    if is_over():
        return CANCELLED
    ledger.open(job_id, epoch + 1, _opening(ledger, plan))
    return _opened_already(ledger, ledger.history(job_id), plan, selected)


def see_to(ledger: Ledger, plan: Plan, selected: Selected) -> str:
    """Do what is left to be done about a job that was opened; leave one alone that was not."""
    history = ledger.history(selected[0])
    if history.epoch(selected[1] + 1) is None:
        return CANCELLED
    return _opened_already(ledger, history, plan, selected)


def look(ledger: Ledger, plan: Plan, selected: Selected) -> str:
    """Say what became of a job of a replay that has ended, and change nothing."""
    try:
        return _whose(plan, _opening_of(ledger, selected))
    except NoSuchObjectError:
        return CANCELLED


def _reason_against(
    ledger: Ledger, plan: Plan, selected: Selected, accepted: Accepted, terminal: Terminal
) -> str | None:
    if terminal.status != "failed":
        return terminal.status
    if ledger.clock() >= accepted.expires_at:
        return "expired"
    return "resolved" if not plan.is_of_named_jobs and _is_resolved(ledger, selected, terminal) else None


def _is_resolved(ledger: Ledger, selected: Selected, terminal: Terminal) -> bool:
    """Whether an operator has written that nothing more is to be done about a failure."""
    try:
        ledger.store.stat(records.dead_name(terminal.at, *selected, dead_letters.RESOLVED))
    except NoSuchObjectError:
        return False
    return True


def _opening(ledger: Ledger, plan: Plan) -> dict[str, Any]:
    return {
        "kind": "replay",
        "replay": plan.id,
        "by": plan.by,
        "reason": plan.reason,
        "at": ledger.clock().isoformat(),
    }


def _opened_already(ledger: Ledger, history: History, plan: Plan, selected: Selected) -> str:
    """Say whose the next epoch is; what is left to be done about ours is done."""
    job_id, epoch = selected
    opened = _opening_of(ledger, selected)
    if (whose := _whose(plan, opened)) != OPENED:
        return whose
    _index(ledger, plan, selected, opened)
    trace = history.epoch(epoch + 1)
    if trace and not (trace.published or trace.claims or trace.terminal):
        ledger.publish(job_id, epoch + 1, 0, by="replay")
    return OPENED


def _opening_of(ledger: Ledger, selected: Selected) -> Mapping[str, Any]:
    job_id, epoch = selected
    return records.read_record(ledger.store, records.epoch_name(job_id, epoch + 1, "opened.json"))


def _whose(plan: Plan, opened: Mapping[str, Any]) -> str:
    if opened.get("replay") == plan.id:
        return OPENED
    return "replayed already" if opened.get("kind") == "replay" else "erased"


def _index(ledger: Ledger, plan: Plan, selected: Selected, opened: Mapping[str, Any]) -> None:
    job_id, epoch = selected
    terminal = ledger.terminal(job_id, epoch)
    if dead_letters.is_due(terminal):
        document = {"replay": plan.id, "by": plan.by, "reason": plan.reason, "at": opened.get("at")}
        dead_letters.handle(ledger.store, selected, terminal, dead_letters.REPLAYED, document)
