"""The sweep: looks at every marker and does what nobody else has done.

It is what makes the promise hold when a process dies between two steps, when the queue loses a message
or when a publish failed. Overlapping sweeps are safe, since each step is.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from shared import messages, records, settling
from shared.errors import (
    DeadLetteredError,
    GenerationMismatchError,
    MalformedMessageError,
    QueueUnavailableError,
    TransientError,
)
from shared.jobs import Kind, Standing
from shared.ledger import Ledger
from shared.pace import ABANDONED_AFTER, OPEN_AT_MOST
from shared.ports import Stat

log = logging.getLogger(__name__)

BUDGET = timedelta(seconds=50)
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One pass over the markers."""

    ledger: Ledger
    monotonic: Callable[[], float] = time.monotonic

    def run(self) -> dict[str, int]:
        """Look at each marker that is due, and count what was done."""
        until = self.monotonic() + BUDGET.total_seconds()
        listing = self.ledger.store.list("open/")
        due = [stat for stat in listing.objects if self.ledger.pace.looks_at(stat.age)]
        untried = self._untried() if due else set()
        # Behind a long queue: to publish them again would make it longer, and to look at each slows it down.
        waiting = {stat.name for stat in due if stat.name in untried and stat.age < OPEN_AT_MOST}
        due = [stat for stat in due if stat.name not in waiting]
        with self.ledger.pool(_AT_ONCE, "sweep") as pool:
            visits: list[Future[str]] = [pool.submit(self._visit_until, stat, until) for stat in due]
            counts = Counter(visit.result() for visit in visits)
        counts["open"] = len(listing.objects)
        if waiting:
            counts["in_queue"] = len(waiting)
        log.info("sweep.done", extra={"counts": dict(counts)})
        return dict(counts)

    def _untried(self) -> set[str]:
        """Return the markers whose message is known to be waiting for its first push."""
        found: set[str] = set()
        with suppress(QueueUnavailableError):
            for data in self.ledger.queue.untried(messages.JOBS):
                with suppress(MalformedMessageError):
                    message = messages.decode(data)
                    if isinstance(message, messages.JobMessage):
                        found.add(records.marker_name(message.job_id, message.epoch))
        return found

    def _visit_until(self, marker: Stat, until: float) -> str:
        if self.monotonic() > until:
            return "left"
        try:
            return self.visit(marker)
        except TransientError as error:
            log.warning("sweep.deferred", extra={"marker": marker.name, "reason": repr(error)})
            return "deferred"
        except Exception:
            # One unreadable job must not keep the sweep from all others.
            log.exception("sweep.crashed", extra={"marker": marker.name})
            return "crashed"

    def visit(self, marker: Stat) -> str:
        """Do what one marker's epoch owes, and say what that was."""
        parsed = records.parse_marker(marker.name)
        if parsed is None:
            log.error("sweep.not_a_marker", extra={"marker": marker.name})
            return "unknown"
        standing = self.ledger.look(*parsed)
        if standing.kind is Kind.NOTHING:
            return self._abandoned(marker, *parsed)
        if standing.kind is Kind.SETTLED:
            known = settling.Known(marker=marker.generation)
            settling.finish(self.ledger, *parsed, self.ledger.terminal(*parsed), known)
            return "finished"
        if standing.kind is Kind.CLOSING:
            settling.close(self.ledger, *parsed)
            return "closed"
        return self._open(standing)

    def _abandoned(self, marker: Stat, job_id: str, epoch: int) -> str:
        if marker.age < ABANDONED_AFTER:
            return "waiting"
        try:
            self.ledger.store.delete(marker.name, generation=marker.generation)
        except GenerationMismatchError:
            return "waiting"  # a client has come back and made the marker young again
        if epoch == 0:  # a later one's job was promised, whatever became of whoever was to open it
            photos = self.ledger.store.list(records.input_prefix(job_id)).objects
            # A client that has come back since has a photo of its own, and a marker that is as young.
            settling.delete_photos(self.ledger, [stat for stat in photos if stat.age >= ABANDONED_AFTER])
        log.info("sweep.abandoned", extra={"marker": marker.name})
        return "abandoned"

    def _open(self, standing: Standing) -> str:
        if standing.kind is Kind.BUSY:
            return "busy"
        if standing.kind is Kind.HOPELESS:
            settling.give_up(self.ledger, standing, "sweep")
            return "given_up"
        if standing.history.now - standing.began > OPEN_AT_MOST and not standing.is_at_work:
            error = DeadLetteredError("No worker has finished the job within a day.")
            terminal = settling.failed(error, self.ledger, by="sweep", attempt=standing.trace.attempts)
            settling.settle(self.ledger, standing.history.job_id, standing.epoch, terminal)
            return "dead_lettered"
        return self._publish(standing)

    def _publish(self, standing: Standing) -> str:
        number = due_publication(standing, self.ledger)
        if number is None:
            return "waiting"
        job_id = standing.history.job_id
        if not self.ledger.publish(job_id, standing.epoch, number, by="sweep"):
            return "deferred"
        log.info("sweep.published", extra={"job_id": job_id, "epoch": standing.epoch, "publication": number})
        return "published"


def due_publication(standing: Standing, ledger: Ledger) -> int | None:
    """Return the number of the publication that is due, or ``None``."""
    published, now = standing.trace.published, standing.history.now
    if not published:
        return 0
    last = max(published)
    due_at = published[last].updated + ledger.pace.publication_due(last + 1)
    return last + 1 if now >= due_at else None
