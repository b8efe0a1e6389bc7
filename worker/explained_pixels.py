"""The colours at the mixed pixels of a photo's two largest sizes, where nearly all of its mixed pixels are.

The colours found at half the size are moved until they explain what the pixel looks like at its opacity.
Neighbours have had their say at smaller sizes, so no pixel needs to know where its own are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Plane, Rgb
from worker.mixed_pixels import LEVELS, Colours, Places, Scale, shares_of

#: How much the colours found at half the size count beside the pixel's own.
TRUST = 0.05
#: So many pixels of half the size at a time stay in the processor's cache.
_PIECE_PX = 1 << 12
_OPACITY = np.arange(OPAQUE + 1, dtype=np.float32) / LEVELS
#: (2, 256) of what is left unexplained at an opacity, the subject's share and the background's.
_SHARES = shares_of(np.stack([_OPACITY, 1 - _OPACITY]), TRUST)
_SHARES[0, OPAQUE] = 1  # what is opaque has the photo's own colour
_SEEN = np.where(_OPACITY > 0, np.uint8(OPAQUE), np.uint8(0))
#: A pixel's three bytes, moved in one go.
_PIXEL = np.dtype("V3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """Both colours at some pixels of a photo."""

    places: Places  #: (n,)
    width: int  #: of the photo
    near: Plane  #: (6, n) in levels: subject's red, green and blue, background's

    @classmethod
    def of(cls, scale: Scale, colours: Colours) -> "Mixed":
        """Return those that were found for the mixed pixels of a photo."""
        places = np.flatnonzero(scale.mixed > 0).astype(np.int32)
        return cls(places=places, width=scale.alpha.shape[1], near=colours.at(places))

    def moved(self, down: int, right: int, width: int) -> "Mixed":
        """Return the same pixels as another part of the photo has them."""
        y, x = np.divmod(self.places, np.int32(self.width))
        places = (y + np.int32(down)) * np.int32(width) + x + np.int32(right)
        return Mixed(places=places, width=width, near=self.near)

    def pieces(self) -> Iterator["Mixed"]:
        """Return some pixels at a time."""
        for first in range(0, len(self.places), _PIECE_PX):
            piece = slice(first, first + _PIECE_PX)
            yield Mixed(places=self.places[piece], width=self.width, near=self.near[:, piece])


def explain(scale: Scale, half: Mixed) -> Mixed:
    """Return both colours at the mixed pixels of a photo, an even number of them wide, from half its size."""
    quads = _Quads.seen(scale.rgb, scale.alpha, half)
    chosen = np.flatnonzero(scale.mixed.take(quads.places))
    both = np.concatenate([quads.subject(), quads.behind()]).reshape(6, -1)
    return Mixed(places=quads.places.take(chosen), width=scale.alpha.shape[1], near=both.take(chosen, axis=1))


def write_found(found: Mixed, foreground: Rgb) -> None:
    """Write the subject's colour at pixels of a photo as it was found there; (H, W, 3)."""
    foreground.reshape(-1, 3)[found.places] = np.rint(found.near[:3]).astype(np.uint8).T


def write_subject(rgb: Rgb, alpha: Alpha, half: Mixed, foreground: Rgb) -> None:
    """Write the subject's colour at the mixed pixels of a photo and beside them, from half its size.

    All three are a photo's, (H, W, 3), (H, W) and (H, W, 3); H and W are even.
    """
    pixels = _in_pixels(foreground)
    for piece in half.pieces():
        quads = _Quads.seen(rgb, alpha, piece)
        found = np.rint(quads.subject()).astype(np.uint8)
        found &= _SEEN.take(quads.opacity)
        pixels[quads.places] = _in_pixels(np.asarray(cv2.merge(list(found)))).reshape(quads.places.shape)


@dataclass(frozen=True, slots=True)
class _Quads:
    """The four pixels that each pixel of half the size was."""

    places: Places  #: (4, n)
    opacity: Alpha  #: (4, n)
    near: Plane  #: (6, n), the colours of half the size
    unexplained: Plane  #: (3, 4, n), what these pixels are beyond what those make of them

    @classmethod
    def seen(cls, rgb: Rgb, alpha: Alpha, half: Mixed) -> "_Quads":
        """Look at the pixels of a photo that is twice the size."""
        width = np.int32(half.width)
        first = (half.places + half.places // width * width) * np.int32(2)
        places = np.stack([first, first + np.int32(1), first + 2 * width, first + 2 * width + np.int32(1)])
        opacity = alpha.take(places)
        rest = np.empty((3, *places.shape), np.float32)
        pixels = _in_pixels(rgb).take(places).view(np.uint8).reshape(-1, 1, 3)
        part = _OPACITY.take(opacity)
        for channel, seen in enumerate(cv2.split(pixels)):
            subject, behind = half.near[channel], half.near[3 + channel]
            np.multiply(part, behind - subject, out=rest[channel])
            rest[channel] += seen.reshape(places.shape)
            rest[channel] -= behind
        return cls(places, opacity, half.near, rest)

    def subject(self) -> Plane:
        """Return the subject's colour at each of the four; (3, 4, n) in levels."""
        return self._moved(self.near[:3], _SHARES[0])

    def behind(self) -> Plane:
        """Return the background's colour at each of the four; (3, 4, n) in levels."""
        return self._moved(self.near[3:], _SHARES[1])

    def _moved(self, near: Plane, shares: Plane) -> Plane:
        moved = self.unexplained * shares.take(self.opacity)
        moved += near[:, np.newaxis]
        return np.clip(moved, 0, LEVELS, out=moved)


def _in_pixels(rgb: Rgb) -> NDArray[np.void]:
    """Return a view of a photo with one item for each pixel; (H * W,)."""
    return rgb.reshape(-1).view(_PIXEL)
