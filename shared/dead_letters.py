"""Dead letters: failures that are ours are entered in the operators' index, with what was done about each."""

from collections.abc import Mapping
from typing import Any

from shared import records
from shared.errors import PHOTO_FAULTS, InternalError, NameTakenError, NoSuchObjectError
from shared.jobs import Claim, Job
from shared.ports import ObjectStore
from shared.reading import Reader
from shared.records import Terminal

OPEN, REPLAYED, RESOLVED, CLOSED = "open", "replayed", "resolved", "closed"

#: What operators look for; of a thousand entries one call tells it, where the store tells labels at all.
SOUGHT = ("slug", "tenant", "engine")


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
    labels = {name: str(document[name] or "") for name in SOUGHT}
    _create(reader.store, records.dead_name(terminal.at, job_id, epoch), document, labels)


def handle(
    store: ObjectStore, key: tuple[str, int], terminal: Terminal, how: str, document: Mapping[str, Any]
) -> bool:
    """Write that a failure has been replayed or resolved, or its job closed; return whether it was us."""
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


def _create(
    store: ObjectStore, name: str, document: Mapping[str, Any], labels: Mapping[str, str] | None = None
) -> bool:
    try:
        records.write_once(store, name, document, labels=labels)
    except NameTakenError:
        return False
    return True
