"""CRC32C as Cloud Storage writes it, for pinning what was accepted."""

import base64
from typing import BinaryIO

import google_crc32c

_BLOCK_BYTES = 1 << 20


def crc32c(data: bytes) -> str:
    """Return the base64 of the big-endian CRC32C of some bytes."""
    return encode_crc32c(google_crc32c.value(data))


def crc32c_of_file(file: BinaryIO) -> str:
    """Return the same of what is left of a file, which is never whole in memory."""
    value = 0
    while block := file.read(_BLOCK_BYTES):
        value = google_crc32c.extend(value, block)
    return encode_crc32c(value)


def encode_crc32c(value: int) -> str:
    """Return a CRC32C that was computed piece by piece in the same shape."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()
