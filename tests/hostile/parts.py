"""What hostile files are made from: a sound photo of each kind, and pieces of the formats."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pillow_heif
from PIL import Image

from tests.pictures import photo, saved

#: Of a file that is refused by its header, or whose pixels cannot be decoded.
UNREADABLE, CORRUPT, DECODED = "image-unreadable", "image-corrupt", "decoded"
SIZES = frozenset({"too-many-pixels", "side-too-long", "image-too-small"})
DAMAGED = frozenset({UNREADABLE, CORRUPT})
#: Damage may also go unseen, or turn one size or kind into another.
ANY = DAMAGED | SIZES | {DECODED, "unsupported-image"}

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Hostile:
    """A file, and what may be said of it."""

    name: str
    make: Callable[[], bytes]
    verdicts: frozenset[str]


def one(name: str, make: Callable[[], bytes] | bytes, *verdicts: str) -> Hostile:
    made = make if callable(make) else lambda: make
    return Hostile(name, made, frozenset(verdicts))


@cache
def victim(kind: str) -> bytes:
    """Return a sound photo of 240 x 160."""
    pillow_heif.register_heif_opener()
    with Image.open(io.BytesIO(photo("cat"))) as cat:
        small = cat.resize((240, 160))
    options = {"progressive": True} if kind == "progressive" else {}
    return saved(small, "JPEG" if kind == "progressive" else kind, **options)


VICTIMS = ("JPEG", "progressive", "PNG", "WEBP", "HEIF")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width: int, height: int, pixels: bytes, *before: bytes, **form: int) -> bytes:
    """Return a PNG of deflated rows; a form has bits, colour and interlace."""
    bits, colour, interlace = form.get("bits", 8), form.get("colour", 2), form.get("interlace", 0)
    size = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    chunks = (chunk(b"IHDR", size), *before, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return PNG_SIGNATURE + b"".join(chunks)


def flat(kind: str, width: int, height: int, mode: str = "RGB", **options) -> bytes:
    pillow_heif.register_heif_opener()
    return saved(Image.new(mode, (width, height), 9), kind, **options)


def flat_png(width: int, height: int, **options) -> bytes:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[options.get("colour", 2)]
    rows = (1 + width * channels * options.get("bits", 8) // 8) * height
    spare = 8 * height if options.get("interlace") else 0  # each pass has a filter's number in each row
    return png_of(width, height, deflated_zeros(rows + spare), **options)


def deflated_zeros(count: int) -> bytes:
    """Deflate so many zeros without ever holding them: a megabyte once, said as often as there are any."""
    deflate = zlib.compressobj(1, wbits=-15)
    megabyte = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    rest = deflate.compress(bytes(count & (1 << 20) - 1)) + deflate.flush()
    adler = struct.pack(">HH", count % 65_521, 1)  # of zeros
    return b"\x78\x01" + megabyte * (count >> 20) + rest + adler


def riff(*chunks: tuple[bytes, bytes], size: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(k + struct.pack("<I", len(b)) + b + bytes(len(b) % 2) for k, b in chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def vp8() -> tuple[bytes, bytes]:
    return b"VP8 ", victim("WEBP")[20:]


def segment(marker: int, body: bytes, size: int | None = None) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2 if size is None else size) + body


def inserted(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at:]


def in_jpeg(*segments: bytes) -> bytes:
    return inserted(victim("JPEG"), 2, b"".join(segments))


def replaced(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def exif_loop() -> bytes:
    """Return a directory whose successor and sub-directories are itself."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, 8) for tag in (0x014A, 0x8769, 0x8825, 0xA005))
    return b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 4) + entries + struct.pack("<I", 8)


def noise(count: int) -> bytes:
    return random.Random(count).randbytes(count)


def victim_rows() -> bytes:
    return zlib.compress(bytes((1 + 64 * 3) * 48))
