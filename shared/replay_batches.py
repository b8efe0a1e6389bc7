"""The jobs of one batch of a replay, side by side: open them, see to those that were opened, or only look."""

import logging
from collections.abc import Callable
from functools import partial

from shared import reopening, replays
from shared.errors import NoSuchObjectError, TransientError
from shared.ledger import Ledger
from shared.replays import Plan, Selected, Step

log = logging.getLogger(__name__)

_AT_ONCE = 16

Outcomes = dict[Selected, str]  #: by the new epoch of each job: ``opened``, or why it was skipped


def open_jobs(ledger: Ledger, plan: Plan, step: Step) -> Outcomes:
    """Open the jobs of a batch, and no further one once a later step is on record."""
    is_over = partial(_is_over, ledger, plan, step)
    return _of_each(ledger, plan, step, lambda selected: reopening.reopen(ledger, plan, selected, is_over))


def see_to(ledger: Ledger, plan: Plan, step: Step) -> Outcomes:
    """Do what is left to be done about the jobs of a batch that were opened; open none."""
    return _of_each(ledger, plan, step, lambda selected: reopening.see_to(ledger, plan, selected))


def look(ledger: Ledger, plan: Plan, step: Step) -> Outcomes:
    """Say what became of the jobs of a batch, and change nothing."""
    return _of_each(ledger, plan, step, lambda selected: reopening.look(ledger, plan, selected))


def _of_each(ledger: Ledger, plan: Plan, step: Step, act: Callable[[Selected], str]) -> Outcomes:
    batch = plan.selection[step.start : step.stop]
    if not batch:
        return {}
    with ledger.pool(min(_AT_ONCE, len(batch)), "replay") as pool:
        outcomes = pool.map(lambda selected: _guarded(plan, selected, act), batch)
        return {(job_id, epoch + 1): what for (job_id, epoch), what in zip(batch, outcomes, strict=True)}


def _guarded(plan: Plan, selected: Selected, act: Callable[[Selected], str]) -> str:
    try:
        return act(selected)
    except TransientError:
        raise
    except Exception:
        # One damaged job must not keep all others of its replay from being opened.
        log.exception("replay.job_crashed", extra={"replay": plan.id, "job_id": selected[0]})
        return reopening.UNREADABLE


def _is_over(ledger: Ledger, plan: Plan, step: Step) -> bool:
    """Whether a batch is no longer anybody's to do: none follows one that is not done, but an end may."""
    try:
        ledger.store.stat(replays.step_name(plan.id, step.number + 1))
    except NoSuchObjectError:
        return False
    return True
