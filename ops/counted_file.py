"""A file that tells how much of it has been read, so that an upload can show its progress."""

import io
from collections.abc import Callable
from pathlib import Path


class CountedFile(io.FileIO):
    """A file that tells how much of it has been read."""

    def __init__(self, path: Path, told: Callable[[int], None]) -> None:
        super().__init__(path)
        self._told = told

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, and tell where that has led to."""
        data = super().read(-1 if size is None else size) or b""
        self._told(self.tell())
        return data
