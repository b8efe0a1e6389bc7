"""Jobs whose records are damaged: which records it is, for those who are to mend them."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from shared import records
from shared.dead_letters import is_due
from shared.errors import InternalError, JobUnreadableError, NoSuchObjectError
from shared.reading import Reader

log = logging.getLogger(__name__)

#: What reading a damaged record may end in.
_DAMAGE = (InternalError, AttributeError, KeyError, TypeError, ValueError)


@contextmanager
def named(reader: Reader, job_id: str) -> Iterator[None]:
    """Name the damaged records over which reading a job fails; what fails without damage is a bug as ever.

    Raises
    ------
    JobUnreadableError
        If a record is damaged.
    """
    try:
        yield
    except _DAMAGE as error:
        damaged = [name for name, read in _records(reader, job_id) if _is_damaged(read)]
        if not damaged:
            raise
        log.exception("job.unreadable", extra={"job_id": job_id, "records": damaged})
        what = f"{', '.join(damaged)} {'is' if len(damaged) == 1 else 'are'} damaged"
        raise JobUnreadableError(
            f"{job_id} cannot be read: {what}. ./cutout job {job_id} tells more."
        ) from error


def _records(reader: Reader, job_id: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Return what has to be read to know where a job stands, and how each is read."""
    yield records.accepted_name(job_id), partial(reader.accepted, job_id)
    for number, trace in sorted(reader.history(job_id).epochs.items()):
        if trace.opened:
            yield records.epoch_name(job_id, number, "opened.json"), partial(_opening, reader, job_id, number)
        if trace.terminal:
            yield records.epoch_name(job_id, number, "terminal.json"), partial(_end, reader, job_id, number)


def _opening(reader: Reader, job_id: str, number: int) -> Mapping[str, object]:
    return records.read_record(reader.store, records.epoch_name(job_id, number, "opened.json"))


def _end(reader: Reader, job_id: str, number: int) -> bool:
    """Read how an epoch ended, and what of that operators go by."""
    return is_due(reader.terminal(job_id, number))


def _is_damaged(read: Callable[[], object]) -> bool:
    try:
        read()
    except NoSuchObjectError:
        return False
    except _DAMAGE:
        return True
    return False
