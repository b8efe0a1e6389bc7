"""A job as the ledger sees it: where an epoch stands, who has claimed it, what a client is told (no I/O)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from shared import records
from shared.errors import PermanentError, StoreUnavailableError
from shared.history import EpochTrace, History, Release
from shared.pace import Pace
from shared.records import Accepted, Terminal

#: Epochs that are opened to delete bytes, not to work.
CLOSING = frozenset({"expiry", "erasure"})

#: Releases after which the process may have to be ended, may have run out of memory, or has died.
_HARMFUL = frozenset({Release.TIMEOUT.value, Release.OUT_OF_MEMORY.value, Release.SILENT.value})


class Kind(Enum):
    """What an epoch asks of whoever looks at it."""

    NOTHING = "nothing"  #: there is no such job or epoch
    SETTLED = "settled"
    CLOSING = "closing"  #: its bytes are to be deleted
    BUSY = "busy"  #: a live claim
    HOPELESS = "hopeless"  #: its attempts are used up
    FREE = "free"  #: may be claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one epoch of a job stands, as of one listing."""

    kind: Kind
    history: History
    epoch: int
    error: type[PermanentError] | None = None  #: how a hopeless epoch fails
    reasons: Mapping[int, str] = field(default_factory=dict)  #: why claims were released, by number
    is_at_work: bool = False  #: whether an attempt gives signs, be it one that had been taken for dead

    @property
    def trace(self) -> EpochTrace:
        """The epoch's records."""
        return self.history.epochs[self.epoch]

    @property
    def began(self) -> datetime:
        """When the epoch's first record was written, by the store's clock."""
        return self.history.began(self.trace)

    @property
    def must_run_alone(self) -> bool:
        """Whether the last attempt ended in a way that may take its neighbours along next time."""
        last = self.trace.last_claim
        return last is not None and (last.released is None or self.reasons.get(last.number) in _HARMFUL)

    @property
    def silent(self) -> "list[Claim]":
        """The claims of a hopeless epoch that nobody has given back."""
        numbers = [claim.number for claim in self.trace.claims.values() if claim.released is None]
        return [Claim(job_id=self.history.job_id, epoch=self.epoch, number=number) for number in numbers]

    @property
    def was_tried(self) -> bool:
        """Whether any claim came to more than a wait for its slot."""
        return any(self.reasons.get(number) != Release.BUSY.value for number in self.trace.claims)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An attempt's right to work on an epoch."""

    job_id: str
    epoch: int
    number: int
    token: str = field(default="", repr=False)
    created: datetime | None = None  #: the store's time of the claim
    beat_generation: int | None = None

    def name(self, part: str) -> str:
        """Name of one of the claim's records."""
        return records.epoch_name(self.job_id, self.epoch, f"claims/{self.number}.{part}")

    def was_alone(self, until: datetime, pace: Pace) -> bool:
        """Whether no other attempt can have worked on the epoch before a moment, by the store's clock.

        A second claim needs a listing in which the first one is as old as a dead one.  Half of that age
        leaves room for a listing that was long on its way, and for clocks that show whole seconds.
        """
        if self.number > 1 or self.created is None:
            return False
        return timedelta(0) <= until - self.created < pace.dead_after / 2


class ClaimInDoubtError(StoreUnavailableError):
    """Storage did not say whether a claim was written."""

    def __init__(self, claim: Claim) -> None:
        super().__init__("Storage did not say whether the claim was written.")
        self.claim = claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything that is told to a client about a job."""

    id: str
    history: History
    accepted: Accepted
    worked: EpochTrace  #: the newest epoch that was opened to work
    terminal: Terminal | None
    is_closed: bool  #: an expiry or erasure has been opened

    @property
    def epoch(self) -> int:
        """Number of the newest epoch."""
        return self.history.newest.number

    @property
    def status(self) -> str:
        """One of queued, processing, succeeded, failed, cancelled."""
        if self.terminal:
            return self.terminal.status
        return "processing" if self.worked.claims else "queued"
