"""The requests that a bucket is sent, one a method, each with a timeout and none of them retried.

An answer is checked before it is believed: it must say which version it is about, and when; bytes must
be those that their CRC32C was made of.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from google.auth.credentials import Signing
from google.cloud import storage

from shared.gcs_bytes import Incoming, Outgoing
from shared.gcs_errors import FleetingError, translated
from shared.gcs_line import Line
from shared.gcs_patience import Budget
from shared.ports import Stat, Version

#: Returns what signs within a timeout.
NewSigning = Callable[[tuple[float, float]], Signing]

_TOKEN = "cutout-token"  # noqa: S105 -- the name of a member, not a secret
#: Of a resumable upload: as much memory as a single request of 8 MiB takes, which the client copies.
_CHUNK_BYTES = 16 << 20
_LISTED = "items(name,generation,size,updated{more}),nextPageToken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Some of the objects under a prefix, as (name, size, generation, updated, labels)."""

    objects: list[tuple[str, int, int, datetime, dict[str, str]]]
    more: str | None  #: what to ask for the next ones with
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A version to be written in place of a generation, 0 being none."""

    out: Outgoing
    content_type: str
    generation: int
    token: str  #: tells this change from everybody else's
    labels: Mapping[str, str]


class BucketCalls:
    """What can be asked of one bucket's objects; the bucket itself is never asked for."""

    def __init__(self, client: storage.Client, bucket: str, line: Line) -> None:
        self._client, self._bucket, self._line = client, client.bucket(bucket), line

    def upload(self, name: str, change: Change, budget: Budget) -> Stat:
        """Write a version; up to 8 MiB in a single request."""
        blob, out = self._bucket.blob(name, chunk_size=_CHUNK_BYTES), change.out
        # The store compares before it keeps anything; the client would compare afterwards, and delete.
        blob.crc32c, blob.metadata = out.crc32c, {**change.labels, _TOKEN: change.token}
        with out.open() as stream, translated():
            blob.upload_from_file(
                stream,
                size=out.size,
                content_type=change.content_type,
                if_generation_match=change.generation,
                checksum=None,
                timeout=self._line.within(budget),
                retry=None,
            )
            if (blob.size, blob.crc32c) != (out.size, out.crc32c):
                raise FleetingError("Cloud Storage confirms other bytes than were sent.")
            return self._stat(blob)

    def download(self, name: str, file: BinaryIO, budget: Budget) -> Version:
        """Write one version to a file, and return which."""
        into = Incoming(file)
        with translated():
            self._bucket.blob(name).download_to_file(
                into, checksum=None, timeout=self._line.within(budget), retry=None
            )
            if into.crc32c != self._line.crc32c():
                raise FleetingError("The object's bytes were damaged on their way.")
            return Version(
                name=name, size=into.size, generation=self._line.generation(), now=self._line.now()
            )

    def stat(self, name: str, budget: Budget) -> tuple[Stat, str | None]:
        """Return what is known about an object, and the token that its version was written with."""
        blob = self._bucket.blob(name)
        with translated():
            blob.reload(projection="noAcl", timeout=self._line.within(budget), retry=None)
            return self._stat(blob), (blob.metadata or {}).get(_TOKEN)

    def delete(self, name: str, *, generation: int, budget: Budget) -> None:
        """Delete an object at a generation."""
        with translated():
            self._bucket.delete_blob(
                name, if_generation_match=generation, timeout=self._line.within(budget), retry=None
            )

    def page(self, prefix: str, token: str | None, budget: Budget, *, with_labels: bool) -> Listed:
        """Return the objects under a prefix that follow a page, the first 1000 of them."""
        with translated():
            listed = self._client.list_blobs(
                self._bucket,
                prefix=prefix,
                page_token=token,
                fields=_LISTED.format(more=",metadata" if with_labels else ""),
                timeout=self._line.within(budget),
                retry=None,
            )
            blobs = list(next(listed.pages))
            objects = [(blob.name, *_known(blob), _labels(blob)) for blob in blobs]
            return Listed(objects=objects, more=listed.next_page_token, now=self._line.now())

    def signed_url(self, name: str, signing: NewSigning, budget: Budget, **what: Any) -> str:
        """Return a URL for one object that lets whoever has it do one thing."""
        with translated():
            by = signing(self._line.within(budget))
            url: str = self._bucket.blob(name).generate_signed_url(version="v4", credentials=by, **what)
            return url

    def _stat(self, blob: storage.Blob) -> Stat:
        size, generation, updated = _known(blob)
        now = max(self._line.now(), updated)
        return Stat(
            name=blob.name, size=size, generation=generation, updated=updated, now=now, crc32c=blob.crc32c
        )


def _known(blob: Any) -> tuple[int, int, datetime]:
    if None in (blob.size, blob.generation, blob.updated):
        raise FleetingError("Cloud Storage's answer does not say which version it is about.")
    return blob.size, blob.generation, blob.updated


def _labels(blob: Any) -> dict[str, str]:
    return {name: value for name, value in (blob.metadata or {}).items() if name != _TOKEN}
