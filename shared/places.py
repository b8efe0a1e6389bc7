"""Where objects and messages are kept: on this machine's disk, in the cloud, or in an emulator of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Google's own names for the addresses of what stands in for its services.
STORAGE_EMULATOR, PUBSUB_EMULATOR = "STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"

_BUCKET = re.compile(r"[a-z0-9][a-z0-9_.-]{1,220}[a-z0-9]")
_HOST = re.compile(r"[\w.-]+|\[[\da-fA-F:]+\]", re.ASCII)
_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of Cloud Storage."""

    name: str
    emulator: str | None = None  #: URL of what stands in for Cloud Storage


@dataclass(frozen=True, slots=True)
class Project:
    """A Google Cloud project, whose Pub/Sub is meant."""

    id: str
    emulator: str | None = None  #: host:port of what stands in for Pub/Sub


def is_in_the_cloud(place: Path | Bucket | Project) -> bool:
    """Whether a place is really in the cloud; an emulator is a part of this machine."""
    return not isinstance(place, Path) and place.emulator is None


def read_store(text: str, emulator: str | None) -> Path | Bucket:
    """Read where objects are kept, given the address of an emulator if there is one.

    Raises
    ------
    ValueError
        Saying what was expected.
    """
    name = text.removeprefix("gs://")
    if name != text and _BUCKET.fullmatch(name):
        return Bucket(name, _named(STORAGE_EMULATOR, read_url, emulator))
    return _path(text, "file", "gs://bucket or file:///absolute/path")


def read_queue(text: str, emulator: str | None) -> Path | Project:
    """Read where messages are kept; as ``read_store``."""
    name = text.removeprefix("pubsub://")
    if name != text and _PROJECT.fullmatch(name):
        return Project(name, _named(PUBSUB_EMULATOR, read_address, emulator))
    return _path(text, "sqlite", "pubsub://project or sqlite:///absolute/path")


def read_project_id(text: str) -> str:
    """Read a project's id; as ``read_store``."""
    if not _PROJECT.fullmatch(text):
        raise ValueError("expected a project's id")
    return text


def read_url(text: str) -> str:
    """Read an address to which paths are added; as ``read_store``."""
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.netloc or url.query or url.fragment:
        raise ValueError("expected an absolute http(s) URL without a query")
    return text.rstrip("/")


def read_address(text: str) -> str:
    """Read a host and port; as ``read_store``."""
    host, _, port = text.rpartition(":")
    if _HOST.fullmatch(host) and port.isdecimal() and 0 < int(port) < 65_536:  # noqa: PLR2004 - 16 bits
        return text
    raise ValueError("expected HOST:PORT")


def _named(name: str, read: Callable[[str], str], text: str | None) -> str | None:
    try:
        return read(text) if text else None
    except ValueError as error:
        raise ValueError(f"{error} in {name}") from error


def _path(text: str, scheme: str, expected: str) -> Path:
    url = urlsplit(text)
    if url.scheme != scheme or url.netloc or not url.path.startswith("/") or url.path == "/":
        raise ValueError(f"expected {expected}")
    return Path(unquote(url.path))
