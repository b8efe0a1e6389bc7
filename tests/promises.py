"""What must be true of the records at every moment, whatever was killed, frozen, lost or delivered twice.

The numbers are those of the invariants in the fault matrix: I1 one terminal state, I2 which never changes,
I3 whose bytes are there and decode, I4 no more inferences than claims, I6 nothing unaccepted is worked on.
What operators' replays promise stands in ``tests.replay_promises``.
"""

import hashlib
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from PIL import Image

from shared import dead_letters, records
from shared.checksums import crc32c
from shared.errors import PHOTO_FAULTS
from shared.history import ClaimTrace, EpochTrace
from shared.jobs import Job
from shared.ledger import Ledger
from shared.ports import ObjectStore, Stat
from tests.replay_promises import BrokenPromiseError, ReplayPromises, record, require

__all__ = ["COUNTED_ENDS", "MOST_COUNTED", "BrokenPromiseError", "Promises", "record", "require"]

#: Ends of attempts that use a job up, and how it then fails; its own list, so that the product's cannot be
#: wrong unseen.
COUNTED_ENDS = {
    "silent": "poison",
    "bug": "internal-error",
    "timeout": "timeout",
    "out-of-memory": "out-of-memory",
}
MOST_COUNTED = 3
_JOB = re.compile(r"job_[0-9A-Za-z]+")
#: What is never deleted, and never changed but for an attempt's own beat.
_KEPT = ("jobs/", "dead/", "replays/")
_RANKS = {"queued": 0, "processing": 1, "succeeded": 2, "failed": 2, "cancelled": 2}


@dataclass
class Promises:
    """Looks at every record again and again, and remembers what must not change."""

    ledger: Ledger  #: over ports that nothing happens to
    inferences: Mapping[tuple[str, int], int] = field(default_factory=dict)
    photos_read: Collection[str] = ()  #: by workers
    drivers: Callable[[], int] = int  #: how many are about to do something for a replay
    _terminals: dict[str, dict[str, int]] = field(default_factory=dict)  #: by job, generations by name
    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)  #: (epoch, rank) by job
    _whole: dict[str, int] = field(default_factory=dict)  #: generations of pictures that were read
    _decoded: set[str] = field(default_factory=set)  #: by sha256
    _found: dict[str, int] = field(default_factory=dict)  #: generations of everything, as seen last
    _jobs: set[str] = field(default_factory=set)  #: that have records
    _photos: dict[str, str] = field(default_factory=dict)  #: the job that has each, by name
    _open: dict[str, str] = field(default_factory=dict)  #: photos that are still needed, by job
    _swept: dict[str, int] = field(default_factory=dict)  #: when an upload was given up, by its photo
    _closed: dict[str, int] = field(default_factory=dict)  #: the epoch that closed each job
    _signs: dict[str, tuple[datetime, timedelta]] = field(default_factory=dict)  #: last one and longest gap
    _judged: set[str] = field(default_factory=set)  #: terminal records that were held against the attempts

    def __post_init__(self) -> None:
        self.replays = ReplayPromises(self.ledger.store, self.drivers)

    @property
    def accepted(self) -> list[str]:
        """The jobs that were promised, in that order."""
        return list(self._photos.values())

    @property
    def store(self) -> ObjectStore:
        return self.ledger.store

    def check(self) -> None:
        """Hold every job about which something has changed against what was promised."""
        stats = {stat.name: stat for stat in self.store.list("").objects}
        found = {name: stat.generation for name, stat in stats.items()}
        changed = {name for name, _ in found.items() ^ self._found.items()}
        self._require_kept(found, changed)
        self._found = found
        self._check_uploads(stats, changed)
        self._jobs |= {name.split("/")[1] for name in changed if name.startswith("jobs/")}
        for job_id in self._jobs & {match[0] for name in changed if (match := _JOB.search(name))}:
            require(records.accepted_name(job_id) in found, "I6", f"{job_id}: records without a promise")
            self._check_job(self.job(job_id), found)
        for job_id, photo in self._open.items():
            require(photo in found, "I1", f"{job_id} has not settled, and its photo is gone")
        self.replays.check(stats, changed)

    def _require_kept(self, found: Mapping[str, int], changed: Iterable[str]) -> None:
        """Hold what is written once against what it was, and what is never deleted."""
        for name in changed:
            if name.startswith(_KEPT) and not name.endswith(".beat") and name in self._found:
                require(found.get(name) == self._found[name], "I2", f"{name} has changed or is gone")

    def _check_uploads(self, stats: Mapping[str, Stat], changed: Iterable[str]) -> None:
        for name in changed:
            if name.startswith("uploads/") and name in stats and record(self.store, name).get("swept"):
                photo = records.input_name(name.removeprefix("uploads/").removesuffix(".json"))
                self._swept.setdefault(photo, stats[name].generation)
            elif name.endswith("/accepted.json") and name in stats:
                self._take_promise(name, stats[name].generation)
        for photo in self.photos_read:
            require(photo in self._photos, "I6", f"{photo} was worked on, and is no job's")

    def _take_promise(self, name: str, generation: int) -> None:
        job_id, photo = name.split("/")[1], record(self.store, name)["photo"]["name"]
        holder = self._photos.setdefault(photo, job_id)
        require(holder == job_id, "I6", f"{photo} became two jobs: {holder} and {job_id}")
        swept = self._swept.get(photo, generation)
        require(generation <= swept, "I6", f"{job_id} was promised for {photo}, which was given up before")

    def check_job(self, job_id: str) -> None:
        """Hold one job against what was promised, without a look at all the others."""
        # In this order: a marker that is gone was followed by all that it stood for, and a job that has
        # succeeded was preceded by its pictures.
        owed, kept = self._generations(f"open/{job_id}."), self._generations(records.job_prefix(job_id))
        self._require_terminals(job_id, kept)
        if kept:
            job = self.ledger.job(job_id)
            require(job, "I6", f"{job_id}: records without a promise")
            self._check_job(job, owed | kept | self._generations(f"results/{job_id}/"))

    def _generations(self, prefix: str) -> dict[str, int]:
        return {stat.name: stat.generation for stat in self.store.list(prefix).objects}

    def job(self, job_id: str) -> Job:
        job = self.ledger.job(job_id)
        require(job, "I1", f"{job_id} was accepted and is not there")
        return job

    def _require_terminals(self, job_id: str, kept: Mapping[str, int]) -> None:
        seen = self._terminals.setdefault(job_id, {})
        for name, generation in seen.items():
            require(kept.get(name) == generation, "I2", f"{name} has changed or is gone")
        seen |= {name: g for name, g in kept.items() if name.endswith("/terminal.json")}

    def _check_job(self, job: Job, found: Mapping[str, int]) -> None:
        if job.terminal is None:
            self._open[job.id] = job.accepted.photo.name
        else:
            self._open.pop(job.id, None)
        if job.is_closed:
            since = self._closed.setdefault(job.id, job.epoch)
            require(job.epoch == since, "I2", f"{job.id} was closed by e{since}, and opened by e{job.epoch}")
        now = (job.worked.number, _RANKS[job.status])
        require(
            now >= self._seen.get(job.id, now),
            "I2",
            f"{job.id} went back from {self._seen.get(job.id)} to {now}",
        )
        self._seen[job.id] = now
        for number in job.history.epochs:
            if (epoch := job.history.epoch(number)) and not (job.is_closed and number == job.epoch):
                self._check_epoch(job, epoch, found)
        if job.status == "succeeded" and not job.is_closed:
            self._require_pictures(job, found)

    def _check_epoch(self, job: Job, epoch: EpochTrace, found: Mapping[str, int]) -> None:
        is_owed = not (epoch.terminal and epoch.announced)
        marker = records.marker_name(job.id, epoch.number)
        require(marker in found or not is_owed, "I1", f"{job.id} e{epoch.number} is owed and has no marker")
        done = self.inferences.get((job.id, epoch.number), 0)
        require(done <= len(epoch.claims), "I4", f"{job.id}: {done} inferences, {len(epoch.claims)} claims")
        self._require_silences(job.id, epoch, job.history.now)
        ended = [c for c in epoch.claims.values() if c.number < epoch.attempts]
        counted = sum(self.end_of_claim(job.id, epoch.number, c) in COUNTED_ENDS for c in ended)
        require(counted < MOST_COUNTED, "I4", f"{job.id}: claim {epoch.attempts} after {counted} that count")
        if epoch.terminal and epoch.terminal.name not in self._judged:
            self._require_evidence(job.id, epoch, epoch.terminal)
            self._judged.add(epoch.terminal.name)

    def _require_evidence(self, job_id: str, epoch: EpochTrace, terminal: Stat) -> None:
        """A job is given up once all its attempts are over on record; the last that counts names it."""
        slug = (self.ledger.terminal(job_id, epoch.number).error or {}).get("slug")
        if slug not in COUNTED_ENDS.values():
            return
        claims = [claim for _, claim in sorted(epoch.claims.items())]
        known = [c for c in claims if c.released and c.released.generation < terminal.generation]
        ends = [self.end_of_claim(job_id, epoch.number, claim) for claim in known]
        where = (
            f"{job_id} e{epoch.number} failed as {slug}, and its {len(claims)} attempts had ended as {ends}"
        )
        require(len(known) == len(claims), "I4", f"{where}: one is not over")
        slugs = [COUNTED_ENDS[end] for end in ends if end in COUNTED_ENDS]
        require(len(slugs) >= MOST_COUNTED, "I4", f"{where}: too few count")
        spoken = [each for each in slugs if each != COUNTED_ENDS["silent"]]
        require(slug == (spoken or slugs)[-1], "I4", f"{where}: not the last word")

    def _require_silences(self, job_id: str, epoch: EpochTrace, now: datetime) -> None:
        """Another claim may follow one that was released, or that has once been silent for too long.

        Nobody says so of one that was not.
        """
        for claim in epoch.claims.values():
            key = f"{job_id} e{epoch.number}/{claim.number}"
            signs = sorted(sign.updated for sign in (claim.claimed, claim.beat) if sign)
            before, longest = self._signs.get(key, (signs[0], timedelta(0)))
            last = max(before, signs[-1])
            self._signs[key] = last, max(longest, last - before)
            is_followed = claim.number < epoch.attempts and claim.released is None
            if is_followed or (claim.released and self.end_of_claim(job_id, epoch.number, claim) == "silent"):
                silent = max(self._signs[key][1], (claim.released.updated if claim.released else now) - last)
                what = "followed" if is_followed else "called silent"
                require(silent >= self.ledger.pace.dead_after, "I4", f"{key}: {what} {silent} after a sign")

    def end_of_claim(self, job_id: str, epoch: int, claim: ClaimTrace) -> str:
        """Why an attempt was given back, or that it is silent."""
        if claim.released is None:
            return "silent"
        name = records.epoch_name(job_id, epoch, f"claims/{claim.number}.released.json")
        return str(record(self.store, name)["reason"])

    def _require_pictures(self, job: Job, found: Mapping[str, int]) -> None:
        for name, picture in _pictures(job).items():
            require(name in found, "I3", f"{name} was promised and is not there")
            if self._whole.get(name) != found[name]:
                data = self.store.read(name).data
                require(_is_whole(data, picture), "I3", f"{name} has other bytes")
                require(self._is_decoded(data, picture), "I3", f"{name} cannot be decoded")
                self._whole[name] = found[name]

    def _is_decoded(self, data: bytes, picture: Mapping[str, Any]) -> bool:
        """Whether it is a picture; each is decoded once, however many jobs have it."""
        if picture["sha256"] not in self._decoded:
            try:
                with Image.open(io.BytesIO(data)) as image:
                    image.load()
            except (OSError, ValueError, SyntaxError):
                return False
            self._decoded.add(picture["sha256"])
        return True

    # --- in the end -----------------------------------------------------------------------------

    def check_settled(self, job_id: str) -> None:
        """Hold a job against what must be true once everybody has had time to finish."""
        job = self.job(job_id)
        require(job.terminal, "I1", f"{job_id} has not settled")
        require(job.worked.announced, "I1", f"{job_id} was not announced")
        left = [s.name for s in self.store.list(f"open/{job_id}.").objects]
        require(not left, "I1", f"{job_id} is settled and still owes: {left}")
        error = job.terminal.error
        if job.terminal.status == "failed" and error["slug"] not in PHOTO_FAULTS:
            dead = records.dead_name(job.terminal.at, job_id, job.worked.number)
            require(self.store.list(dead).objects, "I1", f"{job_id} failed and no operator is told")
            closed = records.dead_name(job.terminal.at, job_id, job.worked.number, dead_letters.CLOSED)
            is_told = bool(self.store.list(closed).objects)
            require(is_told == job.is_closed, "I1", f"{job_id}: its dead letter is closed: {is_told}")

    def check_bytes(self, now: datetime) -> None:
        """Hold photos and pictures against what may still lie there after the broom."""
        kept, going = set(), set()
        for photo, job_id in self._photos.items():
            job = self.job(job_id)
            require(job.is_closed or now < job.accepted.expires_at, "I2", f"{job_id} has expired unclosed")
            if not job.is_closed:
                kept.add(photo)
                going.add(job_id)  # what a loser has left of it goes when it is closed
        left = {s.name for s in self.store.list("inputs/").objects} - kept
        left |= {s.name for s in self.store.list("results/").objects if s.name.split("/")[1] not in going}
        require(not left, "I6", f"nobody may be given these, and they lie there: {sorted(left)}")


def _pictures(job: Job) -> dict[str, dict[str, Any]]:
    """Return what a job has promised to whoever holds its id, by name."""
    if job.status != "succeeded":
        return {}
    outcome = job.terminal.outcome
    pictures = (outcome["matte"], outcome["preview"], *outcome["results"].values())
    return {picture["object"]: picture for picture in pictures}


def _is_whole(data: bytes, picture: Mapping[str, Any]) -> bool:
    is_crc = picture.get("crc32c") in {None, crc32c(data)}
    return is_crc and (len(data), hashlib.sha256(data).hexdigest()) == (picture["bytes"], picture["sha256"])
