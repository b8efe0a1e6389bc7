"""A replay as its records tell it: a frozen plan, the batches that were opened, and how it ended.

Batches and the end are numbered steps of one row, each created once: of any number of drivers one takes the
next step, and after an end there is no further one.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from shared import records
from shared.errors import NoSuchObjectError, ReplayNotFoundError
from shared.ports import ObjectStore, Stat

_STEP = re.compile(r"(?P<number>\d+)\.(?P<part>json|done\.json)")
_ID = re.compile(r"replay_[0-9a-z]{8,64}")

Selected = tuple[str, int]  #: a job, and the epoch that failed


# --- names --------------------------------------------------------------------------------------


def new_id(now: datetime) -> str:
    """Return an id that sorts by time."""
    return f"replay_{now:%Y%m%d%H%M%S}{secrets.token_hex(4)}"


def is_replay_id(value: str) -> bool:
    """Whether a text can be a replay's id; nothing else may become part of an object's name."""
    return _ID.fullmatch(value) is not None


def plan_name(replay_id: str) -> str:
    """Name of the plan."""
    return f"replays/{replay_id}/plan.json"


def marker_name(replay_id: str) -> str:
    """Name of the marker that says a replay has not ended; created before the plan, deleted last."""
    return f"replaying/{replay_id}"


def step_name(replay_id: str, number: int, part: str = "json") -> str:
    """Name of a step, or with ``done.json`` of what became of a batch."""
    return f"replays/{replay_id}/batch/{number}.{part}"


# --- members ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is replayed, how fast, by whom and why; never changed."""

    id: str
    created_at: datetime
    by: str
    reason: str
    rate_per_s: float
    canary: int  #: so many first, which are waited for
    stop_above: float  #: share of the settled that failed again
    selection: tuple[Selected, ...]
    filters: Mapping[str, Any] = field(default_factory=dict)  #: as they were given
    request_digest: str = ""

    def document(self) -> dict[str, Any]:
        """Return the record's members."""
        members = {name: getattr(self, name) for name in self.__dataclass_fields__}
        selection = [list(selected) for selected in self.selection]
        return members | {"created_at": self.created_at.isoformat(), "selection": selection}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the record."""
        return cls(
            id=document["id"],
            created_at=datetime.fromisoformat(document["created_at"]),
            by=document["by"],
            reason=document["reason"],
            rate_per_s=document["rate_per_s"],
            canary=document["canary"],
            stop_above=document["stop_above"],
            selection=tuple((str(job_id), int(epoch)) for job_id, epoch in document["selection"]),
            filters=document.get("filters") or {},
            request_digest=document.get("request_digest", ""),
        )

    def batch_after(self, stop: int) -> tuple[int, int]:
        """Return the slice that follows: a second's worth, and never across the canary's end."""
        end = min(stop + max(1, int(self.rate_per_s)), len(self.selection))
        return stop, min(end, self.canary) if stop < self.canary else end

    def pause_after(self, size: int) -> timedelta:
        """How long after a batch the next one is due."""
        return timedelta(seconds=size / self.rate_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a replay: a batch, or its end."""

    number: int
    start: int = 0
    stop: int = 0
    end: str | None = None  #: done, stopped or cancelled
    by: str = ""
    reason: str = ""
    at: datetime | None = None

    def document(self) -> dict[str, Any]:
        """Return the record's members."""
        members = {"end": self.end, "by": self.by, "reason": self.reason, "at": _iso(self.at)}
        return members if self.end else {"start": self.start, "stop": self.stop, "at": _iso(self.at)}

    @classmethod
    def from_document(cls, number: int, document: Mapping[str, Any]) -> Self:
        """Read the record."""
        at = document.get("at")
        return cls(
            number=number,
            start=document.get("start", 0),
            stop=document.get("stop", 0),
            end=document.get("end"),
            by=document.get("by", ""),
            reason=document.get("reason", ""),
            at=datetime.fromisoformat(at) if at else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What has become of the jobs of all batches so far."""

    opened: int = 0
    succeeded: int = 0
    failed: int = 0  #: again, and not by the photo's own fault
    other: int = 0  #: cancelled, or failed by the photo's own fault
    skipped: Mapping[str, int] = field(default_factory=dict)  #: by reason
    pending: tuple[Selected, ...] = ()  #: opened and not settled; the epoch is the new one

    @property
    def settled(self) -> int:
        """How many have an answer."""
        return self.succeeded + self.failed + self.other

    def with_outcomes(self, outcomes: Mapping[Selected, str]) -> Self:
        """Count what a batch came to, by the new epoch of each job: ``opened``, or why it was skipped."""
        opened = tuple(key for key, outcome in outcomes.items() if outcome == "opened")
        skipped = dict(self.skipped)
        for outcome in outcomes.values():
            if outcome != "opened":
                skipped[outcome] = skipped.get(outcome, 0) + 1
        return replace(
            self, opened=self.opened + len(opened), skipped=skipped, pending=(*self.pending, *opened)
        )

    def with_settled(self, ends: Mapping[Selected, str]) -> Self:
        """Count jobs that have settled as succeeded, failed or other."""
        ended = list(ends.values())
        return replace(
            self,
            succeeded=self.succeeded + ended.count("succeeded"),
            failed=self.failed + ended.count("failed"),
            other=self.other + ended.count("other"),
            pending=tuple(key for key in self.pending if key not in ends),
        )

    def document(self) -> dict[str, Any]:
        """Return the record's members."""
        members = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return members | {"skipped": dict(self.skipped), "pending": [list(key) for key in self.pending]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the record."""
        return cls(
            **{name: document.get(name, 0) for name in ("opened", "succeeded", "failed", "other")},
            skipped=document.get("skipped") or {},
            pending=tuple((str(job_id), int(epoch)) for job_id, epoch in document.get("pending", [])),
        )


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a replay has come, as of one listing."""

    plan: Plan
    now: datetime  #: the store's time of the listing
    last: Step | None = None  #: the last step taken
    taken: datetime | None = None  #: the store's time of it
    is_done: bool = True  #: whether what became of the last batch is on record
    tally: Tally = field(default_factory=Tally)  #: as of the last batch that is done

    @property
    def position(self) -> int:
        """How many of the selection batches have been taken for."""
        return self.last.stop if self.last else 0


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
    if last.end and number > 0:  # an end says nothing of how far batches have come
        last = replace(last, stop=_step(store, plan, number - 1).stop)
    return Progress(
        plan=plan,
        now=listing.now,
        last=last,
        taken=steps[number]["json"].updated,
        is_done=last.end is not None or "done.json" in steps[number],
        tally=Tally() if counted is None else _tally(store, plan, counted),
    )


def _step(store: ObjectStore, plan: Plan, number: int) -> Step:
    return Step.from_document(number, records.read_record(store, step_name(plan.id, number)))


def _tally(store: ObjectStore, plan: Plan, number: int) -> Tally:
    return Tally.from_document(records.read_record(store, step_name(plan.id, number, "done.json")))
