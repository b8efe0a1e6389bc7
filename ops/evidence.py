"""What a job's records say, read with care: any member may be missing, of another kind, or unknown.

The trace is ``shared.history``'s own, so that a story cannot disagree with what the services do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from ops.answers import one_line
from shared import records
from shared.history import COUNTED, ClaimTrace, EpochTrace, History, Release, give_up
from shared.pace import CLOUD, ONE_MACHINE
from shared.ports import Listing, Stat

_MAX_TEXT = 240
_DECIDING = ("/accepted.json", "/opened.json", "/terminal.json")

#: Up to here a length of time is told in seconds, or in hours.
_SECONDS_UNTIL, _HOURS_UNTIL = 120, 48


class Facts:
    """One record's members."""

    def __init__(self, document: object) -> None:
        self._members: Mapping[str, Any] = document if isinstance(document, dict) else {}

    def __bool__(self) -> bool:
        return bool(self._members)

    def text(self, name: str, default: str = "") -> str:
        """Return a member as one line of text."""
        value = self._members.get(name)
        return (
            one_line(value)[:_MAX_TEXT] if isinstance(value, str | int | float) and value != "" else default
        )

    def count(self, name: str) -> int:
        """Return a member that counts something."""
        value = self._members.get(name)
        return value if isinstance(value, int) else 0

    def part(self, name: str) -> "Facts":
        """Return a member that has members itself."""
        return Facts(self._members.get(name))

    def parts(self, name: str) -> "list[Facts]":
        """Return a member that is a list of such."""
        value = self._members.get(name)
        return [Facts(item) for item in value] if isinstance(value, list) else []

    def items(self) -> Iterator[tuple[str, Any]]:
        """Return every member, in order."""
        yield from self._members.items()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that is known about one job."""

    history: History
    stats: Mapping[str, Stat]
    documents: Mapping[str, object]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read an answer of ``GET /v1/jobs/{id}/records``; what cannot be read is passed over."""
        entries = document.get("records")
        rows = [row for row in entries if isinstance(row, dict)] if isinstance(entries, list) else []
        times = {str(row.get("name")): time for row in rows if (time := _time(row.get("updated")))}
        now = _time(document.get("now")) or max(times.values(), default=datetime.now(UTC))
        sizes = {str(row.get("name")): row.get("size") for row in rows}
        stats = {
            name: Stat(name=name, size=_size_bytes(sizes[name]), generation=0, updated=time, now=now)
            for name, time in sorted(times.items())
        }
        job_id = one_line(document.get("id") or "")
        listing = Listing(objects=tuple(stats.values()), now=now)
        documents = {str(row.get("name")): row.get("record") for row in rows}
        return cls(history=History.from_listing(job_id, listing), stats=stats, documents=documents)

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.history.job_id

    @property
    def epochs(self) -> list[EpochTrace]:
        """Every epoch that has begun, oldest first."""
        numbers = sorted(self.history.epochs)
        return [trace for number in numbers if (trace := self.history.epoch(number))]

    @property
    def accepted(self) -> Facts:
        """The promise."""
        return Facts(self.documents.get(records.accepted_name(self.job_id)))

    def record(self, epoch: EpochTrace, rest: str) -> Facts:
        """Return one record of an epoch."""
        return Facts(self.documents.get(records.epoch_name(self.job_id, epoch.number, rest)))

    def terminal(self, epoch: EpochTrace) -> Facts:
        """Return how an epoch ended."""
        return self.record(epoch, "terminal.json")

    def is_closing(self, epoch: EpochTrace) -> bool:
        """Whether an epoch was opened to delete the pictures."""
        return self.record(epoch, "opened.json").text("kind") in {"expiry", "erasure"}

    @property
    def damaged(self) -> list[str]:
        """Names of the records without which nobody knows where the job stands, and that cannot be read."""
        names = [name for name in self.stats if name.startswith("jobs/") and name.endswith(_DECIDING)]
        return [name for name in names if not Facts(self.documents.get(name))]

    @property
    def is_open(self) -> bool:
        """Whether the newest epoch is for a worker to end."""
        newest = self.epochs[-1] if self.epochs else None
        return newest is not None and newest.terminal is None and not self.is_closing(newest)

    @property
    def is_over(self) -> bool:
        """Whether the job's photo and pictures are given to nobody any more."""
        until = _time(self.accepted.text("expires_at"))
        return until is not None and self.history.now >= until

    def resolution(self, epoch: EpochTrace) -> Facts:
        """Return who wants no more done about an epoch's failure, and why."""
        end = f"/{self.job_id}.e{epoch.number}.resolved.json"
        found = [stat.name for stat in self.under("dead/") if stat.name.endswith(end)]
        return Facts(self.documents.get(found[0])) if found else Facts(None)

    def has_marker(self, epoch: EpochTrace) -> bool:
        """Whether an epoch still owes something."""
        return records.marker_name(self.job_id, epoch.number) in self.stats

    def under(self, prefix: str) -> list[Stat]:
        """Return the objects whose names begin so."""
        return [stat for name, stat in self.stats.items() if name.startswith(prefix)]

    def reason(self, epoch: EpochTrace, claim: ClaimTrace) -> str:
        """Say why a claim was released."""
        return self.record(epoch, f"claims/{claim.number}.released.json").text("reason", "no reason given")

    def stood_ready(self, claim: ClaimTrace) -> bool:
        """Whether an attempt was waiting for its slot when it last beat."""
        beat = self.documents.get(claim.beat.name) if claim.beat else None
        return bool(Facts(beat).count("stands_ready"))

    def is_silent(self, epoch: EpochTrace, claim: ClaimTrace) -> bool:
        """Whether an attempt has not said itself why it is over, if it is."""
        return claim.released is None or self.reason(epoch, claim) == Release.SILENT.value

    def counted(self, epoch: EpochTrace) -> int:
        """Return how many attempts count towards giving up, a silent one included."""
        claims = epoch.claims.values()
        return sum(c.released is None or self.reason(epoch, c) in COUNTED for c in claims)

    def verdict(self, epoch: EpochTrace) -> str | None:
        """Return the slug with which an epoch is about to be given up, once both paces agree."""
        reasons = {c.number: self.reason(epoch, c) for c in epoch.claims.values() if c.released}
        errors = [
            give_up(epoch.claims.values(), reasons, self.history.now, pace) for pace in (ONE_MACHINE, CLOUD)
        ]
        return errors[0].slug if errors[0] and errors[1] else None


def last_sign(claim: ClaimTrace) -> Stat | None:
    """Return the newest trace that an attempt has left of being alive."""
    return max((s for s in (claim.claimed, claim.beat) if s), key=lambda s: s.updated, default=None)


def elapsed(span: timedelta) -> str:
    """Say a length of time as people do."""
    seconds = span.total_seconds()
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if seconds < _SECONDS_UNTIL:
        return f"{seconds:.1f} s"
    if hours == 0:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{hours} h {minutes % 60} min" if hours < _HOURS_UNTIL else f"{hours // 24} d {hours % 24} h"


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time


def _size_bytes(value: object) -> int:
    return value if isinstance(value, int) else 0
