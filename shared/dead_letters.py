"""Dead letters: the operators' index of failures that are ours, and what was done about each.

The index is looked at, never taken from: to read it is no delivery, and changes nothing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from heapq import heappush, heappushpop
from itertools import groupby, islice
from typing import Any

from shared import records
from shared.errors import PHOTO_FAULTS, InternalError, NameTakenError, NoSuchObjectError
from shared.history import History
from shared.jobs import Claim, Job
from shared.ports import ObjectStore, Stat
from shared.reading import Reader
from shared.records import Terminal, UnreadableRecordError

OPEN, REPLAYED, RESOLVED = "open", "replayed", "resolved"

_NAME = re.compile(
    r"dead/\d{4}-\d\d-\d\d/(?P<job_id>job_[0-9A-Za-z]+)\.e(?P<epoch>\d+)(?:\.(?P<handled>replayed|resolved))?\.json"
)
_TOLD = ("slug", "tenant", "engine", "attempt", "settled_by", "error")
_AT_ONCE = 16
#: Records read together: so much of them stands in memory, however many there are.
_PIECE = 256
#: A longer time is listed as a whole: a listing a day would be more calls.
_MAX_DAYS = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One failure in the index."""

    job_id: str
    epoch: int
    name: str
    at: datetime  #: the store's time of its entry
    state: str  #: open, replayed or resolved
    facts: Mapping[str, Any] = field(default_factory=dict)  #: its record, once read

    @property
    def key(self) -> tuple[str, int]:
        """What names the failure."""
        return self.job_id, self.epoch

    def document(self) -> dict[str, Any]:
        """Return what an operator is told."""
        known = {name: self.facts.get(name) for name in _TOLD}
        return {
            "id": self.job_id,
            "epoch": self.epoch,
            "at": self.at.isoformat(),
            "state": self.state,
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
        asked = {"slug": self.slug, "tenant": self.tenant, "engine": self.engine}
        times = {"since": self.since, "until": self.until}
        return {k: v for k, v in asked.items() if v} | {k: v.isoformat() for k, v in times.items() if v}

    @property
    def needs_records(self) -> bool:
        """Whether names and times do not tell."""
        return bool(self.slug or self.tenant or self.engine)

    def meets(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is meant, as far as its name and time tell."""
        return letter.state == OPEN and not (
            (self.since and letter.at < self.since) or (self.until and letter.at >= self.until)
        )

    def meets_facts(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is meant, as far as its record tells."""
        wanted = {"slug": self.slug, "tenant": self.tenant, "engine": self.engine}
        return all(value is None or letter.facts.get(name) == value for name, value in wanted.items())


# --- entering and handling ----------------------------------------------------------------------


def is_due(terminal: Terminal) -> bool:
    """Whether an epoch that ended so is an operator's business."""
    return terminal.status == "failed" and (terminal.error or {}).get("slug") not in PHOTO_FAULTS


def enter(reader: Reader, job_id: str, epoch: int, terminal: Terminal) -> None:
    """Enter a failure, unless somebody has."""
    document = {
        "at": terminal.at.isoformat(),
        "slug": (terminal.error or {}).get("slug"),
        "error": terminal.error,
        "attempt": terminal.attempt,
        "settled_by": terminal.settled_by,
        **_origin(reader, job_id, epoch, terminal.attempt),
    }
    _create(reader.store, records.dead_name(terminal.at, job_id, epoch), document)


def handle(
    store: ObjectStore, key: tuple[str, int], terminal: Terminal, how: str, document: Mapping[str, Any]
) -> bool:
    """Write that a failure has been replayed or resolved; return whether it was us."""
    return _create(store, records.dead_name(terminal.at, *key, how), document)


def resolve(store: ObjectStore, job: Job, document: Mapping[str, Any]) -> bool:
    """Write that nothing more is to be done about a job's failure; return whether it was us."""
    terminal = job.terminal
    return terminal is not None and handle(store, (job.id, job.worked.number), terminal, RESOLVED, document)


def _origin(reader: Reader, job_id: str, epoch: int, attempt: int) -> dict[str, Any]:
    """Say whose job it was and on which engine; a damaged record must not keep the failure from the index."""
    origin: dict[str, Any] = {"tenant": None, "engine": None}
    try:
        accepted = reader.accepted(job_id)
        origin |= {"tenant": accepted.owner, "engine": accepted.recipe.engine}
        if attempt:
            name = Claim(job_id=job_id, epoch=epoch, number=attempt).name("json")
            origin["engine"] = records.read_record(reader.store, name).get("engine") or origin["engine"]
    except (NoSuchObjectError, InternalError, AttributeError, KeyError, TypeError, ValueError):
        return origin
    return origin


def _create(store: ObjectStore, name: str, document: Mapping[str, Any]) -> bool:
    try:
        records.write_once(store, name, document)
    except NameTakenError:
        return False
    return True


# --- reading ------------------------------------------------------------------------------------


def find(store: ObjectStore, wanted: Filter, now: datetime) -> Iterator[DeadLetter]:
    """Return the dead letters that are meant, by day; records are read only if they must be."""
    for prefix in _prefixes(wanted, now):
        letters = (letter for letter in _letters(_each(store, prefix)) if wanted.meets(letter))
        if wanted.needs_records:
            yield from (letter for letter in read(store, letters) if wanted.meets_facts(letter))
        else:
            yield from letters


def of_job(reader: Reader, job: Job) -> list[DeadLetter]:
    """Return every dead letter that a job has had, whatever was done about it, oldest first."""
    listings = [reader.store.list(prefix) for prefix in prefixes(reader, job.history)]
    return list(read(reader.store, (letter for listing in listings for letter in _letters(listing.objects))))


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


def read(store: ObjectStore, letters: Iterable[DeadLetter]) -> Iterator[DeadLetter]:
    """Read the records of dead letters, in order, a piece at a time."""
    rest = iter(letters)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dead-letters") as pool:
        while piece := list(islice(rest, _PIECE)):
            yield from pool.map(lambda letter: replace(letter, facts=_facts(store, letter)), piece)


def _each(store: ObjectStore, prefix: str) -> Iterator[Stat]:
    page = store.page(prefix)
    yield from page.objects
    while page.more:
        page = store.page(prefix, page.more)
        yield from page.objects


def _letters(entries: Iterable[Stat]) -> Iterator[DeadLetter]:
    """Tell the failures from what was done about them; by name, one follows the other."""
    named = ((stat, match) for stat in entries if (match := _NAME.fullmatch(stat.name)))
    for (job_id, epoch), group in groupby(named, lambda entry: (entry[1]["job_id"], int(entry[1]["epoch"]))):
        entered = {match["handled"]: stat for stat, match in group}
        if stat := entered.get(None):
            # A replay counts for more than a resolution.
            state = next((how for how in (REPLAYED, RESOLVED) if how in entered), OPEN)
            yield DeadLetter(job_id=job_id, epoch=epoch, name=stat.name, at=stat.updated, state=state)


def _facts(store: ObjectStore, letter: DeadLetter) -> dict[str, Any]:
    try:
        facts = records.read_record(store, letter.name)
    except (NoSuchObjectError, UnreadableRecordError):
        return {}
    # Before these had members of their own, there was the error alone.
    error = facts.get("error")
    return {"slug": error.get("slug") if isinstance(error, dict) else None} | facts


def _prefixes(wanted: Filter, now: datetime) -> list[str]:
    """Return what to list: the days that may hold what is meant, or everything."""
    if wanted.since is None:
        return ["dead/"]
    # The day in the name is the settling host's, and may be one off the store's.
    first = (wanted.since.astimezone(UTC) - timedelta(days=1)).date()
    last = (wanted.until or now).astimezone(UTC).date() + timedelta(days=1)
    days = (last - first).days + 1
    if days > _MAX_DAYS:
        return ["dead/"]
    return [f"dead/{_day(first, number)}/" for number in range(days)]


def _day(first: date, number: int) -> str:
    return (first + timedelta(days=number)).isoformat()
