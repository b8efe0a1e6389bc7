"""The photos of the tests as cameras, phones and editors would have written them: all of them are taken."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import pillow_heif
from PIL import Image

from tests.hostile.parts import DECODED
from tests.pictures import photo, saved
from tests.profiles import rgb_profile

NAMES = ("cat", "raccoon", "astronaut", "coffee")
P3 = rgb_profile("Display P3")
HASTY = {"preset": "ultrafast"}  #: of the three HEICs one takes its time: more is coded, none is other pixels


@dataclass(frozen=True)
class Clean:
    """A photo and its size, upright."""

    name: str
    make: Callable[[], bytes]
    size: tuple[int, int]
    verdicts: frozenset[str] = frozenset({DECODED})


@cache
def shot(name: str) -> Image.Image:
    with Image.open(io.BytesIO(photo(name))) as image:
        image.load()
        return image


def every_clean_photo() -> list[Clean]:
    """Return each way of writing a photo, for each photo."""
    pillow_heif.register_heif_opener()
    found = [
        Clean(f"{name} as {way}", lambda n=name, w=write: w(shot(n)), shot(name).size)
        for name in NAMES
        for way, write in ways().items()
    ]
    for megapixels, size in ((12, (4032, 3024)), (24, (5712, 4284)), (48, (8064, 6048))):
        found.append(Clean(f"raccoon of {megapixels} MP", lambda s=size: enlarged(*s), size))
    return found


def ways() -> dict[str, Callable[[Image.Image], bytes]]:
    """Return what writes a photo, by the name of the way."""
    return {
        "JPEG": lambda i: saved(i, "JPEG"),
        "JPEG of quality 30": lambda i: saved(i, "JPEG", quality=30),
        "JPEG of quality 100, 4:4:4": lambda i: saved(i, "JPEG", quality=100, subsampling=0),
        "progressive JPEG": lambda i: saved(i, "JPEG", progressive=True),
        "JPEG with restarts": lambda i: saved(i, "JPEG", restart_marker_rows=1),
        "grey JPEG": lambda i: saved(i.convert("L"), "JPEG"),
        "JPEG in inks": lambda i: saved(i.convert("CMYK"), "JPEG"),
        "JPEG of OpenCV": lambda i: cv2.imencode(".jpg", np.asarray(i)[..., ::-1])[1].tobytes(),
        "iPhone's JPEG": iphone,
        "iPhone's portrait": portrait,
        "JPEG with a film behind it": lambda i: saved(i, "JPEG") + b"\0\0\0\x18ftypmp42" + bytes(300_000),
        "PNG": lambda i: saved(i, "PNG"),
        "grey PNG": lambda i: saved(i.convert("L"), "PNG"),
        "PNG with a palette": lambda i: saved(i.quantize(64), "PNG"),
        "PNG of black and white": lambda i: saved(i.convert("1"), "PNG"),
        "PNG of 16 bits": lambda i: cv2.imencode(".png", np.asarray(i)[..., ::-1].astype(np.uint16) * 257)[
            1
        ].tobytes(),
        "cut-out PNG": lambda i: saved(cut_out(i), "PNG"),
        "screenshot": lambda i: saved(i, "PNG", icc_profile=P3, dpi=(144, 144)),
        "animated PNG": lambda i: saved(i, "PNG", save_all=True, append_images=[i.rotate(180)]),
        "WebP": lambda i: saved(i, "WEBP"),
        "lossless WebP": lambda i: saved(i, "WEBP", lossless=True, method=0),
        "cut-out WebP": lambda i: saved(cut_out(i), "WEBP", exact=True),
        "animated WebP": lambda i: saved(i, "WEBP", save_all=True, append_images=[i.rotate(180)], method=0),
        "WebP with all that there is": lambda i: saved(
            i, "WEBP", icc_profile=P3, xmp=b"<x/>", exif=turned(1)
        ),
        "HEIC": lambda i: saved(i, "HEIF"),
        "iPhone's HEIC": lambda i: saved(
            i, "HEIF", icc_profile=P3, exif=turned(1), xmp=b"<x/>", enc_params=HASTY
        ),
        "grey HEIC": lambda i: saved(i.convert("L"), "HEIF", enc_params=HASTY),
    }


def iphone(image: Image.Image) -> bytes:
    """Return a photo taken with the phone upright: stored on its side."""
    return saved(image.rotate(90, expand=True), "JPEG", icc_profile=P3, exif=turned(6), comment=b"x" * 999)


def portrait(image: Image.Image) -> bytes:
    return saved(image, "MPO", save_all=True, append_images=[image.convert("L")], exif=turned(1))


def turned(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010F] = orientation, "Apple"
    block.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 24.0)})
    return block.tobytes()


def cut_out(image: Image.Image) -> Image.Image:
    alpha = Image.new("L", image.size)
    alpha.paste(255, (40, 40, image.width - 40, image.height - 40))
    with_alpha = image.copy()
    with_alpha.putalpha(alpha)
    return with_alpha


def enlarged(width: int, height: int) -> bytes:
    return saved(shot("raccoon").resize((width, height), Image.Resampling.BICUBIC), "JPEG", quality=80)
