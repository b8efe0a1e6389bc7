"""Drive replays: anybody may take the next step of one, at any time, and it goes on as its plan says.

The rate is kept by the store: a batch is created once, and the next one is due by the store's time of the
last.  A driver that dies leaves a batch that the next one does again, which opens no job twice.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from shared import dead_letters, records, reopening, replays
from shared.errors import (
    NameTakenError,
    NoSuchObjectError,
    ReplayEndedError,
    ReplayNotFoundError,
    TransientError,
)
from shared.ledger import Ledger
from shared.pace import ABANDONED_AFTER
from shared.ports import Stat
from shared.replays import Plan, Progress, Selected, Step, Tally

log = logging.getLogger(__name__)

#: So many jobs of one replay may be open at once: customers' own must not queue behind thousands.
MAX_PENDING = 100
_AT_ONCE = 16
_CANCEL_TRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A replay as of now."""

    progress: Progress
    tally: Tally  #: as of now
    wait: timedelta = timedelta(0)  #: until it is worth asking again

    @property
    def status(self) -> str:
        """One of running, done, stopped, cancelled."""
        last = self.progress.last
        return (last.end if last else None) or "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Takes steps of replays."""

    ledger: Ledger
    by: str  #: who drives

    # --- planning and ending --------------------------------------------------------------------

    def begin(self, plan: Plan) -> Plan:
        """Put a plan on record, unless it is; nothing is replayed yet."""
        store = self.ledger.store
        try:
            store.create(replays.marker_name(plan.id), b"{}")
        except NameTakenError:
            log.info("replay.asked_again", extra={"replay": plan.id})
        try:
            records.write_once(store, replays.plan_name(plan.id), plan.document())
        except NameTakenError:
            return replays.read_plan(store, plan.id)
        facts = {"replay": plan.id, "by": plan.by, "reason": plan.reason, "count": len(plan.selection)}
        log.info("replay.planned", extra=facts)
        return plan

    def cancel(self, replay_id: str, by: str, reason: str) -> View:
        """End a replay; jobs that are open already go on.

        Raises
        ------
        ReplayEndedError
            If it has ended otherwise.
        """
        plan = replays.read_plan(self.ledger.store, replay_id)
        for _ in range(_CANCEL_TRIES):  # a driver may be taking steps all the while
            view = self._view(plan)
            if view.status == "cancelled":
                return view
            if view.status != "running":
                raise ReplayEndedError(f"The replay is {view.status} already.")
            if not view.progress.is_done:
                self._do(view.progress)  # what it has come to would never be counted any more
            else:
                self._end(view.progress, "cancelled", by, reason)
        raise ReplayEndedError("The replay goes on faster than it can be cancelled; ask again.")

    def look(self, replay_id: str) -> View:
        """Return a replay as it is, and change nothing."""
        return self._view(replays.read_plan(self.ledger.store, replay_id))

    # --- driving --------------------------------------------------------------------------------

    def advance(self, replay_id: str) -> View:
        """Take the next step of a replay, if one is due."""
        plan = replays.read_plan(self.ledger.store, replay_id)
        progress = replays.read_progress(self.ledger.store, plan)
        if not progress.is_done and (repaired := self._repair(progress)):
            progress = repaired
        view = self._view(plan, progress)
        if view.status != "running":
            self.ledger.store.delete(replays.marker_name(plan.id))
        elif progress.is_done and not view.wait:
            self._step(view)
            view = self._view(plan)
        return view

    def drive_all(self, within: timedelta, monotonic: Callable[[], float]) -> dict[str, int]:
        """Take the steps that are due in all replays, for at most so long; return what was done."""
        until, counts = monotonic() + within.total_seconds(), {"replays": 0}
        listing = self.ledger.store.list("replaying/")
        running = [stat for stat in listing.objects if replays.is_replay_id(stat.name.rpartition("/")[2])]
        while running:
            counts["replays"] = max(counts["replays"], len(running))
            waits = {stat: self._try(stat) for stat in running}
            running = [stat for stat, wait in waits.items() if wait is not None]
            wait_s = min((w.total_seconds() for w in waits.values() if w is not None), default=0.0)
            if monotonic() + wait_s >= until:
                break
            self.ledger.sleep(wait_s)
        return {name: count for name, count in counts.items() if count}

    def _try(self, marker: Stat) -> timedelta | None:
        """Advance one replay; ``None`` once it needs no more of this driver."""
        replay_id = marker.name.rpartition("/")[2]
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

    def _step(self, view: View) -> None:
        plan, progress, tally = view.progress.plan, view.progress, view.tally
        share = tally.failed / tally.settled if tally.settled else 0.0
        if share > plan.stop_above and tally.settled >= min(plan.canary, tally.opened):
            limit = f"{tally.failed} of {tally.settled} failed again, more than {plan.stop_above:.0%}"
            self._end(progress, "stopped", self.by, limit)
        elif progress.position == len(plan.selection):
            self._end(progress, "done", self.by, "")
        else:
            self._batch(progress)

    def _batch(self, progress: Progress) -> None:
        start, stop = progress.plan.batch_after(progress.position)
        number = progress.last.number + 1 if progress.last else 0
        step = Step(number=number, start=start, stop=stop, at=self.ledger.clock())
        try:
            self._write(progress.plan, step)
        except NameTakenError:
            return  # another driver was faster: the next one is due later
        self._do(replace(progress, last=step, is_done=False))

    def _repair(self, progress: Progress) -> Progress | None:
        """Do a batch again whose driver has died, once it must have."""
        if progress.taken is None or progress.now - progress.taken < self.ledger.pace.dead_after:
            return None
        log.warning("replay.batch_again", extra={"replay": progress.plan.id})
        self._do(progress)
        return replays.read_progress(self.ledger.store, progress.plan)

    def _do(self, progress: Progress) -> None:
        """Open the jobs of the last batch and put on record what became of each."""
        plan, step = progress.plan, progress.last
        if step is None:
            return
        batch = plan.selection[step.start : step.stop]
        with ThreadPoolExecutor(min(_AT_ONCE, len(batch)), thread_name_prefix="replay") as pool:
            outcomes = list(pool.map(lambda selected: reopening.reopen(self.ledger, plan, selected), batch))
        by_epoch = {(job_id, epoch + 1): what for (job_id, epoch), what in zip(batch, outcomes, strict=True)}
        tally = self._counted(progress.tally).with_outcomes(by_epoch)
        opened = outcomes.count(reopening.OPENED)
        facts = {"replay": plan.id, "batch": step.number, "opened": opened, "skipped": len(batch) - opened}
        log.info("replay.batch", extra=facts)
        document = tally.document() | {"outcomes": {job_id: what for (job_id, _), what in by_epoch.items()}}
        try:
            records.write_once(
                self.ledger.store, replays.step_name(plan.id, step.number, "done.json"), document
            )
        except NameTakenError:
            return  # done by two, who opened the same

    def _end(self, progress: Progress, how: str, by: str, reason: str) -> None:
        number = progress.last.number + 1 if progress.last else 0
        step = Step(number=number, end=how, by=by, reason=reason, at=self.ledger.clock())
        try:
            self._write(progress.plan, step)
        except NameTakenError:
            return
        log.info("replay.ended", extra={"replay": progress.plan.id, "how": how, "by": by, "reason": reason})
        self.ledger.store.delete(replays.marker_name(progress.plan.id))

    def _write(self, plan: Plan, step: Step) -> None:
        records.write_once(self.ledger.store, replays.step_name(plan.id, step.number), step.document())

    # --- looking --------------------------------------------------------------------------------

    def _view(self, plan: Plan, progress: Progress | None = None) -> View:
        progress = progress or replays.read_progress(self.ledger.store, plan)
        tally = self._counted(progress.tally)
        return View(progress=progress, tally=tally, wait=self._wait(progress, tally))

    def _wait(self, progress: Progress, tally: Tally) -> timedelta:
        """Return how long no step is due."""
        plan, last, look_again = progress.plan, progress.last, self.ledger.pace.beat / 2
        if last is None or progress.taken is None:
            return timedelta(0)
        if not progress.is_done:
            return look_again
        is_over = tally.settled and tally.failed / tally.settled > plan.stop_above
        waits_for_canary = progress.position == plan.canary and tally.pending
        is_all_open = progress.position == len(plan.selection) and tally.pending
        if waits_for_canary or is_all_open or (not is_over and len(tally.pending) >= MAX_PENDING):
            return look_again
        due = progress.taken + plan.pause_after(last.stop - last.start)
        return max(timedelta(0), due - progress.now)

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
        if dead_letters.is_due(terminal):
            return "failed"
        return "succeeded" if terminal.status == "succeeded" else "other"


def facts_of(view: View) -> dict[str, Any]:
    """Return a replay's facts for who asks: who, why, when, what, and how far it has come."""
    plan, progress, tally = view.progress.plan, view.progress, view.tally
    end = progress.last if progress.last and progress.last.end else None
    return {
        "id": plan.id,
        "status": view.status,
        "created_at": plan.created_at.isoformat(),
        "by": plan.by,
        "reason": plan.reason,
        "filters": dict(plan.filters),
        "rate_per_s": plan.rate_per_s,
        "canary": plan.canary,
        "stop_above": plan.stop_above,
        "count": len(plan.selection),
        "position": progress.position,
        "opened": tally.opened,
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "other": tally.other,
        "pending": len(tally.pending),
        "skipped": dict(tally.skipped),
        "ended": {"at": end.at.isoformat() if end.at else None, "by": end.by, "reason": end.reason}
        if end
        else None,
        "wait_s": round(view.wait.total_seconds(), 3),
    }
