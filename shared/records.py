"""The records of a job: their names, their members, and how each is written exactly once.

A record is one JSON object that carries a schema version and a token. It is readable one version back
and one forward: members nobody knows are passed over, members that are missing have a default.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from shared.errors import InternalError, NameTakenError, NoSuchObjectError
from shared.ports import ObjectStore, Stat
from shared.recipes import Recipe

VERSION = 1

#: Of an object whose type nobody has told.
UNKNOWN_TYPE = "application/octet-stream"

WARMUPS = "warmups/"  #: prefix of the warm-ups that were asked for
_MARKER = re.compile(r"open/(?P<job_id>job_[0-9A-Za-z]+)\.e(?P<epoch>\d+)")

# --- names --------------------------------------------------------------------------------------


def input_name(upload_id: str) -> str:
    """Name of the photo as uploaded."""
    return f"inputs/{upload_id}"


def input_prefix(job_id: str) -> str:
    """Prefix of the photos that came with requests for one job."""
    return f"inputs/{job_id}."


def marker_name(job_id: str, epoch: int) -> str:
    """Name of the marker that says an epoch still owes something."""
    return f"open/{job_id}.e{epoch}"


def parse_marker(name: str) -> tuple[str, int] | None:
    """Return the job and epoch that a marker stands for, or ``None`` if the name is not a marker's."""
    match = _MARKER.fullmatch(name)
    return (match["job_id"], int(match["epoch"])) if match else None


def job_prefix(job_id: str) -> str:
    """Prefix of every record of a job."""
    return f"jobs/{job_id}/"


def accepted_name(job_id: str) -> str:
    """Name of the promise."""
    return f"jobs/{job_id}/accepted.json"


def epoch_name(job_id: str, epoch: int, rest: str) -> str:
    """Name of a record of one epoch, such as ``terminal.json`` or ``claims/1.beat``."""
    return f"jobs/{job_id}/e{epoch}/{rest}"


def results_prefix(job_id: str, epoch: int, attempt: int | None = None) -> str:
    """Prefix of the bytes that an epoch, or one attempt of it, has written."""
    return f"results/{job_id}/e{epoch}/" + (f"{attempt}/" if attempt is not None else "")


def dead_name(terminal_at: datetime, job_id: str, epoch: int, handled: str = "") -> str:
    """Name of a failure in the operators' index, or of the word that it has been handled."""
    day = f"{terminal_at.astimezone(UTC):%Y-%m-%d}"
    return f"dead/{day}/{job_id}.e{epoch}" + (f".{handled}.json" if handled else ".json")


# --- members ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoPin:
    """The uploaded photo, pinned so that another one cannot take its place."""

    name: str
    generation: int
    bytes: int
    crc32c: str
    # Of a photo that was uploaded directly nothing more is known until the worker has read it.
    sha256: str | None = None
    content_type: str | None = None
    width: int | None = None  #: oriented
    height: int | None = None  #: oriented

    def public(self) -> dict[str, Any]:
        """What a client is told about its photo."""
        return {name: getattr(self, name) for name in ("width", "height", "bytes", "content_type", "sha256")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The promise: what was asked for, by whom, until when it is kept."""

    created_at: datetime
    expires_at: datetime
    recipe: Recipe
    photo: PhotoPin
    request_digest: str
    owner: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    traceparent: str | None = None
    marker: int | None = None  #: generation of epoch 0's marker: to delete it takes no look at it

    def document(self) -> dict[str, Any]:
        """Return the record's members."""
        return {
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "recipe": self.recipe.document(),
            "photo": {name: getattr(self.photo, name) for name in PhotoPin.__dataclass_fields__},
            "request_digest": self.request_digest,
            "owner": self.owner,
            "metadata": dict(self.metadata),
            "traceparent": self.traceparent,
            "marker": self.marker,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the record."""
        return cls(
            created_at=datetime.fromisoformat(document["created_at"]),
            expires_at=datetime.fromisoformat(document["expires_at"]),
            recipe=Recipe.from_document(document["recipe"]),
            photo=PhotoPin(**{name: document["photo"][name] for name in PhotoPin.__dataclass_fields__}),
            request_digest=document["request_digest"],
            owner=document.get("owner"),
            metadata=document.get("metadata") or {},
            traceparent=document.get("traceparent"),
            marker=document.get("marker"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """How an epoch ended."""

    status: str  #: succeeded, failed or cancelled
    at: datetime
    settled_by: str
    attempt: int = 0  #: the claim that won, 0 if none took part
    error: Mapping[str, Any] | None = None
    #: results, matte, preview, subject, timings, ...
    outcome: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the record's members."""
        return {
            "status": self.status,
            "at": self.at.isoformat(),
            "settled_by": self.settled_by,
            "attempt": self.attempt,
            "error": dict(self.error) if self.error else None,
            **self.outcome,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the record."""
        own = {"status", "at", "settled_by", "attempt", "error", "version", "token"}
        return cls(
            status=document["status"],
            at=datetime.fromisoformat(document["at"]),
            settled_by=document.get("settled_by", ""),
            attempt=document.get("attempt", 0),
            error=document.get("error"),
            outcome={k: v for k, v in document.items() if k not in own},
        )


# --- writing and reading ------------------------------------------------------------------------


class UnreadableRecordError(InternalError):
    """A record is damaged, or of a version that this build cannot read."""


def new_token() -> str:
    """Return what tells one hand's record from another's."""
    return secrets.token_hex(8)


def write_once(
    store: ObjectStore,
    name: str,
    document: Mapping[str, Any],
    *,
    token: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Stat:
    """Create a record, and know our own hand when a retried request says it exists already.

    Raises
    ------
    NameTakenError
        If somebody else has created it; theirs stands.
    """
    token = token or new_token()
    data = json.dumps({"version": VERSION, "token": token, **document}, ensure_ascii=False).encode()
    try:
        return store.create(name, data, labels=labels)
    except NameTakenError:
        if not is_ours(store, name, token):
            raise
        return store.stat(name)


def is_ours(store: ObjectStore, name: str, token: str) -> bool:
    """Whether a record exists and was written with a token."""
    try:
        return bool(read_record(store, name).get("token") == token)
    except (NoSuchObjectError, UnreadableRecordError):
        return False


def read_record(store: ObjectStore, name: str) -> dict[str, Any]:
    """Read a record of this version or one beside it.

    Raises
    ------
    NoSuchObjectError
        If there is none.
    UnreadableRecordError
        If it is damaged, or of a version that this build cannot read.
    """
    return parse(name, store.read(name).data)


def parse(name: str, data: bytes) -> dict[str, Any]:
    """Read a record's bytes; ``UnreadableRecordError`` as above."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableRecordError(f"{name} is not JSON") from error
    version = document.get("version") if isinstance(document, dict) else None
    if version not in range(VERSION - 1, VERSION + 2):
        raise UnreadableRecordError(
            f"{name} has version {version!r}; this build reads {VERSION} and its neighbours"
        )
    found: dict[str, Any] = document
    return found
