"""Objects as Cloud Storage keeps them: generations, preconditions, checksums, one write a second a name."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from shared.checksums import crc32c

MOST_A_PAGE = 1000


class Refused(Exception):  # noqa: N818 -- an answer, not a fault of the fake
    """An answer of 4xx, with the reason and the text that Cloud Storage gives."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of one object."""

    bucket: str
    name: str
    data: bytes
    generation: int
    updated: datetime
    content_type: str
    metadata: Mapping[str, str]

    def resource(self) -> dict[str, Any]:
        """The object resource of the JSON API."""
        time = self.updated.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "bucket": self.bucket,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.content_type,
            "size": str(len(self.data)),
            "crc32c": crc32c(self.data),
            "md5Hash": self.md5,
            "metadata": dict(self.metadata),
            "timeCreated": time,
            "updated": time,
        }

    @property
    def md5(self) -> str:
        return base64.b64encode(hashlib.md5(self.data, usedforsecurity=False).digest()).decode()


@dataclass
class Objects:
    """Every object of every bucket, for any number of threads."""

    clock: Callable[[], datetime]
    #: Refuse with 429 what changes a name within a second of its last change, deletes included.
    one_change_a_second: bool = False
    #: Objects on one page of a listing, at most.
    most_a_page: int = field(default_factory=lambda: MOST_A_PAGE)
    #: Buckets that are not there; every other one is.
    missing_buckets: set[str] = field(default_factory=set)
    #: Changes that were asked for without a precondition, as (what, name).
    unguarded: list[tuple[str, str]] = field(default_factory=list)
    #: Every version that was ever written, so that a test can say that there was no second one.
    written: list[Version] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = Lock()
        self._live: dict[tuple[str, str], Version] = {}
        self._changed: dict[tuple[str, str], datetime] = {}
        self._last_generation = 0

    def insert(self, bucket: str, meta: Mapping[str, Any], data: bytes, asked: Mapping[str, str]) -> Version:
        """Write a version, if the preconditions hold and the bytes are those that were meant."""
        name = meta["name"]
        self._require_bucket(bucket)
        with self._lock:
            self._guard("insert", bucket, name, asked)
            if meta.get("crc32c", crc32c(data)) != crc32c(data):
                message = (
                    f'Provided CRC32C "{meta["crc32c"]}" doesn\'t match calculated CRC32C "{crc32c(data)}".'
                )
                raise Refused(400, "invalid", message)
            self._pace(bucket, name)
            version = self._live[bucket, name] = Version(
                bucket=bucket,
                name=name,
                data=data,
                generation=self._next_generation(),
                updated=self.clock(),
                content_type=meta.get("contentType", "application/octet-stream"),
                metadata=meta.get("metadata", {}),
            )
            self.written.append(version)
            return version

    def check(self, bucket: str, name: str, asked: Mapping[str, str]) -> None:
        """Refuse what an insert with these preconditions would be refused for now."""
        self._require_bucket(bucket)
        with self._lock:
            self._guard("insert", bucket, name, asked)

    def find(self, bucket: str, name: str, asked: Mapping[str, str]) -> Version:
        """Return the live version."""
        self._require_bucket(bucket)
        with self._lock:
            version = self._get(bucket, name)
            _require(asked, version.generation)
            return version

    def delete(self, bucket: str, name: str, asked: Mapping[str, str]) -> None:
        """Delete the live version."""
        self._require_bucket(bucket)
        with self._lock:
            self._note("delete", name, asked)
            _require(asked, self._get(bucket, name).generation)
            self._pace(bucket, name)
            del self._live[bucket, name]

    def page(self, bucket: str, prefix: str, token: str, limit: int) -> tuple[list[Version], str | None]:
        """Return some objects in order, and what to ask for the next ones with."""
        self._require_bucket(bucket)
        after = base64.urlsafe_b64decode(token).decode() if token else ""
        with self._lock:
            found = sorted(n for b, n in self._live if b == bucket and n.startswith(prefix) and n > after)
            here = found[: min(limit, self.most_a_page)]
            versions = [self._live[bucket, name] for name in here]
        more = base64.urlsafe_b64encode(here[-1].encode()).decode() if len(found) > len(here) else None
        return versions, more

    def _guard(self, what: str, bucket: str, name: str, asked: Mapping[str, str]) -> None:
        self._note(what, name, asked)
        live = self._live.get((bucket, name))
        _require(asked, live.generation if live else 0)

    def _note(self, what: str, name: str, asked: Mapping[str, str]) -> None:
        if "ifGenerationMatch" not in asked:
            self.unguarded.append((what, name))

    def _get(self, bucket: str, name: str) -> Version:
        if (bucket, name) not in self._live:
            raise Refused(404, "notFound", f"No such object: {bucket}/{name}")
        return self._live[bucket, name]

    def _require_bucket(self, bucket: str) -> None:
        if bucket in self.missing_buckets:
            raise Refused(404, "notFound", "The specified bucket does not exist.")

    def _pace(self, bucket: str, name: str) -> None:
        now = self.clock()
        last = self._changed.get((bucket, name))
        if self.one_change_a_second and last and abs(now - last) < timedelta(seconds=1):
            message = (
                f"The object {bucket}/{name} exceeded the rate limit for object mutation operations "
                "(create, update, and delete). Please reduce your request rate."
            )
            raise Refused(429, "rateLimitExceeded", message)
        self._changed[bucket, name] = now

    def _next_generation(self) -> int:
        micros = (self.clock() - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        self._last_generation = max(micros, self._last_generation + 1)
        return self._last_generation


def _require(asked: Mapping[str, str], generation: int) -> None:
    wanted = asked.get("ifGenerationMatch")
    if wanted is not None and int(wanted) != generation:
        raise Refused(
            412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold."
        )
