"""The ways in which a JPEG can go wrong."""

import struct
from collections.abc import Iterator

from tests.hostile.parts import (
    ANY,
    CORRUPT,
    DAMAGED,
    DECODED,
    UNREADABLE,
    Hostile,
    exif_loop,
    in_jpeg,
    inserted,
    noise,
    one,
    replaced,
    segment,
    victim,
)


def jpegs() -> Iterator[Hostile]:
    whole = victim("JPEG")
    frame, scan = whole.index(b"\xff\xc0"), whole.index(b"\xff\xda")
    tables, huffman = whole.index(b"\xff\xdb"), whole.index(b"\xff\xc4")
    for marker in (0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCF):
        yield one(f"JPEG whose frame is {marker:x}", replaced(whole, frame + 1, bytes([marker])), *ANY)
    for at, value, name in ((4, 12, "bits"), (4, 16, "bits"), (9, 0, "components"), (9, 5, "components")):
        yield one(f"JPEG of {value} {name}", replaced(whole, frame + at, bytes([value])), *DAMAGED)
    for value in (0x00, 0x55, 0xFF, 0x41):
        yield one(f"JPEG sampled {value:x}", replaced(whole, frame + 11, bytes([value])), *ANY)
    for at, name in ((tables, "quantization"), (huffman, "Huffman"), (scan, "scan"), (frame, "frame")):
        size = 2 + int.from_bytes(whole[at + 2 : at + 4], "big")
        yield one(f"JPEG without its first {name}", whole[:at] + whole[at + size :], *DAMAGED, DECODED)
        yield one(
            f"JPEG with its first {name} twice", inserted(whole, at, whole[at : at + size]), *DAMAGED, DECODED
        )
    yield one("JPEG of nothing but markers", b"\xff\xd8" + b"\xff\xe0\x00\x02" * 50_000, UNREADABLE)
    for name, piece, count in (
        ("fill bytes", b"\xff", 25_000_000),
        ("stray bytes", b"\0", 25_000_000),
        ("comments", b"\xff\xfe\0\2", 6_000_000),
        ("tables", segment(0xDB, bytes(65)), 300_000),
        ("frames", whole[frame : frame + 19], 1_000_000),
        ("indices of frames", segment(0xE2, mpo_index(5)), 200_000),
    ):

        def swollen(piece: bytes = piece, count: int = count) -> bytes:
            return b"\xff\xd8\xff\xe0\0\2" + piece * count + whole[2:]

        yield one(f"JPEG of 25 MB of {name}", swollen, UNREADABLE)
    exif = segment(0xE1, b"Exif\0\0" + bytes(65_000))
    yield one("JPEG of 25 MB of EXIF", lambda: in_jpeg(exif * 380), DECODED)
    yield one("JPEG that ends early, and says that it ends", whole[: len(whole) // 2] + b"\xff\xd9", CORRUPT)
    yield one("JPEG of restarts", inserted(whole, scan + 20, b"\xff\xd0" * 100_000), CORRUPT, DECODED)
    yield one("JPEG whose EXIF points at itself", in_jpeg(segment(0xE1, exif_loop())), DECODED)
    yield one("JPEG whose EXIF has 65,535 entries", in_jpeg(segment(0xE1, exif_of_many())), DECODED)
    yield one(
        "JPEG with 65,000 bytes of EXIF noise", in_jpeg(segment(0xE1, b"Exif\0\0" + noise(65_000))), DECODED
    )
    for orientation in (0, 9, 255, 65_535):
        block = struct.pack("<2sHIHHHII", b"II", 42, 8, 1, 0x0112, 3, 1, orientation) + bytes(4)
        yield one(f"JPEG turned {orientation}", in_jpeg(segment(0xE1, b"Exif\0\0" + block)), DECODED)
    for number, total in ((1, 0), (0, 1), (1, 255), (9, 3)):
        part = segment(0xE2, b"ICC_PROFILE\0" + bytes([number, total]) + noise(100))
        yield one(f"JPEG with part {number} of {total} of a profile", in_jpeg(part), DECODED)
    parts = (segment(0xE2, b"ICC_PROFILE\0" + bytes([i, 255]) + noise(60_000)) for i in range(1, 256))
    yield one("JPEG with a profile of 15 MB", lambda: in_jpeg(*parts), DECODED)
    for offset in (0, 1, 0xFFFFFFFF):
        yield one(
            f"MPO whose second frame is at {offset:x}", in_jpeg(segment(0xE2, mpo_index(offset))), DECODED
        )
    yield one(
        "JPEG with an index of frames that is noise", in_jpeg(segment(0xE2, b"MPF\0" + noise(90))), DECODED
    )
    yield one(
        "JPEG with Photoshop noise", in_jpeg(segment(0xED, b"Photoshop 3.0\x008BIM" + noise(900))), DECODED
    )
    yield one("JPEG in a JPEG's comment", in_jpeg(segment(0xFE, whole[:60_000])), DECODED)


def exif_of_many() -> bytes:
    entries = struct.pack("<HHII", 0x0100, 5, 0xFFFFFFFF, 0xFFFFFFFF) * 5000
    return b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 65_535) + entries


def mpo_index(offset: int) -> bytes:
    entries = struct.pack("<HHI4s", 0xB000, 7, 4, b"0100") + struct.pack("<HHII", 0xB001, 4, 1, 2)
    entries += struct.pack("<HHII", 0xB002, 7, 32, 50)
    table = struct.pack("<IIIHH", 0x030000, 500, 0, 0, 0) + struct.pack("<IIIHH", 0, 500, offset, 0, 0)
    return b"MPF\0" + struct.pack("<2sHIH", b"II", 42, 8, 3) + entries + bytes(4) + table
