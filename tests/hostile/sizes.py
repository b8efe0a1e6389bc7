"""Sizes that are nothing, absurd or a lie, and small files that become large or keep a decoder busy."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.hostile.parts import (
    CORRUPT,
    DAMAGED,
    DECODED,
    SIZES,
    UNREADABLE,
    Hostile,
    canvas,
    chunk,
    deflated_zeros,
    flat,
    flat_png,
    one,
    png_of,
    replaced,
    riff,
    victim,
    victim_rows,
    vp8,
)
from tests.pictures import saved

_HEIC = Path(__file__).with_name("heic-60-megapixels.heic")
_SIDES = ((0, 0), (0, 64), (64, 0), (1, 65_535), (65_535, 1), (65_535, 65_535), (12_001, 64), (64, 12_001))


def sizes() -> Iterator[Hostile]:
    """Sizes that are nothing, absurd, or a lie."""
    for width, height in (*_SIDES, (31, 64), (10_000, 6001), (2**31 - 1, 2**31 - 1), (2**31, 64)):
        refused = SIZES if min(width, height) else SIZES | {UNREADABLE}
        yield one(
            f"PNG of {width} x {height}", png_of(width, height, zlib.compress(b"")), *refused, UNREADABLE
        )
        if width <= 65_535:
            yield one(f"JPEG of {width} x {height}", jpeg_of(width, height), *refused, UNREADABLE, CORRUPT)
        if 0 < width <= 1 << 24 and height:
            yield one(f"WebP of {width} x {height}", riff(canvas(width, height), vp8()), *refused, UNREADABLE)
        yield one(f"HEIC of {width} x {height}", heic_of(width, height), *refused, *DAMAGED, DECODED)
    for width, height in ((64, 48), (4032, 3024), (12_000, 5000)):
        yield one(
            f"PNG of {width} x {height} and no pixels", png_of(width, height, zlib.compress(b"")), CORRUPT
        )
        is_less = width < 240  # than there is
        wanted = DECODED if is_less else CORRUPT
        yield one(f"JPEG of {width} x {height} that it has not", jpeg_of(width, height), wanted)
        webp = riff(canvas(width, height), vp8())
        yield one(f"WebP of {width} x {height} that it has not", webp, CORRUPT, UNREADABLE)


def jpeg_of(width: int, height: int) -> bytes:
    at = victim("JPEG").index(b"\xff\xc0") + 5
    return replaced(victim("JPEG"), at, struct.pack(">HH", height, width))


def heic_of(width: int, height: int) -> bytes:
    at = victim("HEIF").index(b"ispe") + 8
    return replaced(victim("HEIF"), at, struct.pack(">II", width, height))


def bombs() -> Iterator[Hostile]:
    """Small files that become large, or keep a decoder busy."""
    for bits, colour, interlace in (
        (8, 2, 0),
        (8, 6, 0),
        (8, 6, 1),
        (16, 6, 0),
        (16, 0, 0),
        (1, 0, 0),
        (16, 4, 1),
    ):
        options = {"bits": bits, "colour": colour, "interlace": interlace}
        name = f"PNG of 60 megapixels, {bits} bits, colour {colour}, interlace {interlace}"
        yield Hostile(name, lambda o=options: flat_png(10_000, 6000, **o), frozenset({DECODED}))
    yield one("PNG of 400 megapixels", png_of(20_000, 20_000, b""), "too-many-pixels")
    yield one(
        "PNG with a gigabyte behind 64 x 48", lambda: png_of(64, 48, deflated_zeros(10**9)), DECODED, CORRUPT
    )
    text = deflated_zeros(100_000_000)
    for kind, head in ((b"zTXt", b"Comment\0\0"), (b"iCCP", b"icc\0\0"), (b"iTXt", b"Comment\0\1\0\0\0")):
        bomb = chunk(kind, head + text)
        yield one(
            f"PNG with 100 MB in {kind.decode()}", png_of(64, 48, victim_rows(), bomb), UNREADABLE, DECODED
        )
    texts = [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(900_000)))] * 200
    yield one("PNG with 180 MB in 200 texts", png_of(64, 48, victim_rows(), *texts), UNREADABLE, DECODED)
    yield one(
        "PNG of 100,000 empty chunks",
        png_of(64, 48, victim_rows(), chunk(b"abCd", b"") * 100_000),
        UNREADABLE,
    )
    yield one("WebP of 60 megapixels", lambda: flat("WEBP", 10_000, 6000, lossless=True, method=0), DECODED)
    yield one(
        "HEIC of 60 megapixels",
        _HEIC.read_bytes,  # flat("HEIF", 10_000, 6000, enc_params={"preset": "ultrafast"}): 6 s to encode
        DECODED,
    )
    yield one("JPEG of 60 megapixels", lambda: flat("JPEG", 12_000, 5000), DECODED)
    yield one(
        "progressive JPEG of 60 megapixels", lambda: flat("JPEG", 12_000, 5000, progressive=True), DECODED
    )
    yield one("JPEG of 60 megapixels in inks", lambda: flat("JPEG", 12_000, 5000, mode="CMYK"), DECODED)
    for times in (40, 10_000):
        yield one(
            f"JPEG of 60 megapixels, a scan {times} times", lambda n=times: scans(12_000, 5000, n), CORRUPT
        )
    yield one("JPEG of 60 megapixels with 20 scans", lambda: scans(12_000, 5000, 14), DECODED)
    yield one("animated PNG of 300 frames", lambda: frames("PNG", 300), DECODED)
    yield one("animated WebP of 300 frames", lambda: frames("WEBP", 300), DECODED)
    yield one("JPEG with 100 MB behind it", lambda: victim("JPEG") + bytes(100_000_000), DECODED)
    yield one("PNG with 100 MB behind it", lambda: victim("PNG") + bytes(100_000_000), DECODED, UNREADABLE)


def scans(width: int, height: int, times: int) -> bytes:
    """Return a progressive JPEG that tells its last scan again and again."""
    whole = flat("JPEG", width, height, mode="L", progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * times + whole[-2:]


def frames(kind: str, count: int) -> bytes:
    colours = [Image.new("RGB", (500, 400), (i % 256, i // 256, 9)) for i in range(count)]
    return saved(
        colours[0],
        kind,
        save_all=True,
        append_images=colours[1:],
        lossless=True,
        quality=0,
        method=0,
        compress_level=1,
    )
