"""Turns a photo's bytes into pixels: first frame, upright, sRGB, 8 bits a channel.

Everything else in the file (EXIF, GPS, comments, further frames) ends here.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.photo_gate import PhotoFacts, inspect_photo
from worker.arrays import Alpha, Rgb
from worker.colour import to_srgb
from worker.stored import read_smaller, read_stored

_Pixels = NDArray[np.uint8]

#: What turns the stored picture upright, by EXIF orientation.
_TURNS: Mapping[int, Callable[[_Pixels], object]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.transpose(cv2.rotate(pixels, cv2.ROTATE_180)),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A decoded photo."""

    rgb: Rgb  #: (H, W, 3), upright, sRGB, 0 to 255, straight
    alpha: Alpha | None  #: (H, W), 0 to 255, if the file has one
    facts: PhotoFacts
    bytes: int
    sha256: str  #: of the file

    @property
    def seed(self) -> int:
        """Seed of everything random about this photo's results, so that they come out the same again."""
        return int(self.sha256[:16], 16)

    @property
    def public(self) -> dict[str, object]:
        """What a client is told about the photo."""
        facts = self.facts
        return {
            "width": facts.width,
            "height": facts.height,
            "bytes": self.bytes,
            "content_type": facts.content_type,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """A photo in small."""

    rgb: Rgb  #: (h, w, 3), upright, sRGB, both sides at least as long as was asked for
    facts: PhotoFacts  #: of the photo itself


def decode(data: bytes) -> Photo:
    """Decode a photo.

    Raises
    ------
    UnprocessableError
        Whatever the gate raises, if the header is not taken.
    ImageCorruptError
        If the pixels behind a good header cannot be decoded.
    """
    facts = inspect_photo(io.BytesIO(data), len(data))
    stored = read_stored(data, facts)
    return Photo(
        rgb=_upright(to_srgb(stored.colour, stored.icc_profile), facts),
        alpha=None if stored.alpha is None else _upright(stored.alpha, facts),
        facts=facts,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def glimpse(data: bytes, least_side_px: int) -> Glimpse | None:
    """Decode a photo at a fraction of its size, in less time than it takes to decode it.

    ``None`` where the file cannot be read so, or is damaged: ``decode`` has the last word.

    Raises
    ------
    UnprocessableError
        Whatever the gate raises, if the header is not taken.
    """
    facts = inspect_photo(io.BytesIO(data), len(data))
    stored = read_smaller(data, facts, least_side_px)
    if stored is None:
        return None
    return Glimpse(rgb=_upright(to_srgb(stored.colour, stored.icc_profile), facts), facts=facts)


def _upright(pixels: _Pixels, facts: PhotoFacts) -> _Pixels:
    turn = _TURNS.get(facts.orientation)
    return pixels if turn is None else np.asarray(turn(pixels), dtype=np.uint8)
