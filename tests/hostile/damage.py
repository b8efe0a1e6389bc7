"""Sound photos, cut off, with bits turned, or with lengths that lie."""

import random
import struct
from collections.abc import Iterator

from tests.hostile.parts import ANY, DAMAGED, DECODED, VICTIMS, Hostile, one, replaced, victim


def truncated() -> Iterator[Hostile]:
    """Cut off at every hundredth."""
    for kind in VICTIMS:
        for percent in range(1, 100):
            # The last hundredth of a JPEG or PNG may hold no pixel any more.
            verdicts = DAMAGED | ({DECODED} if percent > 97 else set())
            verdicts |= {"unsupported-image"} if percent < 3 else set()

            def cut(kind: str = kind, percent: int = percent) -> bytes:
                return victim(kind)[: len(victim(kind)) * percent // 100]

            yield Hostile(f"{kind} cut at {percent} %", cut, frozenset(verdicts))


def flipped() -> Iterator[Hostile]:
    """Some bits turned, in the header or anywhere."""
    for kind in VICTIMS:
        for number in range(40):

            def flip(kind: str = kind, number: int = number) -> bytes:
                dice, data = random.Random(f"{kind} {number}"), bytearray(victim(kind))
                within = len(data) if number % 2 else min(len(data), 700)
                for _ in range((1, 4, 16, 64)[number % 4]):
                    data[dice.randrange(within)] ^= 1 << dice.randrange(8)
                return bytes(data)

            yield Hostile(f"{kind} with flipped bits, {number}", flip, ANY)


def lies() -> Iterator[Hostile]:
    """Lengths that are not those of what follows."""
    for number, at in enumerate(png_lengths()):
        for size in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
            lie = replaced(victim("PNG"), at, struct.pack(">I", size))
            yield one(f"PNG chunk {number} of {size:x} bytes", lie, *ANY)
    for number, at in enumerate(jpeg_lengths()):
        for size in (0, 1, 2, 0xFFFF):
            lie = replaced(victim("JPEG"), at, struct.pack(">H", size))
            yield one(f"JPEG segment {number} of {size} bytes", lie, *ANY)
    for at, name in ((4, "RIFF"), (16, "VP8")):
        for size in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
            lie = replaced(victim("WEBP"), at, struct.pack("<I", size))
            yield one(f"WebP {name} of {size:x} bytes", lie, *ANY)
    for number, at in enumerate(heic_boxes()):
        for size in (0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF):
            lie = replaced(victim("HEIF"), at, struct.pack(">I", size))
            yield one(f"HEIC box {number} of {size:x} bytes", lie, *ANY)


def png_lengths() -> list[int]:
    data, at, found = victim("PNG"), 8, []
    while at < len(data):
        found.append(at)
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return found


def jpeg_lengths() -> list[int]:
    data, at, found = victim("JPEG"), 2, []
    while not found or data[found[-1] - 1] != 0xDA:
        found.append(at + 2)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return found


def heic_boxes() -> list[int]:
    """Return where each box of the header begins, outermost or not."""
    data = victim("HEIF")
    kinds = (
        b"ftyp",
        b"meta",
        b"hdlr",
        b"pitm",
        b"iloc",
        b"iinf",
        b"infe",
        b"iprp",
        b"ipco",
        b"hvcC",
        b"ispe",
    )
    return sorted(data.index(kind) - 4 for kind in (*kinds, b"ipma", b"mdat") if kind in data)
