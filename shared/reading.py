"""Read where a job stands: one listing of its records, and the few that must be opened."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from shared import records
from shared.errors import NoSuchObjectError, PermanentError
from shared.history import EpochTrace, History, Release, give_up
from shared.jobs import CLOSING, Claim, Job, Kind, Standing
from shared.pace import Pace
from shared.ports import ObjectStore
from shared.records import Accepted, Terminal
from shared.side_by_side import Beside, both, here

log = logging.getLogger(__name__)

_SILENT = Release.SILENT.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads jobs, and changes nothing."""

    store: ObjectStore
    pace: Pace
    beside: Beside = here  #: how calls that do not depend on each other are made

    def history(self, job_id: str) -> History:
        """Read which records a job has."""
        return History.from_listing(job_id, self.store.list(records.job_prefix(job_id)))

    def look(self, job_id: str, epoch: int) -> Standing:
        """Say where an epoch stands and what may be done about it."""
        history = self.history(job_id)
        trace = history.epoch(epoch)
        if trace is None:
            return Standing(kind=Kind.NOTHING, history=history, epoch=epoch)
        reasons = {} if trace.terminal else self._reasons(job_id, trace)
        kind, error = self._judge(history, trace, reasons)
        silent = [c for c in trace.claims.values() if reasons.get(c.number, _SILENT) == _SILENT]
        is_at_work = trace.terminal is None and any(c.gave_sign(history.now, self.pace) for c in silent)
        if kind is Kind.HOPELESS and is_at_work:
            kind, error = Kind.BUSY, None  # nobody fails it over the head of one that has come back
        return Standing(
            kind=kind, history=history, epoch=epoch, error=error, reasons=reasons, is_at_work=is_at_work
        )

    def _judge(
        self, history: History, trace: EpochTrace, reasons: Mapping[int, str]
    ) -> tuple[Kind, type[PermanentError] | None]:
        if trace.terminal:
            return Kind.SETTLED, None
        if trace.number > 0 and self._is_closing(history.job_id, trace.number):
            return Kind.CLOSING, None
        last = trace.last_claim
        if last and last.is_live(history.now, self.pace):
            return Kind.BUSY, None
        error = give_up(trace.claims.values(), reasons, history.now, self.pace)
        return (Kind.HOPELESS, error) if error else (Kind.FREE, None)

    def job(self, job_id: str) -> Job | None:
        """Read a job as its client sees it, or ``None`` if there is none."""
        history, accepted = self.glance(job_id)
        return self.told(history, accepted) if history.accepted and accepted else None

    def glance(self, job_id: str) -> tuple[History, Accepted | None]:
        """Read which records a job has, and beside that what was promised, if anything was."""
        return both(self.beside, lambda: self.history(job_id), lambda: self.promise(job_id))

    def told(self, history: History, accepted: Accepted | None = None) -> Job:
        """Read what else a client is told about a job whose records are known."""
        job_id, newest = history.job_id, history.newest
        closed = newest.number > 0 and self._is_closing(job_id, newest.number)
        worked = history.before(newest) if closed else newest
        promise, terminal = both(
            self.beside,
            lambda: accepted or self.accepted(job_id),
            lambda: self.terminal(job_id, worked.number) if worked.terminal else None,
        )
        return Job(
            id=job_id, history=history, accepted=promise, worked=worked, terminal=terminal, is_closed=closed
        )

    def promise(self, job_id: str) -> Accepted | None:
        """Read the promise, or ``None`` if there is none."""
        try:
            return self.accepted(job_id)
        except NoSuchObjectError:
            return None

    def accepted(self, job_id: str) -> Accepted:
        """Read the promise; ``NoSuchObjectError`` if there is none."""
        return Accepted.from_document(records.read_record(self.store, records.accepted_name(job_id)))

    def terminal(self, job_id: str, epoch: int) -> Terminal:
        """Read how an epoch ended; ``NoSuchObjectError`` if it has not."""
        return Terminal.from_document(
            records.read_record(self.store, records.epoch_name(job_id, epoch, "terminal.json"))
        )

    def ends(self, history: History) -> dict[int, Terminal]:
        """Read how each epoch of a job has ended that has, oldest first."""
        ended = [number for number, trace in sorted(history.epochs.items()) if trace.terminal]
        return {number: self.terminal(history.job_id, number) for number in ended}

    def _is_closing(self, job_id: str, epoch: int) -> bool:
        opened = records.read_record(self.store, records.epoch_name(job_id, epoch, "opened.json"))
        return opened.get("kind") in CLOSING

    def _reasons(self, job_id: str, trace: EpochTrace) -> Mapping[int, str]:
        released = [claim.number for claim in trace.claims.values() if claim.released]
        return {k: self._reason(Claim(job_id=job_id, epoch=trace.number, number=k)) for k in released}

    def _reason(self, claim: Claim) -> str:
        try:
            return str(records.read_record(self.store, claim.name("released.json")).get("reason"))
        except records.UnreadableRecordError:
            # One damaged record must not keep the job open for ever; what it said does not count.
            log.exception("claim.release_unreadable", extra={"job_id": claim.job_id, "claim": claim.number})
            return "unreadable"
