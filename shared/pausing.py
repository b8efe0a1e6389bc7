"""Whether jobs are pushed to the workers, or held in an incident: one record, there for as long as they are.

Held jobs are accepted, stay queued, and lose nothing; what is at work already goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

from shared import records
from shared.errors import NameTakenError, NoSuchObjectError
from shared.ports import Clock, ObjectStore
from shared.topology import Route, topology

RECORD = "delivery/paused.json"

Push = Mapping[str, str]  #: a subscription's endpoint, and the e-mail and audience of its tokens


class Held(Enum):
    """What whoever makes a topology does about pushes that a pause has detached."""

    AS_FOUND = "as found"  #: leave them detached, and say so
    ALL = "all"  #: detach them
    NONE = "none"  #: attach them


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who has paused delivery, when and why."""

    at: str
    by: str
    reason: str
    pushes: Mapping[str, Push]  #: what was detached, by subscription; nothing where the broker holds

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the record."""
        return cls(
            at=str(document.get("at", "")),
            by=str(document.get("by", "")),
            reason=str(document.get("reason", "")),
            pushes=document.get("pushes") or {},
        )

    def document(self) -> dict[str, Any]:
        """Return the record's members."""
        pushes = {name: dict(push) for name, push in self.pushes.items()}
        return {"at": self.at, "by": self.by, "reason": self.reason, "pushes": pushes}


def held_routes() -> tuple[Route, ...]:
    """Return the routes that a pause holds: jobs on their way to a worker, and nothing else."""
    return tuple(route for route in topology().routes if route.service == "worker")


def read_pause(store: ObjectStore) -> Pause | None:
    """Return the pause that is on, or ``None``; one whose record cannot be read is on all the same."""
    try:
        return Pause.from_document(records.read_record(store, RECORD))
    except NoSuchObjectError:
        return None
    except records.UnreadableRecordError as error:
        return Pause(at="", by="unknown", reason=str(error), pushes={})


def pause(
    store: ObjectStore, clock: Clock, *, by: str, reason: str, pushes: Mapping[str, Push]
) -> tuple[Pause, bool]:
    """Pause delivery; return the pause that is on, and whether it is this one."""
    wanted = Pause(at=clock().isoformat(), by=by, reason=reason, pushes=pushes)
    try:
        records.write_once(store, RECORD, wanted.document())
    except NameTakenError:
        return read_pause(store) or wanted, False
    return wanted, True


def resume(store: ObjectStore) -> Pause | None:
    """Resume delivery; return the pause that is over, or ``None`` if there was none."""
    over = read_pause(store)
    store.delete(RECORD)
    return over
