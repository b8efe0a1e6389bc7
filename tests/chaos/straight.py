"""What is in the fake bucket, read without asking anybody: what a service would see if nothing went wrong."""

import io
from typing import BinaryIO

from shared.errors import NoSuchObjectError
from shared.ports import Blob, Listing, Page, Stat
from tests.gcs_fake_objects import Objects, Version

BUCKET = "photos"


class Straight:
    """As much of an ``ObjectStore`` as reading takes."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def list(self, prefix: str) -> Listing:
        live = self._objects._live.items()
        found = sorted((name, version) for (_, name), version in live if name.startswith(prefix))
        return Listing(objects=tuple(self._stat(version) for _, version in found), now=self._objects.clock())

    def page(self, prefix: str, token: str | None = None) -> Page:
        assert token is None, "there is only one"
        return Page(objects=self.list(prefix).objects, more=None)

    def stat(self, name: str) -> Stat:
        return self._stat(self._find(name))

    def read(self, name: str) -> Blob:
        version = self._find(name)
        return Blob(stat=self._stat(version), data=version.data)

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self._find(name).data)

    def ping(self) -> None:
        """It is always there."""

    def download_url(self, name: str, **_: object) -> None:
        """Return nothing: who asks reads."""

    def _find(self, name: str) -> Version:
        try:
            return self._objects._live[BUCKET, name]
        except KeyError as error:
            raise NoSuchObjectError(name) from error

    def _stat(self, version: Version) -> Stat:
        return Stat(
            name=version.name,
            size=len(version.data),
            generation=version.generation,
            now=self._objects.clock(),
            updated=version.updated,
        )
