"""What has happened to a job, told by which of its records exist.  No input or output.

Ages come from the store's own times alone: neither a record's text nor two hosts' clocks decide
whether a claim is alive.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Self

from shared.errors import (
    InternalError,
    JobTimeoutError,
    OutOfMemoryError,
    PermanentError,
    PoisonError,
)
from shared.pace import COUNTED_CLAIMS, Pace
from shared.ports import Listing, Stat

_RECORD = re.compile(
    r"e(?P<epoch>\d+)/(?:(?P<single>opened|terminal|announced)\.json"
    r"|published/(?P<publication>\d+)\.json"
    r"|claims/(?P<claim>\d+)\.(?P<part>json|beat|released\.json))"
)


class Release(Enum):
    """Why a claim is over: its worker gave it back, or whoever gave the job up found it silent."""

    STORAGE = "storage"
    QUEUE = "queue"
    SHUTDOWN = "shutdown"
    BUSY = "busy"
    VERSION = "version"
    BUG = "bug"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out-of-memory"
    SILENT = "silent"


#: Releases that count towards giving up, and how the job fails if they are the last word, which silence is
#: only where none of them spoke.
COUNTED: Mapping[str, type[PermanentError]] = {
    Release.BUG.value: InternalError,
    Release.TIMEOUT.value: JobTimeoutError,
    Release.OUT_OF_MEMORY.value: OutOfMemoryError,
    Release.SILENT.value: PoisonError,
}


@dataclass(slots=True, kw_only=True)
class ClaimTrace:
    """The traces that one attempt has left."""

    number: int
    claimed: Stat | None = None
    beat: Stat | None = None
    released: Stat | None = None

    def is_live(self, now: datetime, pace: Pace) -> bool:
        """Whether the attempt may still be at work."""
        return self.released is None and self.gave_sign(now, pace)

    def gave_sign(self, now: datetime, pace: Pace) -> bool:
        """Whether the attempt has shown that it lives, as lately as one that lives does."""
        return any(now - stat.updated < pace.dead_after for stat in (self.claimed, self.beat) if stat)


@dataclass(slots=True, kw_only=True)
class EpochTrace:
    """The records of one epoch."""

    number: int
    opened: Stat | None = None
    terminal: Stat | None = None
    announced: Stat | None = None
    published: dict[int, Stat] = field(default_factory=dict)
    claims: dict[int, ClaimTrace] = field(default_factory=dict)

    @property
    def attempts(self) -> int:
        """Number of the last claim."""
        return max(self.claims, default=0)

    @property
    def last_claim(self) -> ClaimTrace | None:
        """The newest claim."""
        return self.claims.get(self.attempts)

    @property
    def may_have_late_losers(self) -> bool:
        """Whether another attempt than the one that won may have stored a picture after the epoch's end.

        It had not been given back by then: it was since, or there is more than one such attempt.  Or it was
        given up for silent, which says no more of what it does.
        """
        if self.terminal is None:
            return False
        released = [claim.released for claim in self.claims.values()]
        is_late = any(r and r.updated >= self.terminal.updated for r in released)
        return is_late or released.count(None) > 1 or len(released) >= COUNTED_CLAIMS

    def add(self, match: re.Match[str], stat: Stat) -> None:
        """Take one record into account."""
        if match["single"]:
            setattr(self, match["single"], stat)
        elif match["publication"]:
            self.published[int(match["publication"])] = stat
        else:
            number = int(match["claim"])
            claim = self.claims.setdefault(number, ClaimTrace(number=number))
            setattr(claim, {"json": "claimed", "beat": "beat"}.get(match["part"], "released"), stat)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything the listing of a job's records says."""

    job_id: str
    now: datetime  #: the store's time of the listing
    accepted: Stat | None
    epochs: Mapping[int, EpochTrace]

    @classmethod
    def from_listing(cls, job_id: str, listing: Listing) -> Self:
        """Read the listing of a job's prefix; objects nobody knows are passed over."""
        prefix = f"jobs/{job_id}/"
        accepted: Stat | None = None
        epochs: dict[int, EpochTrace] = {}
        for stat in listing.objects:
            rest = stat.name.removeprefix(prefix)
            if rest == "accepted.json":
                accepted = stat
                epochs.setdefault(0, EpochTrace(number=0))
            elif match := _RECORD.fullmatch(rest):
                number = int(match["epoch"])
                epochs.setdefault(number, EpochTrace(number=number)).add(match, stat)
        return cls(job_id=job_id, now=listing.now, accepted=accepted, epochs=epochs)

    def epoch(self, number: int) -> EpochTrace | None:
        """Return an epoch that has been opened, or ``None``."""
        trace = self.epochs.get(number)
        if self.accepted is None or trace is None or (number > 0 and trace.opened is None):
            return None
        return trace

    @property
    def newest(self) -> EpochTrace:
        """The epoch that was opened last; only for a job that has been accepted."""
        return max((e for n in self.epochs if (e := self.epoch(n))), key=lambda e: e.number)

    def before(self, epoch: EpochTrace) -> EpochTrace:
        """The epoch that was opened before another."""
        return max(
            (e for n in self.epochs if n < epoch.number and (e := self.epoch(n))), key=lambda e: e.number
        )

    def began(self, epoch: EpochTrace) -> datetime:
        """When an epoch's first record was written, by the store's clock."""
        first = self.accepted if epoch.number == 0 else epoch.opened
        if first is None:
            raise InternalError(f"{self.job_id} has no epoch {epoch.number}")
        return first.updated


def give_up(
    claims: Iterable[ClaimTrace], reasons: Mapping[int, str], now: datetime, pace: Pace
) -> type[PermanentError] | None:
    """Return how a job fails whose attempts are used up, or ``None`` while one is left.

    Parameters
    ----------
    claims
        Every claim of the epoch.
    reasons
        Why each released claim was released, by number.
    now, pace
        The store's time, and after how long a silent claim is dead.
    """
    claims = sorted(claims, key=lambda claim: claim.number)  # a listing has the tenth before the second
    last = max((c.number for c in claims), default=0)
    # A claim that another one has followed was dead once; should it beat again, it still counts.
    ended = [c for c in claims if c.number < last or not c.is_live(now, pace)]
    silent = Release.SILENT.value
    ends = [reasons.get(c.number, "") if c.released else silent for c in ended]
    counted = [end for end in ends if end in COUNTED]
    if len(counted) < COUNTED_CLAIMS:
        return None
    spoken = [end for end in counted if end != silent]
    return COUNTED[(spoken or counted)[-1]]
