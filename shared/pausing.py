"""Whether jobs are pushed to the workers, or held in an incident: one record, there for as long as they are.

Held jobs are accepted, stay queued, and lose nothing; what is at work already goes on.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

from shared import records
from shared.errors import GenerationMismatchError, NameTakenError, NoSuchObjectError, PushesDetachedError
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
    #: What was detached or is about to be, by subscription; nothing where the broker holds.
    pushes: Mapping[str, Push]

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
    found = _read(store)
    return Pause.from_document(found[0]) if found else None


def pause(
    store: ObjectStore, clock: Clock, *, by: str, reason: str, pushes: Mapping[str, Push]
) -> tuple[Pause, bool]:
    """Pause delivery; return the pause that is on, and whether it is this one.

    A pause that is on already stays, with these pushes on its record too: they push now, and are about to
    be detached.
    """
    wanted = Pause(at=clock().isoformat(), by=by, reason=reason, pushes=pushes)
    while True:
        try:
            records.write_once(store, RECORD, wanted.document())
        except NameTakenError:
            if held := _add(store, pushes):
                return held, False
        except NoSuchObjectError:
            return wanted, True  # it was written, its answer was lost, and it is over already
        else:
            return wanted, True


def resume(store: ObjectStore, attached: Collection[str] = ()) -> Pause | None:
    """Resume delivery; return the pause that is over, or ``None`` if there was none.

    Raises
    ------
    PushesDetachedError
        If a push is on record that is not among those said to be attached again: nothing else knows it.
    """
    while found := _read(store):
        over = Pause.from_document(found[0])
        if left := sorted(over.pushes.keys() - set(attached)):
            raise PushesDetachedError(
                f"{', '.join(left)}: detached by ./cutout pause, and to be attached again first. "
                "Run ./cutout resume --project PROJECT, which does both."
            )
        try:
            store.delete(RECORD, generation=found[1])
        except GenerationMismatchError:
            continue
        return over
    return None


def _read(store: ObjectStore) -> tuple[dict[str, Any], int] | None:
    """Return the record's members and its generation; of a damaged one, members that say so."""
    try:
        blob = store.read(RECORD)
    except NoSuchObjectError:
        return None
    try:
        return records.parse(RECORD, blob.data), blob.stat.generation
    except records.UnreadableRecordError as error:
        damaged = {"version": records.VERSION, "at": "", "by": "unknown", "reason": str(error)}
        return damaged, blob.stat.generation


def _add(store: ObjectStore, pushes: Mapping[str, Push]) -> Pause | None:
    """Put pushes on the record that is there; ``None`` if it has changed or gone meanwhile."""
    found = _read(store)
    if found is None:
        return None
    document, generation = found
    on_record = document.get("pushes") or {}
    if all(on_record.get(name) == push for name, push in pushes.items()):
        return Pause.from_document(document)
    document |= {"pushes": {**on_record, **pushes}}
    try:
        store.replace(RECORD, json.dumps(document, ensure_ascii=False).encode(), generation=generation)
    except GenerationMismatchError:
        return None
    return Pause.from_document(document)
