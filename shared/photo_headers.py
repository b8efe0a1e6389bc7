"""Reads what a photo's bytes say about themselves, byte by byte where Pillow would allocate or decode.

No pixel is decoded and no canvas allocated, whatever the header claims: Pillow's WebP reader allocates the
whole canvas when it opens a file, and its PNG reader decodes pixels to find an EXIF block that follows them.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_ORIENTATION_TAG = 0x0112
#: How a TIFF value of one number is packed, by its type.
_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I"}
_ORIENTATIONS = range(1, 9)

_PNG_SIGNATURE_BYTES = 8
#: More parts than any camera or editor writes; a file of empty ones would keep a reader busy.
_MAX_CHUNKS, _MAX_STEPS = 20_000, 10_000

_MARKER, _FILL = 0xFF, 0xFF
_PIXELS_OR_END = frozenset({0xDA, 0xD9})
_WITHOUT_SIZE = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})

_VP8X_HAS_EXIF = 0x08
_RIFF_HEADER_BYTES = 12
_VP8_START_CODE = b"\x9d\x01\x2a"
_VP8L_SIGNATURE = 0x2F


class HeaderError(ValueError):
    """The header contradicts its own format."""


def orientation_of(exif: bytes | None) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or the block is damaged."""
    if not exif:
        return 1
    try:
        value = _orientation_in_tiff(exif.removeprefix(b"Exif\0\0"))
    except struct.error:
        return 1
    return value if value in _ORIENTATIONS else 1


def _orientation_in_tiff(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", tiff, entry)
        if tag == _ORIENTATION_TAG and kind in _TIFF_NUMBERS:
            return int(struct.unpack_from(order + _TIFF_NUMBERS[kind], tiff, entry + 8)[0])
    return 1


def require_sane_jpeg(file: BinaryIO) -> None:
    """Make sure that a JPEG comes to its pixels soon; Pillow, asked to open it, would go on byte by byte.

    Raises
    ------
    HeaderError
        If it has more segments and stray bytes in front of them than any photo.
    """
    file.seek(2)
    for _ in range(_MAX_STEPS):
        head = file.read(4)
        if len(head) < len(b"\xff\xe0\0\2") or (head[0] == _MARKER and head[1] in _PIXELS_OR_END):
            return
        if head[0] != _MARKER or head[1] == _FILL:
            file.seek(-3, 1)
        elif head[1] in _WITHOUT_SIZE:
            file.seek(-2, 1)
        else:
            file.seek(max(0, int.from_bytes(head[2:], "big") - 2), 1)
    raise HeaderError(f"no pixels within {_MAX_STEPS} segments and stray bytes")


def png_exif(file: BinaryIO) -> bytes | None:
    """Return the eXIf block of a PNG, wherever it stands, without touching the pixels.

    Raises
    ------
    HeaderError
        If there are more chunks than in any photo, or several profiles: Pillow would unpack each of them.
    """
    file.seek(_PNG_SIGNATURE_BYTES)
    exif, profiles = None, 0
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < len(b"sizeTYPE"):
            return exif
        size, kind = struct.unpack(">I4s", head)
        profiles += kind == b"iCCP"
        if profiles > 1:
            raise HeaderError("more than one profile")
        at = file.tell()
        if kind == b"eXIf" and exif is None:
            exif = file.read(min(size, 1 << 16))
        file.seek(at + size + 4)
    raise HeaderError(f"more than {_MAX_CHUNKS} chunks")


def webp_header(file: BinaryIO) -> tuple[int, int, bytes | None]:
    """Return width and height in pixels, and the EXIF block, of a WebP.

    Raises
    ------
    HeaderError
        If the first chunk is not one that a WebP may begin with, or is damaged.
    """
    chunks = _riff_chunks(file)
    kind, size = next(chunks, (b"", 0))
    head = file.read(min(size, 10))
    try:
        width, height = _WEBP_SIZES[kind](head)
    except (KeyError, struct.error) as error:
        raise HeaderError(f"first chunk is {kind!r} of {size} bytes") from error
    if kind != b"VP8X" or not head[0] & _VP8X_HAS_EXIF:
        return width, height, None
    exif = (file.read(min(size, 1 << 16)) for kind, size in chunks if kind == b"EXIF")
    return width, height, next(exif, None)


def _riff_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield each chunk's kind and size, with the file standing at its content."""
    at = _RIFF_HEADER_BYTES
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < len(b"TYPEsize"):
            return
        kind, size = struct.unpack("<4sI", head)
        yield kind, size
        at += 8 + size + size % 2


def _lossy_size(head: bytes) -> tuple[int, int]:
    code, width, height = struct.unpack_from("<3x3sHH", head)
    if code != _VP8_START_CODE:
        raise HeaderError("no VP8 start code")
    return width & 0x3FFF, height & 0x3FFF


def _lossless_size(head: bytes) -> tuple[int, int]:
    signature, bits = struct.unpack_from("<BI", head)
    if signature != _VP8L_SIGNATURE:
        raise HeaderError("no VP8L signature")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _extended_size(head: bytes) -> tuple[int, int]:
    low_width, high_width, low_height, high_height = struct.unpack_from("<4xHBHB", head)
    return (low_width | high_width << 16) + 1, (low_height | high_height << 16) + 1


_WEBP_SIZES = {b"VP8 ": _lossy_size, b"VP8L": _lossless_size, b"VP8X": _extended_size}
