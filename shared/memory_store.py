"""The object store of tests, in memory; its time is the clock it is given.

It keeps every promise of the port that can be kept without a disk, and refuses what the others refuse.
"""

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from shared.behind_the_api import BehindTheApi
from shared.errors import GenerationMismatchError, NameTakenError, NoSuchObjectError
from shared.object_names import check_name, check_prefix, clash, folders_of
from shared.ports import Blob, Clock, Listing, Page, Stat

_PAGE = 1000  # as Cloud Storage


@dataclass(frozen=True, slots=True)
class _Version:
    data: bytes
    generation: int
    updated: datetime

    def stat(self, name: str, now: datetime) -> Stat:
        return Stat(
            name=name,
            size=len(self.data),
            generation=self.generation,
            updated=self.updated,
            now=max(now, self.updated),
        )


class MemoryStore(BehindTheApi):
    """An ``ObjectStore`` in a dictionary, for any number of threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._versions: dict[str, _Version] = {}
        self._folders: Counter[str] = Counter()
        self._generations = count(1)

    def read(self, name: str) -> Blob:
        """Return an object whole; ``NoSuchObjectError`` if there is none."""
        version = self._find(name)
        return Blob(stat=version.stat(name, self._clock()), data=version.data)

    def open(self, name: str) -> BinaryIO:
        """Return a seekable stream over one version of an object; ``NoSuchObjectError``."""
        return io.BytesIO(self._find(name).data)

    def stat(self, name: str) -> Stat:
        """Return what is known about an object; ``NoSuchObjectError`` if there is none."""
        return self._find(name).stat(name, self._clock())

    def create(
        self,
        name: str,
        data: bytes | Path,
        *,
        content_type: str = "application/json",  # noqa: ARG002 -- nobody is served from here directly
        labels: Mapping[str, str] | None = None,  # noqa: ARG002 -- whoever asks reads
    ) -> Stat:
        """Write an object that must not exist; ``NameTakenError`` if it does."""
        check_name(name)
        content = data.read_bytes() if isinstance(data, Path) else bytes(data)
        folders = folders_of(name)
        with self._lock:
            if name in self._versions:
                raise NameTakenError(f"{name!r} exists already.")
            if self._folders[f"{name}/"] or any(f[:-1] in self._versions for f in folders):
                raise clash(name)
            self._folders.update(folders)
            return self._write(name, content)

    def replace(self, name: str, data: bytes, *, generation: int) -> Stat:
        """Write a new version of an object if its generation is still the given one."""
        check_name(name)
        with self._lock:
            version = self._versions.get(name)
            if version is None or version.generation != generation:
                raise GenerationMismatchError(f"{name!r} is not at generation {generation}.")
            return self._write(name, bytes(data))

    def list(self, prefix: str) -> Listing:
        """Return every object whose name starts with a prefix, ordered by name."""
        check_prefix(prefix)
        with self._lock:
            found = sorted(item for item in self._versions.items() if item[0].startswith(prefix))
        now = max([self._clock(), *(version.updated for _, version in found)])
        return Listing(objects=tuple(version.stat(name, now) for name, version in found), now=now)

    def page(self, prefix: str, token: str | None = None) -> Page:
        """Return some of what ``list`` does: the first, or those that follow the page with that token."""
        found = [stat for stat in self.list(prefix).objects if token is None or stat.name > token]
        more = found[_PAGE - 1].name if len(found) > _PAGE else None
        return Page(objects=tuple(found[:_PAGE]), more=more)

    def delete(self, name: str, *, generation: int | None = None) -> None:
        """Delete an object; ``GenerationMismatchError`` if it exists with another generation."""
        check_name(name)
        with self._lock:
            version = self._versions.get(name)
            if version is None:
                return
            if generation not in (None, version.generation):
                raise GenerationMismatchError(f"{name!r} is not at generation {generation}.")
            del self._versions[name]
            self._folders.subtract(folders_of(name))

    def ping(self) -> None:
        """Return: memory answers."""

    def _find(self, name: str) -> _Version:
        check_name(name)
        with self._lock:
            if name not in self._versions:
                raise NoSuchObjectError(f"There is no object {name!r}.")
            return self._versions[name]

    def _write(self, name: str, data: bytes) -> Stat:
        now = self._clock()
        version = self._versions[name] = _Version(data, next(self._generations), now)
        return version.stat(name, now)
