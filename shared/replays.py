"""A replay's records: a frozen plan, the batches that were opened, and how it ended.  No input or output.

Batches and the end are numbered steps of one row, each created once: of any number of drivers one takes the
next step, and after an end there is no further one.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from shared.ports import Listing

#: Prefix of the markers of replays that have not ended.
MARKERS = "replaying/"

#: Jobs a second: a slower replay would outlive its jobs.
LEAST_RATE_PER_S = 0.001

_ID = re.compile(r"replay_[0-9a-z]{8,64}")

_PLAN = re.compile(rf"replays/(?P<id>{_ID.pattern})/plan\.json")

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


def plans(listing: Listing) -> list[str]:
    """Return the ids of the replays whose plans are in a listing, newest first."""
    found = [(stat.updated, match["id"]) for stat in listing.objects if (match := _PLAN.fullmatch(stat.name))]
    return [replay_id for _, replay_id in sorted(found, reverse=True)]


def marker_name(replay_id: str) -> str:
    """Name of the marker that says a replay has not ended; created before the plan, deleted last."""
    return f"{MARKERS}{replay_id}"


def marked(name: str) -> str:
    """Return what a marker stands for, which need not be a replay's id."""
    return name.removeprefix(MARKERS)


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
    canary: int  #: so many are opened first, and waited for, until as many have answered
    stop_above: float  #: share of the answered that failed again
    selection: tuple[Selected, ...]
    filters: Mapping[str, Any] = field(default_factory=dict)  #: as they were given
    request_digest: str = ""

    @property
    def is_of_named_jobs(self) -> bool:
        """Whether an operator has chosen each job, rather than all that filters meant."""
        return "jobs" in self.filters

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

    def batch_after(self, stop: int, tried: int) -> tuple[int, int]:
        """Return the slice that follows: a second's worth, and no more than the canary is still short of."""
        count = max(1, int(self.rate_per_s))
        short = self.canary - tried
        return stop, min(stop + (min(count, short) if short > 0 else count), len(self.selection))

    def pause_after(self, size: int) -> timedelta:
        """How long after a batch the next one is due."""
        return timedelta(seconds=size / max(self.rate_per_s, LEAST_RATE_PER_S))


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
        if self.end:
            return {"end": self.end, **self.ending()}
        return {"start": self.start, "stop": self.stop, "at": _iso(self.at)}

    def ending(self) -> dict[str, Any]:
        """Return by whom a replay was ended, why and when."""
        return {"by": self.by, "reason": self.reason, "at": _iso(self.at)}

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


_COUNTS = ("opened", "succeeded", "failed", "other", "unproven")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What has become of the jobs of all batches so far."""

    opened: int = 0
    succeeded: int = 0
    failed: int = 0  #: again, and not by the photo's own fault
    other: int = 0  #: failed by the photo's own fault, cancelled, or not to be read
    unproven: int = 0  #: of the others: cancelled, or not to be read, which proves nothing either way
    skipped: Mapping[str, int] = field(default_factory=dict)  #: by reason
    pending: tuple[Selected, ...] = ()  #: opened and not settled; the epoch is the new one

    @property
    def settled(self) -> int:
        """How many have an answer."""
        return self.succeeded + self.failed + self.other

    @property
    def answered(self) -> int:
        """How many say whether the cause is mended: they succeeded, failed again, or blamed the photo."""
        return self.settled - self.unproven

    @property
    def tried(self) -> int:
        """How many say so, or still may."""
        return self.opened - self.unproven

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
        """Count jobs that have settled as succeeded, failed, other or unproven."""
        ended = list(ends.values())
        return replace(
            self,
            succeeded=self.succeeded + ended.count("succeeded"),
            failed=self.failed + ended.count("failed"),
            other=self.other + ended.count("other") + ended.count("unproven"),
            unproven=self.unproven + ended.count("unproven"),
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
            **{name: document.get(name, 0) for name in _COUNTS},
            skipped=document.get("skipped") or {},
            pending=tuple((str(job_id), int(epoch)) for job_id, epoch in document.get("pending", [])),
        )


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
