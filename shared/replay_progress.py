"""How far a replay has come, and when its next step is due; looking changes nothing."""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shared import records
from shared.errors import NoSuchObjectError, ReplayNotFoundError
from shared.ports import ObjectStore, Stat
from shared.replays import Plan, Step, Tally, plan_name, step_name

#: So many jobs of one replay may be open at once: customers' own must not queue behind thousands.
MAX_PENDING = 100

_STEP = re.compile(r"(?P<number>\d+)\.(?P<part>json|done\.json)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a replay has come, as of one listing."""

    plan: Plan
    now: datetime  #: the store's time of the listing
    last: Step | None = None  #: the last step taken
    taken: datetime | None = None  #: the store's time of it
    is_done: bool = True  #: whether what became of the last batch is on record
    tally: Tally = field(default_factory=Tally)  #: as of the last batch that is done
    cut: Step | None = None  #: a batch that the end came upon; what became of it only its jobs tell

    @property
    def position(self) -> int:
        """How many of the selection batches have been taken for."""
        return self.last.stop if self.last else 0

    @property
    def next_number(self) -> int:
        """Number of the step that comes next."""
        return self.last.number + 1 if self.last else 0

    @property
    def since_last(self) -> timedelta:
        """How long ago the last step was taken, by the store's clock."""
        return self.now - (self.taken or self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A replay as of now."""

    progress: Progress
    tally: Tally  #: as of now
    look_again: timedelta  #: how long to wait for what others do

    @property
    def status(self) -> str:
        """One of running, done, stopped, cancelled."""
        last = self.progress.last
        return (last.end if last else None) or "running"

    @property
    def is_over_limit(self) -> bool:
        """Whether too many have failed again; nobody judges before the whole canary has been tried."""
        tally = self.tally
        if self._is_canary_short or not tally.answered:
            return False
        return tally.failed / tally.answered > self.progress.plan.stop_above

    @property
    def wait(self) -> timedelta:
        """How long no step is due."""
        progress = self.progress
        if progress.last is None or progress.last.end:
            return timedelta(0)
        if not progress.is_done or self._waits_for_jobs:
            return self.look_again
        pause = progress.plan.pause_after(progress.last.stop - progress.last.start)
        return max(timedelta(0), pause - progress.since_last)

    @property
    def _waits_for_jobs(self) -> bool:
        pending = len(self.tally.pending)
        if self._is_all_tried or self.tally.tried == self.progress.plan.canary:
            return pending > 0
        return pending >= MAX_PENDING and not self.is_over_limit

    @property
    def _is_all_tried(self) -> bool:
        return self.progress.position == len(self.progress.plan.selection)

    @property
    def _is_canary_short(self) -> bool:
        """Whether more jobs are to be opened before anybody judges.

        One that was skipped proves nothing, and neither does one that its client has cancelled.
        """
        return self.tally.tried < self.progress.plan.canary and not self._is_all_tried

    def document(self) -> dict[str, Any]:
        """Return what an operator is told: who, why, when, what, and how far it has come."""
        plan, tally, last = self.progress.plan, self.tally, self.progress.last
        return {
            "id": plan.id,
            "status": self.status,
            "created_at": plan.created_at.isoformat(),
            "by": plan.by,
            "reason": plan.reason,
            "filters": dict(plan.filters),
            "rate_per_s": plan.rate_per_s,
            "canary": plan.canary,
            "stop_above": plan.stop_above,
            "count": len(plan.selection),
            "position": self.progress.position,
            "opened": tally.opened,
            "succeeded": tally.succeeded,
            "failed": tally.failed,
            "other": tally.other,
            "pending": len(tally.pending),
            "skipped": dict(tally.skipped),
            "ended": last.ending() if last and last.end else None,
            "wait_s": round(self.wait.total_seconds(), 3),
        }


# --- reading ------------------------------------------------------------------------------------


def read_plan(store: ObjectStore, replay_id: str) -> Plan:
    """Read a plan; ``ReplayNotFoundError`` if there is none."""
    try:
        return Plan.from_document(records.read_record(store, plan_name(replay_id)))
    except NoSuchObjectError as error:
        raise ReplayNotFoundError(f"There is no replay {replay_id}.") from error


def read_progress(store: ObjectStore, plan: Plan) -> Progress:
    """Read how far a replay has come: one listing, and at most three records."""
    prefix = f"replays/{plan.id}/batch/"
    listing = store.list(prefix)
    steps: dict[int, dict[str, Stat]] = {}
    for stat in listing.objects:
        if match := _STEP.fullmatch(stat.name.removeprefix(prefix)):
            steps.setdefault(int(match["number"]), {})[match["part"]] = stat
    if not steps:
        return Progress(plan=plan, now=listing.now)
    number = max(steps)
    last = _step(store, plan, number)
    counted = max((n for n, parts in steps.items() if "done.json" in parts), default=None)
    cut = None
    if last.end and number > 0:  # an end says nothing of how far batches have come
        before = _step(store, plan, number - 1)
        last = replace(last, stop=before.stop)
        cut = None if counted == before.number else before
    return Progress(
        plan=plan,
        now=listing.now,
        last=last,
        taken=steps[number]["json"].updated,
        is_done=last.end is not None or "done.json" in steps[number],
        tally=Tally() if counted is None else _tally(store, plan, counted),
        cut=cut,
    )


def _step(store: ObjectStore, plan: Plan, number: int) -> Step:
    return Step.from_document(number, records.read_record(store, step_name(plan.id, number)))


def _tally(store: ObjectStore, plan: Plan, number: int) -> Tally:
    return Tally.from_document(records.read_record(store, step_name(plan.id, number, "done.json")))
