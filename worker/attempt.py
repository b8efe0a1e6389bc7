"""One claimed attempt at a job: download, render, store, settle, or give the claim back saying why."""

import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from shared import records, settling
from shared.errors import (
    DeviceLostError,
    InternalError,
    JobTimeoutError,
    NameTakenError,
    NotHereYetError,
    OutOfMemoryError,
    PermanentError,
    QueueUnavailableError,
    ShuttingDownError,
    TransientError,
    WorkerBusyError,
)
from shared.history import COUNTED, Release
from shared.jobs import Claim, Standing
from shared.records import Accepted, PhotoPin, Terminal
from worker.beats import Pulse
from worker.download import download
from worker.errands import Errands
from worker.feasible import require_feasible
from worker.matting import MattingModel
from worker.pipeline import Artifact, Rendered, render
from worker.services import Services
from worker.shortage import is_shortage
from worker.slots import Slot

log = logging.getLogger(__name__)

#: Between stages the store is asked this often whether the job was settled elsewhere: in a job of usual
#: length never, since there creating the terminal record asks the same question.
_LOOK_EVERY_S = 10.0

#: How a claim is released after an error; a ``PermanentError`` of any other kind settles the job.
_RELEASES: tuple[tuple[type[BaseException], Release], ...] = (
    (JobTimeoutError, Release.TIMEOUT),
    (MemoryError, Release.OUT_OF_MEMORY),
    (OutOfMemoryError, Release.OUT_OF_MEMORY),
    (ShuttingDownError, Release.SHUTDOWN),
    (DeviceLostError, Release.SHUTDOWN),  # for that is what follows
    (QueueUnavailableError, Release.QUEUE),
    (WorkerBusyError, Release.BUSY),
    (NotHereYetError, Release.VERSION),
    (TransientError, Release.STORAGE),
    (InternalError, Release.BUG),
)


class SettledElsewhereError(Exception):
    """The job was cancelled, or another attempt was faster."""


@dataclass
class Attempt:
    """The right to work on one epoch, and everything needed to do it."""

    services: Services
    claim: Claim
    standing: Standing
    promise: Future[Accepted]  #: being read since the delivery came
    model: MattingModel
    arrived: float  #: when the delivery came, on the monotonic clock
    slot: Slot
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    timings_ms: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ledger = self.services.ledger
        self._pulse = Pulse(self._ledger, self.claim, lambda: self.slot.stands_ready)
        self._errands = Errands(self.services.beside)
        self._until = self.arrived + self.services.patience.deadline_s
        self._looked = self.services.monotonic()
        self._has_begun = False
        self._stood_ready_ms = 0.0

    def settle(self) -> bool:
        """Bring the epoch to its end; ``False`` if the delivery has to come again."""
        try:
            self.services.start_pulse(self._pulse)
            self._conclude(self._outcome())
        except Exception as error:  # noqa: BLE001 - every error has a place in the table of releases
            self._release(error)
            return False
        finally:
            if not self._has_begun:
                self.slot.give_back()
        return True

    # --- ending ---------------------------------------------------------------------------------

    def _outcome(self) -> Terminal | None:
        """Return how the attempt ended, or ``None`` if the job was settled elsewhere meanwhile."""
        try:
            return self.services.run(self._work, until=self._until)
        except SettledElsewhereError:
            return None
        except tuple(kind for kind, _ in _RELEASES):
            raise
        except PermanentError as error:
            return settling.failed(error, self._ledger, by="worker", attempt=self.claim.number)

    def _conclude(self, terminal: Terminal | None) -> None:
        job_id, epoch = self.claim.job_id, self.claim.epoch
        if terminal is None:
            how = self._ledger.terminal(job_id, epoch)
            settling.finish(self._ledger, job_id, epoch, how)
        else:
            how = settling.settle(self._ledger, job_id, epoch, terminal, self._known())
        self._pulse.conclude()
        if how is not terminal:
            log.info("job.settled_elsewhere", extra={"claim": self.claim.number, "status": how.status})
            self._delete_own()

    def _known(self) -> settling.Known:
        # Another epoch than the promise's has another marker.
        marker = self.promise.result().marker if self.claim.epoch == 0 else None
        return settling.Known(claim=self.claim, marker=marker, began=self.standing.began)

    def _release(self, error: Exception) -> None:
        release = next((r for kind, r in _RELEASES if isinstance(error, kind)), Release.BUG)
        if release.value in COUNTED:
            extra = {"claim": self.claim.number, "reason": release.value}
            log.error("attempt.failed", exc_info=error, extra=extra)
        self._pulse.release(release, error.detail if isinstance(error, TransientError) else repr(error))
        if isinstance(error, DeviceLostError):
            self.services.on_lost_device(error)

    def _delete_own(self) -> None:
        """Delete what this attempt has written; what storage refuses now, whoever settles deletes."""
        with contextlib.suppress(TransientError):
            for result in self.results.values():
                self._ledger.store.delete(result["object"])

    # --- working --------------------------------------------------------------------------------

    def _work(self) -> Terminal:
        self._has_begun = True
        try:
            return self._render()
        except Exception as error:
            self._errands.abandon()  # what is still under way would land after it was deleted
            self._delete_own()
            if is_shortage(error):
                raise MemoryError(str(error)) from error
            raise
        finally:
            self.slot.give_back()

    def _render(self) -> Terminal:
        began = self.services.monotonic()
        accepted = self.promise.result()
        require_feasible(accepted.recipe, self.model.name)
        photo = self._download(accepted.photo)
        self._enter()
        rendered = render(photo, accepted.recipe, self.model, checkpoint=self._checkpoint, keep=self._keep)
        del photo
        self.slot.hand_on()
        with self._waiting():
            self._errands.finish()
        self._checkpoint("settle")
        return self._succeeded(rendered, began)

    def _download(self, pin: PhotoPin) -> bytes:
        began = self.services.monotonic()
        photo = download(self._ledger.store, pin)
        self.timings_ms["download"] = self._ms_since(began)
        return photo

    def _enter(self) -> None:
        """Wait until the slot is there; what that takes counts as waiting in the queue."""
        began = self.services.monotonic()
        self.slot.enter(within_s=self.arrived + self.services.patience.for_a_slot_s - began)
        self._stood_ready_ms = self._ms_since(began)

    def _checkpoint(self, stage: str) -> None:
        """Stop between two stages if there is a reason to."""
        now = self.services.monotonic()
        if now - self._looked > _LOOK_EVERY_S:
            self._looked = now
            self._errands.start(self._look)
        if self._pulse.settled_elsewhere.is_set():
            raise SettledElsewhereError(stage)
        if self.services.is_stopping():
            raise ShuttingDownError(f"The worker is being stopped, before {stage}.")
        if now > self._until:
            raise JobTimeoutError(f"The attempt ran out of time before {stage}.")

    def _look(self) -> None:
        if self._ledger.is_settled(self.claim):
            self._pulse.settled_elsewhere.set()

    def _keep(self, artifact: Artifact) -> None:
        """Store one finished picture while the next one is made."""
        claim = self.claim
        name = records.results_prefix(claim.job_id, claim.epoch, claim.number) + artifact.name
        self.results[artifact.name] = {"object": name}
        with self._waiting():
            self._errands.start(partial(self._store, artifact), holds_bytes=len(artifact.data))

    def _store(self, artifact: Artifact) -> None:
        result = self.results[artifact.name]
        # The name holds this attempt's number: one that is taken is our own write, tried again.
        with contextlib.suppress(NameTakenError):
            self._ledger.store.create(result["object"], artifact.data, content_type=artifact.content_type)
        result |= artifact.facts()  # a digest of some megabytes

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Count as ``upload`` what the attempt waits for its uploads, not what they take beside it."""
        began = self.services.monotonic()
        yield
        self.timings_ms["upload"] = round(self.timings_ms.get("upload", 0.0) + self._ms_since(began), 1)

    def _succeeded(self, rendered: Rendered, began: float) -> Terminal:
        waited = self.standing.history.now - self.standing.began
        queue_ms = round(waited.total_seconds() * 1000 + self._stood_ready_ms, 1)
        timings = {"queue": queue_ms, **self.timings_ms, **rendered.timings_ms}
        timings["total"] = round(queue_ms - self._stood_ready_ms + self._ms_since(began), 1)
        pictures = dict(self.results)
        return Terminal(
            status="succeeded",
            at=self._ledger.clock(),
            settled_by="worker",
            attempt=self.claim.number,
            outcome={
                "input": rendered.input,
                "matte": pictures.pop("matte"),
                "preview": pictures.pop("preview"),
                "results": pictures,
                "subject": asdict(rendered.subject),
                "print": rendered.print,
                "engine": self.services.gate.engine,
                "timings_ms": timings,
            },
        )

    def _ms_since(self, began: float) -> float:
        return round((self.services.monotonic() - began) * 1000, 1)
