"""Settle an epoch: one function for the worker, the API, the dead letters and the sweep.

The terminal record is the commit point; what follows it may be repeated by anyone until the marker is
gone, so a settled job always ends with its client told and nothing owed.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from shared import dead_letters, records
from shared.errors import (
    InternalError,
    JobBusyError,
    JobNotSettledError,
    NameTakenError,
    NoSuchObjectError,
    ServiceError,
)
from shared.history import Release
from shared.jobs import CLOSING, Claim, Kind, Standing
from shared.ledger import Ledger
from shared.pace import Pace
from shared.ports import Stat
from shared.records import Terminal
from shared.side_by_side import both

log = logging.getLogger(__name__)


def failed(error: ServiceError, ledger: Ledger, *, by: str, attempt: int = 0) -> Terminal:
    """Return the terminal record of a job that failed with an error."""
    return Terminal(status="failed", at=ledger.clock(), settled_by=by, attempt=attempt, error=error.problem())


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What whoever settles an epoch knows of it, and need not ask the store for."""

    claim: Claim | None = None  #: under which it was worked on
    marker: int | None = None  #: generation of its marker
    began: datetime | None = None  #: the store's time of its first record, which followed the marker
    settled: datetime | None = None  #: the store's time of the terminal record, where it is ours

    def has_losers(self, terminal: Terminal, pace: Pace) -> bool:
        """Whether there may be pictures that nobody is ever given."""
        if terminal.status != "succeeded" or self.claim is None or self.settled is None:
            return True
        return not self.claim.was_alone(self.settled, pace)


_NOTHING = Known()


def settle(ledger: Ledger, job_id: str, epoch: int, terminal: Terminal, known: Known = _NOTHING) -> Terminal:
    """Write how an epoch ended, unless it has ended already, and finish; return how it really ended."""
    try:
        written = records.write_once(
            ledger.store, records.epoch_name(job_id, epoch, "terminal.json"), terminal.document()
        )
    except NameTakenError:
        terminal = ledger.terminal(job_id, epoch)
    else:
        known = replace(known, settled=written.updated)
        _log_settled(job_id, epoch, terminal)
    finish(ledger, job_id, epoch, terminal, known)
    return terminal


def finish(ledger: Ledger, job_id: str, epoch: int, terminal: Terminal, known: Known = _NOTHING) -> None:
    """Do what a settled epoch still owes; each step may have been done before."""
    if dead_letters.is_due(terminal):
        dead_letters.enter(ledger, job_id, epoch, terminal)
    if known.has_losers(terminal, ledger.pace):
        both(
            ledger.beside,
            lambda: _delete_losers(ledger, job_id, epoch, terminal),
            lambda: _announce(ledger, job_id, epoch),
        )
    else:
        _announce(ledger, job_id, epoch)
    if known.began and known.settled:
        ledger.rest(known.began, known.settled)
    ledger.unmark(job_id, epoch, generation=known.marker)


def finish_if_due(ledger: Ledger, standing: Standing) -> None:
    """Finish a settled epoch that has not been announced; delete what an attempt may have left since."""
    job_id, epoch = standing.history.job_id, standing.epoch
    if standing.trace.announced is None:
        finish(ledger, job_id, epoch, ledger.terminal(job_id, epoch))
    elif standing.trace.may_have_late_losers:
        # An outage has kept an attempt from deleting its own, or it was killed: this is its delivery again.
        _delete_losers(ledger, job_id, epoch, ledger.terminal(job_id, epoch))


def give_up(ledger: Ledger, standing: Standing, by: str) -> Terminal:
    """Settle an epoch whose attempts are used up.

    Which of them are silent is put on record first, where each would say otherwise why it ends: what they
    are counted for cannot change between a look and the terminal record, nor after it.

    Raises
    ------
    JobBusyError
        If the epoch has another standing by then.
    """
    while claims := standing.silent:
        for claim in claims:
            ledger.release(claim, Release.SILENT, f"without a sign for too long, by {by}")
        standing = ledger.look(standing.history.job_id, standing.epoch)
        if standing.kind is not Kind.HOPELESS:
            raise JobBusyError("An attempt that was taken for dead has spoken meanwhile.")
    error = standing.error or ServiceError
    detail = f"Given up after {standing.trace.attempts} attempts."
    terminal = failed(error(detail), ledger, by=by, attempt=standing.trace.attempts)
    return settle(ledger, standing.history.job_id, standing.epoch, terminal)


def erase(ledger: Ledger, job_id: str, *, kind: str, by: str) -> None:
    """Open an epoch that deletes a settled job's pictures, and delete them.

    Raises
    ------
    JobNotSettledError
        While the job is open.
    """
    if kind not in CLOSING:
        raise ValueError(f"{kind!r} does not close a job")
    job = ledger.job(job_id)
    if job is None:
        return
    if job.is_closed:
        # Whoever opened it may have died before the last byte.
        close(ledger, job_id, job.epoch, ended=job.terminal)
        return
    if job.terminal is None:
        raise JobNotSettledError("The job is still open; cancel it first, or wait until it has settled.")
    if job.worked.announced is None:
        finish(ledger, job_id, job.worked.number, job.terminal)
    epoch = job.epoch + 1
    ledger.open(job_id, epoch, {"kind": kind, "by": by, "at": ledger.clock().isoformat()})
    standing = ledger.look(job_id, epoch)
    if standing.kind is not Kind.CLOSING:
        raise JobNotSettledError("The job has just been opened again.")
    close(ledger, job_id, epoch, ended=job.terminal, opened=standing.began)


def close(
    ledger: Ledger, job_id: str, epoch: int, *, ended: Terminal | None = None, opened: datetime | None = None
) -> None:
    """Delete a job's photo and pictures, and close its dead letter; the records stay.

    Whoever has just opened the epoch says when, by the store's clock: its marker is as young.  Whoever knows
    how the epoch before it has ended saves a look.
    """
    listing = ledger.store.list(f"results/{job_id}/")
    for stat in listing.objects:
        ledger.store.delete(stat.name, generation=stat.generation)
    photos = ledger.store.list(records.input_prefix(job_id)).objects
    delete_photos(ledger, photos)
    try:
        promised = ledger.accepted(job_id).photo.name
        if promised not in {stat.name for stat in photos}:
            ledger.store.delete(promised)  # it was uploaded before its job
    except NoSuchObjectError:
        log.error("job.promise_missing", extra={"job_id": job_id})  # noqa: TRY400 - a fact about data, not a fault here
    _close_dead_letter(ledger, job_id, epoch - 1, ended)
    _create(ledger, records.epoch_name(job_id, epoch, "closed.json"), {"at": ledger.clock().isoformat()})
    if opened:
        ledger.rest(opened, listing.now)
    ledger.unmark(job_id, epoch)
    log.info("job.erased", extra={"job_id": job_id, "epoch": epoch})


def _close_dead_letter(ledger: Ledger, job_id: str, epoch: int, ended: Terminal | None) -> None:
    """Write that a failure is nothing to be replayed any more: its photo is gone."""
    try:
        terminal = ended or ledger.terminal(job_id, epoch)
    except (NoSuchObjectError, InternalError, KeyError, TypeError, ValueError):
        return  # a damaged record must not keep a job from being closed
    if dead_letters.is_due(terminal):
        document = {"at": ledger.clock().isoformat()}
        dead_letters.handle(ledger.store, (job_id, epoch), terminal, dead_letters.CLOSED, document)


def delete_photos(ledger: Ledger, photos: Iterable[Stat]) -> None:
    """Delete photos that no job may have any more."""
    for stat in photos:
        ledger.store.delete(stat.name, generation=stat.generation)
        log.info("input.deleted", extra={"input": stat.name})


def _announce(ledger: Ledger, job_id: str, epoch: int) -> None:
    # Nobody is to be told yet: webhooks will take the event over here.
    name = records.epoch_name(job_id, epoch, "announced.json")
    _create(ledger, name, {"at": ledger.clock().isoformat(), "to": None})


def _delete_losers(ledger: Ledger, job_id: str, epoch: int, terminal: Terminal) -> None:
    keep = records.results_prefix(job_id, epoch, terminal.attempt) if terminal.status == "succeeded" else None
    for stat in ledger.store.list(records.results_prefix(job_id, epoch)).objects:
        if keep is None or not stat.name.startswith(keep):
            ledger.store.delete(stat.name, generation=stat.generation)


def _create(ledger: Ledger, name: str, document: dict[str, object]) -> None:
    try:
        records.write_once(ledger.store, name, document)
    except NameTakenError:
        return  # somebody has done this step before us, which is what the step is for


def _log_settled(job_id: str, epoch: int, terminal: Terminal) -> None:
    log.info(
        "job.settled",
        extra={
            "job_id": job_id,
            "epoch": epoch,
            "status": terminal.status,
            "attempt": terminal.attempt,
            "slug": (terminal.error or {}).get("slug"),
            "settled_by": terminal.settled_by,
            "timings_ms": terminal.outcome.get("timings_ms"),
        },
    )
