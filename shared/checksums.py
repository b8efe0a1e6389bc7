"""CRC32C as Cloud Storage writes it, for pinning what was accepted."""

import base64

import google_crc32c


def crc32c(data: bytes) -> str:
    """Return the base64 of the big-endian CRC32C of some bytes."""
    return encode_crc32c(google_crc32c.value(data))


def encode_crc32c(value: int) -> str:
    """Return a CRC32C that was computed piece by piece in the same shape."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()
