"""Bytes on their way to and from Cloud Storage, with the CRC32C that is checked at both ends."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import google_crc32c

from shared.checksums import crc32c, encode_crc32c

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Bytes that are to be stored; they can be read again for another try."""

    size: int
    crc32c: str
    open: Callable[[], BinaryIO]

    @classmethod
    def of(cls, data: bytes | Path) -> Self:
        """Measure bytes, or a finished file; a missing file is the caller's error."""
        if isinstance(data, bytes):
            return cls(size=len(data), crc32c=crc32c(data), open=lambda: io.BytesIO(data))
        value = 0
        with data.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK_BYTES):
                value = google_crc32c.extend(value, block)
            return cls(size=file.tell(), crc32c=encode_crc32c(value), open=lambda: data.open("rb"))


class Incoming:
    """A file that is being received, measured as it grows."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = self._value = 0

    def write(self, chunk: bytes) -> int:
        """Take a piece."""
        self.size += len(chunk)
        self._value = google_crc32c.extend(self._value, chunk)
        return self._file.write(chunk)

    @property
    def crc32c(self) -> str:
        """CRC32C of what has come, as Cloud Storage shows it."""
        return encode_crc32c(self._value)
