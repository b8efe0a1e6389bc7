"""What the services need from the outside world, and nothing about how."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

Clock = Callable[[], datetime]  #: the host's time, UTC-aware; never used to judge another host's records


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Which version of an object an answer is about, with the store's own time of saying so."""

    name: str
    size: int
    generation: int  #: differs for every version that this name ever had
    now: datetime  #: the store's time of this answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat(Version):
    """What the store knows about one object."""

    updated: datetime  #: the store's time of the last write
    crc32c: str | None = None  #: as Cloud Storage shows it; where no store tells it, whoever asks reads
    #: As ``create`` was given them and a page tells them; where no store does, whoever asks reads.
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def age(self) -> timedelta:
        """How long ago the object was written, by the store's own clock."""
        return self.now - self.updated


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """An object's bytes and the version that they are; Cloud Storage does not tell its age here."""

    stat: Version
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The objects under a prefix, ordered by name; complete as of one moment per object."""

    objects: tuple[Stat, ...]
    now: datetime  #: the store's time of this answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the objects under a prefix, ordered by name; all of these come before all of the next page."""

    objects: tuple[Stat, ...]
    more: str | None  #: what to ask for the next page with; none follows without


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTicket:
    """The right to upload one object, once, straight to the store."""

    url: str = field(repr=False)  #: whoever has it may upload
    headers: Mapping[str, str]  #: to be sent as they are; the store refuses the upload otherwise
    max_bytes: int
    expires_at: datetime  #: by this host's clock
    method: str = "PUT"


class ObjectStore(Protocol):
    """Named bytes that are created once, or replaced only by those who read the current version.

    Every method may raise ``StoreUnavailableError`` (``StoreFullError`` where there is no room);
    it then may or may not have happened.  All others are atomic: a reader sees an object whole or
    not at all, and what was answered survives a crash.  Names are ``/``-separated segments.
    """

    def read(self, name: str) -> Blob:
        """Return an object whole; ``NoSuchObjectError`` if there is none."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Return a seekable stream over one version of an object; ``NoSuchObjectError``."""
        ...

    def stat(self, name: str) -> Stat:
        """Return what is known about an object; ``NoSuchObjectError`` if there is none."""
        ...

    def create(
        self,
        name: str,
        data: bytes | Path,
        *,
        content_type: str = "application/json",
        labels: Mapping[str, str] | None = None,
    ) -> Stat:
        """Write an object that must not exist; of any number of callers one wins.

        A ``Path`` is a finished file that nobody writes to any more; it is left in place.

        Raises
        ------
        NameTakenError
            If an object of this name exists; it is unchanged.
        """
        ...

    def replace(self, name: str, data: bytes, *, generation: int) -> Stat:
        """Write a new version of an object if its generation is still the given one.

        Raises
        ------
        GenerationMismatchError
            If it is not, or there is no such object.
        """
        ...

    def list(self, prefix: str) -> Listing:
        """Return every object whose name starts with a prefix; strongly consistent."""
        ...

    def page(self, prefix: str, token: str | None = None) -> Page:
        """Return some of what ``list`` does: the first, or those that follow the page with that token.

        For where there may be too many to hold.  What is there throughout is on one of the pages, once.
        """
        ...

    def delete(self, name: str, *, generation: int | None = None) -> None:
        """Delete an object; one that is gone already is fine.

        Raises
        ------
        GenerationMismatchError
            If a generation is given and the object exists with another.
        """
        ...

    def download_url(self, name: str, *, filename: str, content_type: str, lifetime: timedelta) -> str | None:
        """Return a signed URL for an object, or ``None`` where the API must serve the bytes itself."""
        ...

    def upload_ticket(
        self, name: str, *, content_type: str, max_bytes: int, lifetime: timedelta
    ) -> UploadTicket | None:
        """Return a ticket to create an object with, or ``None`` where uploads must come through the API."""
        ...

    def ping(self) -> None:
        """Return if the store answers; cheap enough for a readiness probe."""
        ...


class Queue(Protocol):
    """Topics whose messages are pushed to us over HTTP, at least once, in no order."""

    def publish(
        self,
        topic: str,
        data: bytes,
        attributes: Mapping[str, str] | None = None,
        *,
        within: timedelta | None = None,
    ) -> str:
        """Hand over a message and return its id; once returned, it will be delivered.

        Raises
        ------
        QueueUnavailableError
            If it was not taken within the given time; it may be delivered all the same.
        """
        ...

    def untried(self, topic: str) -> list[bytes]:
        """Return messages that wait and have never been pushed, as far as the queue can tell; maybe none.

        Raises
        ------
        QueueUnavailableError
            If it does not answer.
        """
        ...

    def ping(self) -> None:
        """Return if the queue answers."""
        ...
