"""Drive replays: anybody may take the next step of one, at any time, and it goes on as its plan says.

The rate is kept by the store: a batch is created once, and the next one is due by the store's time of the
last.  A driver that dies leaves a batch that the next one does again, which opens no job twice.  A cancel
does no batch again: it goes on record first, whoever opens jobs looks for it before each, and of a batch that
it came upon the jobs themselves tell which were opened.
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from shared import dead_letters, records, reopening, replay_batches, replays
from shared.errors import (
    InternalError,
    NameTakenError,
    NoSuchObjectError,
    ReplayEndedError,
    ReplayNotFoundError,
    TransientError,
)
from shared.ledger import Ledger
from shared.pace import ABANDONED_AFTER
from shared.ports import Stat
from shared.replay_progress import Progress, View, read_plan, read_progress
from shared.replays import Plan, Selected, Step, Tally

log = logging.getLogger(__name__)

_CANCEL_TRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Takes steps of replays."""

    ledger: Ledger
    by: str  #: who drives

    # --- planning and ending --------------------------------------------------------------------

    def begin(self, plan: Plan) -> Plan:
        """Put a plan on record and return it, or the one that is there already; nothing is replayed yet."""
        store = self.ledger.store
        with contextlib.suppress(NameTakenError):
            store.create(replays.marker_name(plan.id), b"{}")
        try:
            records.write_once(store, replays.plan_name(plan.id), plan.document())
        except NameTakenError:
            log.info("replay.asked_again", extra={"replay": plan.id})
            return read_plan(store, plan.id)
        facts = {"replay": plan.id, "by": plan.by, "reason": plan.reason, "count": len(plan.selection)}
        log.info("replay.planned", extra=facts)
        return plan

    def cancel(self, replay_id: str, by: str, reason: str) -> View:
        """End a replay and open no further job; those that are open already go on.

        Raises
        ------
        ReplayEndedError
            If it has ended otherwise.
        """
        plan = read_plan(self.ledger.store, replay_id)
        for _ in range(_CANCEL_TRIES):  # a driver may be taking steps all the while
            view = self._view(plan)
            if view.status == "cancelled":
                self._conclude(view.progress)
                return view
            if view.status != "running":
                raise ReplayEndedError(f"The replay is {view.status} already.")
            self._end(view.progress, "cancelled", by, reason)
        raise ReplayEndedError("The replay goes on faster than it can be cancelled; ask again.")

    def look(self, replay_id: str) -> View:
        """Return a replay as it is, and change nothing."""
        return self._view(read_plan(self.ledger.store, replay_id))

    # --- driving --------------------------------------------------------------------------------

    def advance(self, replay_id: str) -> View:
        """Take the next step of a replay, if one is due, and return what it has come to."""
        plan = read_plan(self.ledger.store, replay_id)
        view = self._view(plan)
        if view.status != "running":
            self._conclude(view.progress)
        elif self._takes_a_step(view):
            view = self._view(plan)
        return view

    def drive_all(self, within: timedelta, monotonic: Callable[[], float]) -> dict[str, int]:
        """Take the steps that are due in all replays, for at most so long; return how many there are."""
        until = monotonic() + within.total_seconds()
        listing = self.ledger.store.list(replays.MARKERS)
        running = [stat for stat in listing.objects if replays.is_replay_id(replays.marked(stat.name))]
        count = len(running)
        while running:
            waits = {stat: wait for stat in running if (wait := self._try(stat)) is not None}
            running, wait_s = list(waits), min((w.total_seconds() for w in waits.values()), default=0.0)
            if monotonic() + wait_s >= until:
                break
            self.ledger.sleep(wait_s)
        return {"replays": count} if count else {}

    def _try(self, marker: Stat) -> timedelta | None:
        """Advance one replay; ``None`` once it needs no more of this driver."""
        replay_id = replays.marked(marker.name)
        try:
            view = self.advance(replay_id)
        except ReplayNotFoundError:
            if marker.age > ABANDONED_AFTER:
                self.ledger.store.delete(marker.name, generation=marker.generation)
            return None
        except TransientError as error:
            log.warning("replay.deferred", extra={"replay": replay_id, "reason": repr(error)})
            return None
        except Exception:
            # One replay that cannot be read must not keep the others, nor the sweep, from going on.
            log.exception("replay.crashed", extra={"replay": replay_id})
            return None
        return view.wait if view.status == "running" else None

    # --- one step -------------------------------------------------------------------------------

    def _takes_a_step(self, view: View) -> bool:
        progress = view.progress
        if not progress.is_done:
            return self._repairs(progress)
        if view.wait:
            return False
        if view.is_over_limit:
            self._end(progress, "stopped", self.by, _limit_text(view))
        elif progress.position == len(progress.plan.selection):
            self._end(progress, "done", self.by, "")
        else:
            self._batch(progress, view.tally)
        return True

    def _batch(self, progress: Progress, tally: Tally) -> None:
        start, stop = progress.plan.batch_after(progress.position, tally.tried)
        step = Step(number=progress.next_number, start=start, stop=stop, at=self.ledger.clock())
        if self._takes(progress.plan, step):
            self._do(replace(progress, last=step, is_done=False))

    def _repairs(self, progress: Progress) -> bool:
        """Do a batch again whose driver has died, once it must have."""
        if progress.since_last < self.ledger.pace.dead_after:
            return False
        log.warning("replay.batch_again", extra={"replay": progress.plan.id})
        self._do(progress)
        return True

    def _do(self, progress: Progress) -> None:
        """Open the jobs of the last batch and put on record what became of each."""
        plan, step = progress.plan, progress.last
        if step is None:
            return
        outcomes = replay_batches.open_jobs(self.ledger, plan, step)
        tally = self._counted(progress.tally).with_outcomes(outcomes)
        opened = list(outcomes.values()).count(reopening.OPENED)
        facts = {"replay": plan.id, "batch": step.number, "opened": opened, "skipped": len(outcomes) - opened}
        log.info("replay.batch", extra=facts)
        if reopening.CANCELLED in outcomes.values():
            return  # another driver may be opening one more: it is told by its job, not by a count made now
        document = tally.document() | {"outcomes": {job_id: what for (job_id, _), what in outcomes.items()}}
        try:
            records.write_once(
                self.ledger.store, replays.step_name(plan.id, step.number, "done.json"), document
            )
        except NameTakenError:
            return  # done by two, who opened the same

    def _end(self, progress: Progress, how: str, by: str, reason: str) -> None:
        plan = progress.plan
        step = Step(number=progress.next_number, end=how, by=by, reason=reason, at=self.ledger.clock())
        if self._takes(plan, step):
            log.info("replay.ended", extra={"replay": plan.id, "how": how, "by": by, "reason": reason})
            if progress.is_done:
                self.ledger.store.delete(replays.marker_name(plan.id))

    def _conclude(self, progress: Progress) -> None:
        """See to what a replay that has ended still owes, and let go of it."""
        plan = progress.plan
        if progress.cut:
            replay_batches.see_to(self.ledger, plan, progress.cut)
            if progress.since_last < self.ledger.pace.dead_after:
                return  # a driver that lives may just be opening one more job, which is seen to later
        self.ledger.store.delete(replays.marker_name(plan.id))

    def _takes(self, plan: Plan, step: Step) -> bool:
        """Take a step, unless another driver was faster."""
        try:
            records.write_once(self.ledger.store, replays.step_name(plan.id, step.number), step.document())
        except NameTakenError:
            return False
        return True

    # --- looking --------------------------------------------------------------------------------

    def _view(self, plan: Plan) -> View:
        progress = read_progress(self.ledger.store, plan)
        tally = progress.tally
        if progress.cut:
            tally = tally.with_outcomes(replay_batches.look(self.ledger, plan, progress.cut))
        return View(progress=progress, tally=self._counted(tally), look_again=self.ledger.pace.beat / 2)

    def _counted(self, tally: Tally) -> Tally:
        """Count what has settled since; a marker that is gone says so without a look at the job."""
        if not tally.pending:
            return tally
        names = {stat.name for stat in self.ledger.store.list("open/").objects}
        gone = [key for key in tally.pending if records.marker_name(*key) not in names]
        ends = {key: end for key in gone if (end := self._end_of(key))}
        return tally.with_settled(ends)

    def _end_of(self, key: Selected) -> str | None:
        try:
            terminal = self.ledger.terminal(*key)
        except NoSuchObjectError:
            return None
        except (InternalError, KeyError, TypeError, ValueError):
            # What cannot be read will never say how it ended; the replay must end all the same.
            log.exception("replay.job_crashed", extra={"job_id": key[0]})
            return "unproven"
        if dead_letters.is_due(terminal):
            return "failed"
        return {"succeeded": "succeeded", "failed": "other"}.get(terminal.status, "unproven")


def _limit_text(view: View) -> str:
    tally, limit = view.tally, view.progress.plan.stop_above
    return f"{tally.failed} of {tally.answered} failed again, more than {limit:.0%}"
