"""The operators' index of dead letters: it is looked at, never taken from.

To read it is no delivery, and changes nothing.  However much there is, little of it stands in memory.
"""

import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import heappush, heappushpop
from itertools import groupby
from typing import Any

from shared import records
from shared.dead_letters import CLOSED, OPEN, REPLAYED, RESOLVED, SOUGHT, is_due
from shared.errors import NoSuchObjectError
from shared.history import History
from shared.jobs import Job
from shared.ports import ObjectStore, Stat
from shared.reading import Reader
from shared.records import UnreadableRecordError

log = logging.getLogger(__name__)

#: Stands for the cause of a failure whose record cannot be read.
UNREADABLE = "unreadable"
_NAME = re.compile(
    r"dead/\d{4}-\d\d-\d\d/(?P<job_id>job_[0-9A-Za-z]+)\.e(?P<epoch>\d+)"
    r"(?:\.(?P<handled>replayed|resolved|closed))?\.json"
)
_TOLD = ("slug", "tenant", "engine", "attempt", "settled_by", "error")
_HANDLED = ("at", "by", "reason", "replay")
#: Records that are read side by side, where reading takes a round trip.
_AT_ONCE = 16
#: A longer time is listed as a whole: a listing a day would be more calls.
_MAX_DAYS = 62
#: The ends of the calendar: there a day has no neighbour, and a zone's time may have none in UTC.
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One failure in the index."""

    job_id: str
    epoch: int
    name: str
    at: datetime  #: the store's time of its entry
    state: str  #: open, replayed, resolved or closed
    facts: Mapping[str, Any] = field(default_factory=dict)  #: its record, once read; its labels until then
    handled: Mapping[str, Any] = field(default_factory=dict)  #: once read, what was done about it

    @property
    def key(self) -> tuple[str, int]:
        """What names the failure."""
        return self.job_id, self.epoch

    @property
    def handled_name(self) -> str:
        """Name of the record of what was done about it, which none has that is open."""
        return f"{self.name.removesuffix('json')}{self.state}.json"

    def document(self) -> dict[str, Any]:
        """Return what an operator is told."""
        known = {name: self.facts.get(name) for name in _TOLD}
        return {
            "id": self.job_id,
            "epoch": self.epoch,
            "at": self.at.isoformat(),
            "state": self.state,
            "handled": {name: self.handled.get(name) for name in _HANDLED} if self.handled else None,
        } | known


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which open dead letters are meant; by default every one."""

    since: datetime | None = None
    until: datetime | None = None
    slug: str | None = None
    tenant: str | None = None
    engine: str | None = None

    def document(self) -> dict[str, Any]:
        """Return what was asked for."""
        asked = {name: getattr(self, name) for name in SOUGHT}
        times = {"since": self.since, "until": self.until}
        return {k: v for k, v in asked.items() if v} | {k: v.isoformat() for k, v in times.items() if v}

    @property
    def needs_facts(self) -> bool:
        """Whether names and times do not tell."""
        return bool(self.slug or self.tenant or self.engine)

    def meets(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is meant, as far as its name and time tell."""
        return letter.state == OPEN and not (
            (self.since and letter.at < self.since) or (self.until and letter.at >= self.until)
        )

    def meets_facts(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is meant, as far as its record tells."""
        wanted = {name: getattr(self, name) for name in SOUGHT}
        return all(value is None or letter.facts.get(name) == value for name, value in wanted.items())


# --- finding ---------------------------------------------------------------------------------------


def find(reader: Reader, wanted: Filter, now: datetime) -> Iterator[DeadLetter]:
    """Return the dead letters that are meant, by day; records are read only if they must be."""
    for prefix in _prefixes(wanted, now):
        letters = (letter for letter in _letters(_each(reader.store, prefix)) if wanted.meets(letter))
        if wanted.needs_facts:
            yield from (letter for letter in _told(reader, letters) if wanted.meets_facts(letter))
        else:
            yield from letters


def of_job(reader: Reader, job: Job) -> list[DeadLetter]:
    """Return every dead letter that a job has had, whatever was done about it, oldest first."""
    listings = [reader.store.list(prefix) for prefix in prefixes(reader, job.history)]
    return list(read(reader, (letter for listing in listings for letter in _letters(listing.objects))))


def prefixes(reader: Reader, history: History) -> list[str]:
    """Return what the names of each dead letter of a job begin with, and of what was done about it."""
    ends = reader.ends(history)
    due = [(terminal.at, epoch) for epoch, terminal in ends.items() if is_due(terminal)]
    return [records.dead_name(at, history.job_id, epoch).removesuffix("json") for at, epoch in due]


def newest(found: Iterable[DeadLetter], limit: int) -> tuple[int, list[DeadLetter]]:
    """Return how many there are and the newest of them, newest first; no more than those are kept."""
    kept: list[tuple[datetime, tuple[str, int], DeadLetter]] = []
    count = 0
    for count, letter in enumerate(found, 1):
        keep = heappush if count <= limit else heappushpop
        keep(kept, (letter.at, letter.key, letter))
    return count, [letter for _, _, letter in sorted(kept, reverse=True)]


def read(reader: Reader, letters: Iterable[DeadLetter]) -> Iterator[DeadLetter]:
    """Read the records of dead letters, in order; a few of them stand in memory, however many there are."""
    under_way: deque[Future[DeadLetter]] = deque()
    try:
        for letter in letters:
            under_way.append(reader.beside(partial(_read, reader.store, letter)))
            if len(under_way) == _AT_ONCE:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.exception()


def _told(reader: Reader, letters: Iterable[DeadLetter]) -> Iterator[DeadLetter]:
    """Tell what is sought by; where the store has not told it with the names, records are read."""
    for is_told, run in groupby(letters, lambda letter: bool(letter.facts)):
        yield from run if is_told else read(reader, run)  # noqa: B031 -- one of the two


def _read(store: ObjectStore, letter: DeadLetter) -> DeadLetter:
    handled = {} if letter.state == OPEN else _facts(store, letter.handled_name, {})
    return replace(letter, facts=_facts(store, letter.name, letter.facts), handled=handled)


def _each(store: ObjectStore, prefix: str) -> Iterator[Stat]:
    page = store.page(prefix)
    yield from page.objects
    while more := page.more:
        del page  # or two of them stand in memory
        page = store.page(prefix, more)
        yield from page.objects


def _letters(entries: Iterable[Stat]) -> Iterator[DeadLetter]:
    """Tell the failures from what was done about them; by name, one follows the other."""
    named = ((stat, match) for stat in entries if (match := _NAME.fullmatch(stat.name)))
    for (job_id, epoch), group in groupby(named, lambda entry: (entry[1]["job_id"], int(entry[1]["epoch"]))):
        entered = {match["handled"]: stat for stat, match in group}
        if stat := entered.get(None):
            # A replay counts for more than a resolution, and what was decided for more than a photo's end.
            state = next((how for how in (REPLAYED, RESOLVED, CLOSED) if how in entered), OPEN)
            yield DeadLetter(
                job_id=job_id,
                epoch=epoch,
                name=stat.name,
                at=stat.updated,
                state=state,
                facts=_labels(stat),
            )


def _labels(stat: Stat) -> dict[str, Any]:
    """Return what is sought by, if the labels tell all of it: others may have put theirs there."""
    if any(name not in stat.labels for name in SOUGHT):
        return {}
    return {name: stat.labels[name] or None for name in SOUGHT}


def _facts(store: ObjectStore, name: str, known: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        facts = records.read_record(store, name)
    except NoSuchObjectError:
        return known
    except UnreadableRecordError as damage:
        log.warning("dead_letter.unreadable", extra={"object": name, "reason": damage.detail})
        return {**known, "slug": known.get("slug") or UNREADABLE}
    # Before these had members of their own, there was the error alone.
    error = facts.get("error")
    return {"slug": error.get("slug") if isinstance(error, dict) else None} | facts


def _prefixes(wanted: Filter, now: datetime) -> list[str]:
    """Return what to list: the days that may hold what is meant, or everything."""
    if wanted.since is None:
        return ["dead/"]
    # The day in the name is the settling host's, and may be one off the store's.
    first = max(_day(wanted.since) - 1, 0)
    last = min(_day(wanted.until or now) + 1, _day(_LAST))
    if last - first >= _MAX_DAYS:
        return ["dead/"]
    return [f"dead/{(_FIRST + timedelta(days=day)).date()}/" for day in range(first, last + 1)]


def _day(time: datetime) -> int:
    """Return the number of a time's day in UTC, which may lie beyond the calendar."""
    return (time - _FIRST).days
