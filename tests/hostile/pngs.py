"""The ways in which a PNG can go wrong."""

import struct
import zlib
from collections.abc import Iterator

from tests.hostile.parts import (
    DAMAGED,
    DECODED,
    PNG_SIGNATURE,
    UNREADABLE,
    Hostile,
    chunk,
    exif_loop,
    noise,
    one,
    png_of,
    replaced,
    victim_rows,
)


def pngs() -> Iterator[Hostile]:
    rows = victim_rows()
    profiles = [chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000)))] * 9000
    yield one("PNG of 9,000 profiles of 1 MB", lambda: png_of(64, 48, rows, *profiles), UNREADABLE)
    for bits, colour in ((0, 2), (3, 0), (32, 2), (4, 2), (16, 3), (8, 1), (8, 5), (8, 7), (255, 255)):
        name = f"PNG of {bits} bits in colour {colour}"
        yield one(name, png_of(64, 48, rows, bits=bits, colour=colour), *DAMAGED)
    for at, name in ((26, "compression"), (27, "filter"), (28, "interlace")):
        header = replaced(png_of(64, 48, rows)[8:33], at - 8, b"\x07")
        fixed = header[:-4] + struct.pack(">I", zlib.crc32(header[4:-4]))
        yield one(f"PNG of {name} 7", PNG_SIGNATURE + fixed + png_of(64, 48, rows)[33:], *DAMAGED, DECODED)
    for at, kind in ((29, "header"), (len(png_of(64, 48, rows)) - 16, "pixels")):
        wrong = replaced(png_of(64, 48, rows), at, b"\0\0\0\0")
        yield one(f"PNG with a wrong checksum of its {kind}", wrong, *DAMAGED, DECODED)
    whole = png_of(64, 48, rows)
    header, pixels, end = whole[8:33], whole[33:-12], whole[-12:]
    orders = {
        "no header": (pixels, end),
        "two headers": (header, header, pixels, end),
        "no pixels": (header, end),
        "no end": (header, pixels),
        "pixels first": (pixels, header, end),
        "nothing": (),
        "the end first": (end, header, pixels),
        "two unlike headers": (header, png_of(9000, 6000, rows)[8:33], pixels, end),
    }
    for name, order in orders.items():
        yield one(f"PNG with {name}", PNG_SIGNATURE + b"".join(order), *DAMAGED, DECODED)
    for name, kind, body in (
        ("a palette of no colours", b"PLTE", b""),
        ("a palette of 257", b"PLTE", bytes(771)),
        ("half a colour", b"PLTE", bytes(4)),
        ("1,000 opacities", b"tRNS", bytes(1000)),
        ("no opacity", b"tRNS", b""),
        ("a resolution of nothing", b"pHYs", bytes(9)),
        ("a cut resolution", b"pHYs", b"\1"),
        ("a cut gamma", b"gAMA", b"\1"),
        ("cut primaries", b"cHRM", b"\1\2\3"),
        ("a profile without a name", b"iCCP", zlib.compress(b"x")),
        ("a profile that is noise", b"iCCP", b"a\0\0" + noise(300)),
        ("a text without an end", b"iTXt", b"Comment"),
        ("a text that is no zlib", b"zTXt", b"Comment\0\0" + noise(300)),
        ("EXIF noise", b"eXIf", noise(300)),
        ("an EXIF loop", b"eXIf", exif_loop()[6:]),
        ("four billion frames", b"acTL", struct.pack(">II", 0xFFFFFFFF, 0)),
        ("no frames", b"acTL", bytes(8)),
        ("a cut animation", b"acTL", b"\1"),
        ("a frame outside", b"fcTL", struct.pack(">IIIIIHHBB", 0, 9000, 9000, 9000, 9000, 1, 1, 0, 0)),
        ("a cut frame", b"fcTL", bytes(3)),
    ):
        for colour in (2, 3):
            palette = (chunk(b"PLTE", bytes(768)),) if colour == 3 and kind != b"PLTE" else ()
            file = png_of(64, 48, rows, *palette, chunk(kind, body), colour=colour)
            yield one(f"PNG of colour {colour} with {name}", file, *DAMAGED, DECODED)
    for name, deflated in {
        "no zlib": noise(500),
        "a wrong checksum": rows[:-4] + bytes(4),
        "rows that end early": zlib.compress(bytes(900)),
        "a distance too far": b"\x78\x01\x4b\x04\x11\x00" + noise(60),
        "a stream after the stream": rows + rows,
        "a dictionary": b"\x78\xbb" + rows[2:],
        "unknown filters": zlib.compress(b"\x09" * (193 * 48)),
    }.items():
        yield one(f"PNG with {name}", png_of(64, 48, deflated), *DAMAGED, DECODED)
