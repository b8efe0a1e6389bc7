"""The ledger: accepts, publishes, claims, beats and releases jobs over an object store and a queue.

Everything is a record that is created once, so that each step may be repeated by anyone, and of any
number of hands that try the same step one wins.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared import messages, records
from shared.errors import (
    GenerationMismatchError,
    IdempotencyKeyReusedError,
    JobBusyError,
    NameTakenError,
    NoSuchObjectError,
    QueueUnavailableError,
    StoreUnavailableError,
    TransientError,
)
from shared.history import Release
from shared.jobs import Claim, ClaimInDoubtError, Standing
from shared.pace import COMMIT_WITHIN
from shared.ports import Clock, Queue
from shared.reading import Reader
from shared.records import UNKNOWN_TYPE, Accepted, PhotoPin
from shared.same_request import is_same
from shared.side_by_side import Pool, both, threads

log = logging.getLogger(__name__)

_PUBLISH_WITHIN = timedelta(seconds=2)
_MARK_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger(Reader):
    """The records of all jobs, and what may be done to them."""

    queue: Queue
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    pool: Pool = threads  #: in which many jobs are looked at side by side

    # --- accepting and publishing ---------------------------------------------------------------

    def accept(self, job_id: str, accepted: Accepted, photo: Path | None) -> bool:
        """Store a photo, unless it is stored and pinned, and promise its job; return whether that is new.

        Raises
        ------
        IdempotencyKeyReusedError
            If the job exists with another request's digest.
        """
        began = self.monotonic()
        photo_pin, marker = both(
            self.beside, lambda: self._pinned(accepted.photo, photo), lambda: self.mark(job_id, 0)
        )
        self._require_young(began)
        pinned = replace(accepted, photo=photo_pin, marker=marker)
        try:
            records.write_once(self.store, records.accepted_name(job_id), pinned.document())
        except NameTakenError:
            promised = self.accepted(job_id)
            if promised.photo.name != accepted.photo.name:
                self.store.delete(accepted.photo.name)
            return self.agree(promised, accepted.request_digest)
        return True

    def _pinned(self, pin: PhotoPin, photo: Path | None) -> PhotoPin:
        if photo is None:
            return pin
        try:
            stored = self.store.create(pin.name, photo, content_type=pin.content_type or UNKNOWN_TYPE)
        except NameTakenError:
            # The name is random and ours: this is our own write, whose answer was lost.
            stored = self.store.stat(pin.name)
            if stored.size != pin.bytes:
                raise StoreUnavailableError("The photo was not stored whole.") from None
        return replace(pin, generation=stored.generation)

    @staticmethod
    def agree(accepted: Accepted, request_digest: str) -> bool:
        """Return ``False`` if a promise was made for the same request already.

        Raises
        ------
        IdempotencyKeyReusedError
            If it was made for another one.
        """
        if not is_same(accepted, request_digest):
            raise IdempotencyKeyReusedError(
                "The key was used for another photo or another recipe; use a new key."
            )
        return False

    def mark(self, job_id: str, epoch: int) -> int:
        """Create an epoch's marker, or make one that was left behind young again; return its generation."""
        name = records.marker_name(job_id, epoch)
        for _ in range(_MARK_TRIES):
            try:
                return self.store.create(name, b"{}").generation
            except NameTakenError:
                if generation := self._made_young(name):
                    return generation
        raise StoreUnavailableError("The same job is being accepted and removed at once; try again.")

    def open(self, job_id: str, epoch: int, document: Mapping[str, Any]) -> None:
        """Open the next epoch of a job, unless somebody else has."""
        began = self.monotonic()
        self.mark(job_id, epoch)
        self._require_young(began)
        with contextlib.suppress(NameTakenError):
            records.write_once(self.store, records.epoch_name(job_id, epoch, "opened.json"), document)

    def unmark(self, job_id: str, epoch: int, *, generation: int | None = None) -> None:
        """Delete an epoch's marker, which ends what is owed; who knows its generation saves a look at it."""
        name = records.marker_name(job_id, epoch)
        try:
            self.store.delete(name, generation=generation)
        except GenerationMismatchError:
            self.store.delete(name)  # it was made young again by a client that came back with its key

    def rest(self, changed: datetime, now: datetime) -> None:
        """Wait until an object that was changed at one time of the store's may be changed again."""
        # However the times lie: a store whose clock was set back must not make anybody wait for it.
        left = min(self.pace.rest, self.pace.rest - (now - changed))
        if left > timedelta(0):
            self.sleep(left.total_seconds())

    def _require_young(self, began: float) -> None:
        if self.monotonic() - began > COMMIT_WITHIN.total_seconds():
            # The sweep may be about to remove the marker: a promise without one could be lost.
            raise StoreUnavailableError("Storage took too long.")

    def _made_young(self, name: str) -> int | None:
        """Return the generation of a marker that will outlive the commit that it stands for."""
        try:
            stat = self.store.stat(name)
            if stat.age >= COMMIT_WITHIN:
                stat = self.store.replace(name, b"{}", generation=stat.generation)
        except (GenerationMismatchError, NoSuchObjectError):
            return None
        return stat.generation

    def publish(
        self, job_id: str, epoch: int, number: int, *, by: str, traceparent: str | None = None
    ) -> bool:
        """Hand an epoch's message to the queue and record it; a failure is the sweep's to mend."""
        message = messages.JobMessage(job_id=job_id, epoch=epoch, traceparent=traceparent)
        facts = {"job_id": job_id, "epoch": epoch, "publication": number}
        try:
            message_id = self.queue.publish(messages.JOBS, messages.encode(message), within=_PUBLISH_WITHIN)
        except QueueUnavailableError as error:
            log.warning("job.publish_failed", extra={**facts, "reason": repr(error)})
            return False
        document = {"at": self.clock().isoformat(), "by": by, "message_id": message_id}
        try:
            records.write_once(
                self.store, records.epoch_name(job_id, epoch, f"published/{number}.json"), document
            )
        except NameTakenError:
            log.info("job.published_twice", extra=facts)
            return False
        except StoreUnavailableError as error:
            log.warning("job.publish_unrecorded", extra={**facts, "reason": repr(error)})
            return False
        return True

    # --- claiming -------------------------------------------------------------------------------

    def claim(self, standing: Standing, by: Mapping[str, Any]) -> Claim:
        """Take an epoch that is free; creating the record is the mutual exclusion.

        Raises
        ------
        JobBusyError
            If another attempt was faster.
        ClaimInDoubtError
            If storage did not say whether the claim was written.
        """
        claim = Claim(
            job_id=standing.history.job_id,
            epoch=standing.epoch,
            number=standing.trace.attempts + 1,
            token=records.new_token(),
        )
        document = {"at": self.clock().isoformat(), **by}
        try:
            written = records.write_once(self.store, claim.name("json"), document, token=claim.token)
        except NameTakenError as error:
            raise JobBusyError("Another attempt has just claimed the job.") from error
        except TransientError as error:
            raise ClaimInDoubtError(claim) from error
        return replace(claim, created=written.updated)

    def is_claimed(self, claim: Claim) -> bool:
        """Whether a claim whose writing was in doubt was written after all, and by us."""
        return records.is_ours(self.store, claim.name("json"), claim.token)

    def beat(self, claim: Claim, *, stands_ready: bool = False) -> Claim:
        """Show that an attempt lives, and whether it waits for its slot; only the attempt itself may."""
        data = json.dumps({"at": self.clock().isoformat(), "stands_ready": stands_ready}).encode()
        try:
            if claim.beat_generation is None:
                stat = self.store.create(claim.name("beat"), data)
            else:
                stat = self.store.replace(claim.name("beat"), data, generation=claim.beat_generation)
        except (NameTakenError, GenerationMismatchError):
            # An earlier beat was written although its answer was lost: nobody else writes this name.
            stat = self.store.stat(claim.name("beat"))
        return replace(claim, beat_generation=stat.generation)

    def release(self, claim: Claim, reason: Release, detail: str = "") -> None:
        """Write why a claim is over; the first word stands."""
        document = {"at": self.clock().isoformat(), "reason": reason.value, "detail": detail[:500]}
        try:
            records.write_once(self.store, claim.name("released.json"), document)
        except NameTakenError:
            extra = {"claim": claim.number, "reason": reason.value, "detail": detail}
            log.info("claim.released_already", extra=extra)

    def is_settled(self, claim: Claim) -> bool:
        """Whether the epoch that a claim works on has been settled meanwhile."""
        try:
            self.store.stat(records.epoch_name(claim.job_id, claim.epoch, "terminal.json"))
        except NoSuchObjectError:
            return False
        return True
