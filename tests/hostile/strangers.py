"""Files that are something else, or a photo and something else at once."""

import struct
from collections.abc import Iterator

from PIL import Image

from tests.hostile.parts import (
    DECODED,
    PNG_SIGNATURE,
    UNREADABLE,
    VICTIMS,
    Hostile,
    chunk,
    in_jpeg,
    noise,
    one,
    png_of,
    segment,
    victim,
    victim_rows,
)
from tests.pictures import saved

_ARCHIVE = b"PK\x03\x04" + bytes(26) + b"evil.php" + b"<?php system($_GET[0]); ?>"
_PAGE = b"<html><script>alert(1)</script></html>"


def polyglots() -> Iterator[Hostile]:
    """Photos that are something else too: taken, and their pixels alone go on."""
    for kind in VICTIMS:
        for name, more in (("an archive", _ARCHIVE), ("a page", _PAGE), ("a PNG", victim("PNG"))):
            yield one(f"{kind} and {name}", lambda k=kind, m=more: victim(k) + m, DECODED)
    yield one("JPEG with a page as comment", in_jpeg(segment(0xFE, _PAGE)), DECODED)
    yield one("JPEG with an archive as comment", in_jpeg(segment(0xFE, _ARCHIVE)), DECODED)
    yield one(
        "PNG with a page as text", png_of(64, 48, victim_rows(), chunk(b"tEXt", b"a\0" + _PAGE)), DECODED
    )
    for before in (b"%PDF-1.7\n", b"GIF89a", b"\n", _PAGE, b"BM"):
        yield one(f"{before[:8]!r} before a JPEG", before + victim("JPEG"), "unsupported-image")


def strangers() -> Iterator[Hostile]:
    """Kinds that are not taken, whatever they are called."""
    colour = Image.new("RGB", (64, 48), (9, 99, 199))
    for kind in ("GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PDF", "EPS", "SGI", "JPEG2000", "AVIF", "DDS"):
        yield one(f"a {kind}", lambda k=kind: saved(colour, k), "unsupported-image")
    for name, data in {
        "nothing": b"",
        "one byte": b"\xff",
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "noise": noise(5000),
        "a page": _PAGE,
        "a drawing": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(id) system\n",
        "a Photoshop file": b"8BPS\0\1" + bytes(500),
        "an archive": _ARCHIVE,
        "a program": b"\x7fELF\2\1\1" + bytes(500),
        "gzip": b"\x1f\x8b\x08" + bytes(500),
        "a film": struct.pack(">I4s4sI", 24, b"ftyp", b"isom", 512) + b"isommp41" + bytes(500),
        "a sound": b"RIFF\x24\0\0\0WAVEfmt " + bytes(500),
        "a push of ImageMagick": b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://x/|id)'\n",
        "a JPEG's first two bytes": b"\xff\xd8",
    }.items():
        yield one(name, data, "image-empty" if not data else "unsupported-image")
    yield one("a start of a JPEG", b"\xff\xd8\xff", UNREADABLE)
    yield one("a start of a PNG", PNG_SIGNATURE, UNREADABLE)
