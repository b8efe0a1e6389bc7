"""Reads a photo's first frame as it is stored, 8 bits a channel, with the fastest decoder that will have it.

Whatever a file's damage makes a decoder do, it comes out of here as ``ImageCorruptError``.
"""

import io
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from shared.errors import ImageCorruptError
from shared.photo_gate import Kind, PhotoFacts, open_photo
from worker.arrays import OPAQUE, Alpha
from worker.jpeg_scans import MAX_SCANS, has_too_many_scans
from worker.shortage import require_decodable

_WIDE_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
_WIDE_OPAQUE = 65_535
#: Where a PNG says how many bits a channel has; and how many Pillow gives.
_PNG_DEPTH_AT, _BITS = 24, 8
_COLOURS_OF_JPEG = {"RGB": "RGB", "L": "GRAY"}


class _CutShortError(Exception):
    """The file says that it is whole, and has fewer pixels than it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A picture, not yet turned upright, in whatever colours the file has."""

    colour: NDArray[np.uint8]  #: (H, W) grey, (H, W, 3) RGB or (H, W, 4) CMYK, 255 the most ink
    alpha: Alpha | None  #: (H, W)
    icc_profile: bytes | None


def read_stored(data: bytes, facts: PhotoFacts) -> Stored:
    """Decode a photo whose header has passed the gate.

    Raises
    ------
    ImageCorruptError
        If the pixels cannot be decoded.
    """
    _require_few_scans(data, facts.kind)
    try:
        image = open_photo(io.BytesIO(data), facts.kind)
        stored = _turbo(data, image) if facts.kind is Kind.JPEG else None
        if stored is None:
            image.load()
            if facts.kind is Kind.PNG:
                _scale_key(image, depth=data[_PNG_DEPTH_AT])
            stored = _by_pillow(image)
        if sorted(stored.colour.shape[:2]) != sorted((facts.width, facts.height)):
            raise ValueError(f"{stored.colour.shape[:2]} behind a header of {facts.width} x {facts.height}")  # noqa: TRY301 - one more way to be damaged
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise nearly anything on damaged pixels, and each of those is the file's fault.
        require_decodable(facts.width * facts.height)  # but without memory they do so too
        raise ImageCorruptError(
            f"The pixels of the {facts.kind.name} are damaged or cut short; upload the photo again."
        ) from error
    return stored


def _require_few_scans(data: bytes, kind: Kind) -> None:
    if kind is Kind.JPEG and has_too_many_scans(data):
        raise ImageCorruptError(
            f"The JPEG has more than {MAX_SCANS} scans; save it anew and upload it again."
        )


def read_smaller(data: bytes, facts: PhotoFacts, least_side_px: int) -> Stored | None:
    """Decode a JPEG at a fraction of its size, or nothing where that is not faster or not possible.

    Both sides stay as long as asked for; libjpeg leaves out the frequencies that would not be seen.
    """
    if facts.kind is not Kind.JPEG or min(facts.width, facts.height) < 2 * least_side_px:
        return None
    _require_few_scans(data, facts.kind)
    try:
        return _turbo(data, open_photo(io.BytesIO(data), facts.kind), least_side_px)
    except _CutShortError:
        return None


def _turbo(data: bytes, image: ImageFile, least_side_px: int = 0) -> Stored | None:
    """Decode a JPEG of the common kind without Pillow, which takes three times as long."""
    space = _COLOURS_OF_JPEG.get(image.mode)
    if space is None:
        return None
    try:
        pixels = simplejpeg.decode_jpeg(data, space, min_width=least_side_px, min_height=least_side_px)
    except MemoryError:
        raise
    except Exception as error:
        if "premature end" in str(error).lower():
            raise _CutShortError from error  # Pillow would fill the rest with grey
        return None
    colour = pixels[..., 0] if space == "GRAY" else pixels
    return Stored(colour=colour, alpha=None, icc_profile=image.info.get("icc_profile"))


def _scale_key(image: ImageFile, depth: int) -> None:
    """Bring a PNG's transparent colour to 8 bits a channel, as Pillow has the pixels and not the key."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int) and depth < _BITS:
        image.info["transparency"] = key * (OPAQUE // (2**depth - 1))
    if image.mode == "RGB" and isinstance(key, tuple) and depth > _BITS:
        image.info["transparency"] = tuple(level >> _BITS for level in key)


def _by_pillow(image: ImageFile) -> Stored:
    alpha: Alpha | None = None
    if image.mode in _WIDE_MODES:
        colour, alpha = _narrow(image), _keyed(image)
    elif image.mode == "CMYK":
        colour = _ink(image)
    elif image.has_transparency_data:
        colour, alpha = _separated(image if image.mode in {"LA", "RGBA"} else image.convert("RGBA"))
    else:
        colour = np.asarray(image.convert("L" if image.mode in {"1", "L"} else "RGB"))
    return Stored(colour=colour, alpha=alpha, icc_profile=image.info.get("icc_profile"))


def _narrow(image: Image.Image) -> NDArray[np.uint8]:
    wide = np.asarray(image).astype(np.float32)
    wide *= OPAQUE / _WIDE_OPAQUE
    return np.asarray(np.clip(wide + 0.5, 0, OPAQUE), dtype=np.uint8)


def _keyed(image: Image.Image) -> Alpha | None:
    """Return the opacity of a 16-bit grey of which one level is transparent."""
    level = image.info.get("transparency")
    if level is None:
        return None
    return np.where(np.asarray(image) == level, 0, OPAQUE).astype(np.uint8)


def _ink(image: Image.Image) -> NDArray[np.uint8]:
    """Return CMYK with 255 the most ink; Pillow takes every JPEG for one of Adobe's, which are negative."""
    ink = np.asarray(image)
    return ink if "adobe" in image.info else np.subtract(OPAQUE, ink, dtype=np.uint8)


def _separated(image: Image.Image) -> tuple[NDArray[np.uint8], Alpha]:
    """Return colour and opacity of LA or RGBA."""
    planes = np.asarray(image)
    colour = planes[..., 0] if image.mode == "LA" else planes[..., :3]
    return np.ascontiguousarray(colour), np.ascontiguousarray(planes[..., -1])
