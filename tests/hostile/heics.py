"""The ways in which a HEIC can go wrong."""

import random
import struct
from collections.abc import Iterator

from tests.hostile.parts import ANY, DAMAGED, DECODED, UNREADABLE, Hostile, noise, one, victim


def heics() -> Iterator[Hostile]:
    whole = victim("HEIF")
    for number in range(60):
        dice = random.Random(f"heic {number}")
        data, start, stop = bytearray(whole), 24, whole.index(b"mdat")
        for _ in range(1 + number % 5):
            data[dice.randrange(start, stop)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        yield one(f"HEIC with a damaged header, {number}", bytes(data), *ANY)
    for kind in (b"meta", b"hdlr", b"pitm", b"iloc", b"iinf", b"iprp", b"ipco", b"hvcC", b"ispe", b"ipma"):
        lost = whole.replace(kind, b"free", 1)
        yield one(f"HEIC without {kind.decode()}", lost, *DAMAGED, DECODED)
    nested = b""
    for _ in range(2000):
        nested = struct.pack(">I4s", len(nested) + 8, b"moov") + nested
    yield one("HEIC of 2,000 boxes in each other", whole[:24] + nested + whole[24:], *DAMAGED, DECODED)
    yield one("HEIC of 100,000 boxes", whole[:24] + struct.pack(">I4s", 8, b"free") * 100_000, *DAMAGED)
    yield one("HEIC of a brand alone", struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1"), UNREADABLE)
    yield one(
        "HEIC of pixels that are noise", whole[: whole.index(b"mdat") + 4] + noise(4000), *DAMAGED, DECODED
    )
    yield one(
        "AVIF that says it is HEIC", whole.replace(b"hvc1", b"av01").replace(b"hvcC", b"av1C"), *DAMAGED
    )
