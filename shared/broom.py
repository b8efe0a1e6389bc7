"""The broom: deletes what nobody may be given any more, an expired job's bytes and photos without a job.

It never deletes a job's record. Jobs are looked at a part a minute, all of them within a day, so that a
turn is short and holds little; uploads whose hour is over are looked at every time.
"""

import json
import logging
import string
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import product

from shared import records, settling, uploads
from shared.errors import (
    GenerationMismatchError,
    JobNotSettledError,
    NameTakenError,
    NoSuchObjectError,
    TransientError,
)
from shared.history import History
from shared.ledger import Ledger
from shared.pace import ABANDONED_AFTER, COMMIT_WITHIN
from shared.ports import Listing, Stat
from shared.uploads import Upload, Uploads

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)
BUDGET = timedelta(seconds=50)
_AT_ONCE = 16

#: What a job's id may begin with, behind ``job_``: as many parts as fit into a day.
PARTS = tuple("".join(pair) for pair in product(string.digits + string.ascii_lowercase, repeat=2))

LEAST_RETENTION = "broom/retention.json"
_PHOTOS, _PICTURES, _RECORDS = "inputs/job_", "results/job_", "jobs/job_"
_WARMUPS_KEPT_FOR = timedelta(days=1)

_Visit = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broom:
    """One turn over the uploads and over one part of the jobs."""

    ledger: Ledger
    retention: timedelta  #: of jobs accepted now
    monotonic: Callable[[], float] = time.monotonic

    def run(self) -> dict[str, int]:
        """Look at what is this minute's, and count what was done."""
        return self.sweep(part_at(self.ledger.clock()))

    def sweep(self, part: str) -> dict[str, int]:
        """Look at uploads and at one part of the jobs."""
        until = self.monotonic() + BUDGET.total_seconds()
        visits = [*self._uploads(), *self._warmups(), *self._jobs(part)]
        with self.ledger.pool(_AT_ONCE, "broom") as pool:
            counts = Counter(pool.map(lambda named: self._visit(named[0], named[1], until), visits))
        log.info("broom.done", extra={"part": part, "counts": dict(counts)})
        return dict(counts)

    def _visit(self, name: str, visit: _Visit, until: float) -> str:
        if self.monotonic() > until:
            return "left"
        try:
            return visit()
        except (GenerationMismatchError, JobNotSettledError):
            return "waiting"  # somebody has just changed it
        except TransientError as error:
            log.warning("broom.deferred", extra={"object": name, "reason": repr(error)})
            return "deferred"
        except Exception:
            # One unreadable record must not keep the broom from all others.
            log.exception("broom.crashed", extra={"object": name})
            return "crashed"

    # --- jobs -----------------------------------------------------------------------------------

    def _jobs(self, part: str) -> Iterator[tuple[str, _Visit]]:
        # Photos first: one that is an hour old by then has its promise in the later listing, or none ever.
        least = self._least_retention()
        photos = _by_job(self.ledger.store.list(_PHOTOS + part).objects, "inputs/", ".")
        pictures = _by_job(self.ledger.store.list(_PICTURES + part).objects, "results/", "/")
        listing = self.ledger.store.list(_RECORDS + part)
        jobs = _by_job(listing.objects, "jobs/", "/")
        for job_id, stats in jobs.items():
            history = History.from_listing(job_id, Listing(objects=tuple(stats), now=listing.now))
            if _may_have_expired(history, stats, least):
                yield job_id, partial(self._expire, history)
        for job_id, stats in photos.items():
            old = [stat for stat in stats if stat.age >= ABANDONED_AFTER]
            if old and (len(stats) > 1 or not _keeps_bytes(job_id, jobs.get(job_id, ()))):
                yield job_id, partial(self._delete_orphans, job_id, old)
        for job_id, stats in pictures.items():
            if job_id in jobs and not _keeps_bytes(job_id, jobs[job_id]):
                yield job_id, partial(self._delete_late, stats)

    def _least_retention(self) -> timedelta:
        """Return the least that any job was promised: the promise of a younger one is not even read.

        What was once less stays on record, so that those jobs expire in their time after it was raised.
        """
        store, mine_s = self.ledger.store, self.retention.total_seconds()
        try:
            blob = store.read(LEAST_RETENTION)
            document = records.parse(LEAST_RETENTION, blob.data)
        except NoSuchObjectError:
            with suppress(NameTakenError):
                records.write_once(store, LEAST_RETENTION, {"least_s": mine_s})
            return self.retention
        except records.UnreadableRecordError:
            log.exception("broom.crashed", extra={"object": LEAST_RETENTION})
            return self.retention
        if document["least_s"] > mine_s:
            data = json.dumps(document | {"least_s": mine_s}).encode()
            with suppress(GenerationMismatchError):
                store.replace(LEAST_RETENTION, data, generation=blob.stat.generation)
        return timedelta(seconds=min(document["least_s"], mine_s))

    def _expire(self, history: History) -> str:
        job = self.ledger.told(history)
        if history.now < job.accepted.expires_at:
            return "kept"
        if not job.is_closed and (job.terminal is None or job.worked.announced is None):
            return "waiting"
        settling.erase(self.ledger, job.id, kind="expiry", by="broom")
        return "expired"

    def _delete_orphans(self, job_id: str, photos: Iterable[Stat]) -> str:
        job = self.ledger.job(job_id)
        kept = None if job is None or job.is_closed else job.accepted.photo.name
        orphans = [stat for stat in photos if stat.name != kept]
        settling.delete_photos(self.ledger, orphans)
        return "orphans" if orphans else "kept"

    def _delete_late(self, pictures: Iterable[Stat]) -> str:
        """Delete what an attempt stored of a job that was closed meanwhile, and did not live to delete."""
        for stat in pictures:
            self.ledger.store.delete(stat.name, generation=stat.generation)
        return "late"

    # --- warm-ups -------------------------------------------------------------------------------

    def _warmups(self) -> Iterator[tuple[str, _Visit]]:
        """Yield the warm-ups that nobody can be about to ask for again, whatever a host's clock says."""
        for stat in self.ledger.store.list(records.WARMUPS).objects:
            if stat.age >= _WARMUPS_KEPT_FOR:
                yield stat.name, partial(self._forget, stat)

    def _forget(self, stat: Stat) -> str:
        self.ledger.store.delete(stat.name, generation=stat.generation)
        return "forgotten"

    # --- uploads --------------------------------------------------------------------------------

    def _uploads(self) -> Iterator[tuple[str, _Visit]]:
        ours = Uploads(store=self.ledger.store, clock=self.ledger.clock)
        for stat in self.ledger.store.list(uploads.PREFIX).objects:
            # Whoever took it has had the time to commit, though its clock be minutes behind the store's.
            if stat.age >= uploads.LASTS + COMMIT_WITHIN:
                yield stat.name, partial(self._clear, ours, stat)

    def _clear(self, ours: Uploads, stat: Stat) -> str:
        upload_id = uploads.parse_record_name(stat.name)
        upload = ours.read(upload_id) if upload_id else None
        if upload is None:
            return "unknown"
        job = self.ledger.job(upload.job_id) if upload.job_id else None
        if job is None or job.accepted.photo.name != upload.input:
            return self._sweep_upload(ours, upload)
        if job.is_closed:
            self.ledger.store.delete(upload.input)  # it may have been sent again since
        self.ledger.store.delete(stat.name, generation=upload.generation)
        return "promised"

    def _sweep_upload(self, ours: Uploads, upload: Upload) -> str:
        """Delete a photo that became no job: twice, an hour apart, since it may have been on its way."""
        if not upload.is_swept:
            ours.rewrite(upload, swept=True)
        self.ledger.store.delete(upload.input)
        if upload.is_swept:
            self.ledger.store.delete(uploads.record_name(upload.id), generation=upload.generation)
        log.info("upload.swept", extra={"upload_id": upload.id})
        return "swept"


def _may_have_expired(history: History, stats: Iterable[Stat], least: timedelta) -> bool:
    if history.accepted is None or history.accepted.age < least:
        return False
    newest = history.newest
    is_ours = newest.terminal is not None and newest.announced is not None
    closed = records.epoch_name(history.job_id, newest.number, "closed.json")
    return is_ours or (newest.number > 0 and closed not in {stat.name for stat in stats})


def _keeps_bytes(job_id: str, stats: Iterable[Stat]) -> bool:
    """Whether a job was promised and not closed: what has come since it was closed is nobody's."""
    names = {stat.name for stat in stats}
    return records.accepted_name(job_id) in names and not any(name.endswith("/closed.json") for name in names)


def part_at(now: datetime) -> str:
    """Return the part of the jobs whose turn it is."""
    return PARTS[int(now.timestamp() // EVERY.total_seconds()) % len(PARTS)]


def _by_job(stats: Iterable[Stat], prefix: str, end: str) -> dict[str, list[Stat]]:
    found: dict[str, list[Stat]] = defaultdict(list)
    for stat in stats:
        found[stat.name.removeprefix(prefix).partition(end)[0]].append(stat)
    return found
