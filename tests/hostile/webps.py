"""The ways in which a WebP can go wrong."""

from collections.abc import Iterator

from PIL import Image

from tests.hostile.parts import (
    ANY,
    CORRUPT,
    DAMAGED,
    DECODED,
    SIZES,
    Hostile,
    canvas,
    exif_loop,
    noise,
    one,
    replaced,
    riff,
    vp8,
)
from tests.pictures import saved


def webps() -> Iterator[Hostile]:
    exif, alpha = (b"EXIF", exif_loop()), (b"ALPH", noise(400))
    lossless = saved(Image.new("RGB", (64, 48)), "WEBP", lossless=True)
    for name, data in {
        "nothing in it": riff(),
        "a canvas alone": riff(canvas(240, 160)),
        "an unknown chunk first": riff((b"ABCD", b"x"), vp8()),
        "a cut canvas": riff((b"VP8X", b"\0\0")),
        "a canvas of another size": riff(canvas(100, 100), vp8()),
        "an animation without frames": riff(canvas(240, 160, 2), (b"ANIM", bytes(6))),
        "a frame that is noise": riff(canvas(240, 160, 2), (b"ANIM", bytes(6)), (b"ANMF", noise(300))),
        "a frame outside": riff(
            canvas(240, 160, 2), (b"ANIM", bytes(6)), (b"ANMF", b"\xff" * 16 + noise(90))
        ),
        "an animation that is none": riff(canvas(240, 160, 2), vp8()),
        "an opacity that is noise": riff(canvas(240, 160, 16), alpha, vp8()),
        "two pictures": riff(canvas(240, 160), vp8(), vp8()),
        "no key frame": riff((b"VP8 ", b"\x01" + vp8()[1][1:])),
        "a picture that is noise": riff((b"VP8 ", vp8()[1][:10] + noise(2000))),
        "a lossless picture that is noise": riff((b"VP8L", lossless[20:25] + noise(500))),
        "half a lossless picture": lossless[: len(lossless) // 2],
        "a lossless version 7": replaced(lossless, 24, bytes([lossless[24] | 0xE0])),
        "a picture of no size": riff((b"VP8 ", replaced(vp8()[1], 6, bytes(4)))),
    }.items():
        yield one(f"WebP with {name}", data, *DAMAGED, *SIZES, DECODED)
    for name, chunks in {
        "an EXIF loop": (canvas(240, 160, 8), vp8(), exif),
        "EXIF promised": (canvas(240, 160, 8), vp8()),
        "10 MB of EXIF": (canvas(240, 160, 8), vp8(), (b"EXIF", noise(10_000_000))),
        "a profile that is noise": (canvas(240, 160, 32), (b"ICCP", noise(500)), vp8()),
        "a profile promised": (canvas(240, 160, 32), vp8()),
    }.items():
        yield one(f"WebP with {name}", riff(*chunks), DECODED, CORRUPT)
    yield one(
        "WebP of 100,000 empty chunks", riff(canvas(240, 160, 8), vp8(), *[(b"ABCD", b"")] * 100_000), *ANY
    )
