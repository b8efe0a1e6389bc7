"""The colours of subject and background at the mixed pixels of a photo, and at no others.

They stand in a list with the pixels beside them, whose one colour is known.  What a photo takes depends on
how much of it is mixed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Plane, Rgb

#: How much neighbours are alike where opacity does not change; where it does, they are as much more alike.
ALIKE = np.float32(1e-5)

#: What a colour counts that its pixel does not show.
_GUESS = np.float32(1e-3)

Places = NDArray[np.int32]  #: (n,) pixels by their number, row by row

#: So many pixels at a time stay in the processor's cache.
_PIECE_PX = 1 << 13
LEVELS = np.float32(OPAQUE)
_BESIDE = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A photo at one size; nothing along its border is mixed."""

    rgb: Rgb
    alpha: Alpha
    mixed: Alpha  #: 0, or not: where a colour is asked for

    def halved(self) -> "Scale":
        """Return every other pixel, so that what is opaque stays so; what was mixed is mixed."""
        size = self.alpha.shape[1] // 2, self.alpha.shape[0] // 2
        rgb, alpha = (cv2.resize(p, size, interpolation=cv2.INTER_NEAREST) for p in (self.rgb, self.alpha))
        share = cv2.resize(self.mixed, size, interpolation=cv2.INTER_AREA)
        # Made 0 or 255 anew each time: a lone pixel's share would come to nothing.
        _, mixed = cv2.threshold(share, 0, OPAQUE, cv2.THRESH_BINARY)
        return Scale(rgb=np.asarray(rgb), alpha=np.asarray(alpha), mixed=np.asarray(mixed, np.uint8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """Subject's and background's colour at some pixels of a photo, or at all."""

    near: Plane  #: (6, n) in levels: subject's red, green and blue, background's
    order: Places | None = None  #: (H * W,) where a pixel stands, if it does; ``None``: all stand in order

    def at(self, places: Places) -> Plane:
        """Return both colours of pixels; (6, n)."""
        return self.near.take(places if self.order is None else self.order.take(places), axis=1)


def find_colours(scale: Scale, above: Colours, rounds: int) -> Colours:
    """Return the colours at the mixed pixels of a size and beside them, from those at half the size."""
    places = np.flatnonzero(np.asarray(cv2.dilate(scale.mixed, _BESIDE)) > 0).astype(np.int32)
    order = np.empty(scale.alpha.size, dtype=np.int32)
    order[places] = np.arange(len(places), dtype=np.int32)
    near = _begun(scale, places, above)
    pieces = [_Piece.of(scale, places, order, some) for some in _slices(len(places))]
    for number in range(rounds):
        for piece in reversed(pieces) if number % 2 else pieces:
            piece.solve(near)
    return Colours(near=near, order=order)


def _begun(scale: Scale, places: Places, above: Colours) -> Plane:
    """Return the colours of half the size, and the photo's own where nothing is mixed; (6, n)."""
    width = np.int32(scale.alpha.shape[1])
    y, x = np.divmod(places, width)
    near = above.at((y >> 1) * (width >> 1) + (x >> 1))
    alpha, image = scale.alpha.take(places), _image(scale, places)
    np.copyto(near[:3], image, where=alpha == OPAQUE)
    np.copyto(near[3:], image, where=alpha == 0)
    return near


def _image(scale: Scale, places: Places) -> Plane:
    """Return the photo at some pixels, (3, n) in levels."""
    return np.ascontiguousarray(scale.rgb.reshape(-1, 3).take(places, axis=0).T, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Some mixed pixels of a list that goes row by row, and all that stays the same from round to round."""

    mixed: Places  #: (n,) which of the list they are
    beside: NDArray[np.int32]  #: (4, n) which are left, right, above and below
    weights: Plane  #: (4, 2, n) how much each of those counts for subject and background
    image: Plane  #: (3, n)
    parts: Plane  #: (2, n) how opaque a pixel is, and how transparent
    shares: Plane  #: (2, n) of what the neighbours leave unexplained

    @classmethod
    def of(cls, scale: Scale, places: Places, order: Places, some: slice) -> "_Piece":
        """Prepare the mixed ones of a slice of the list."""
        mixed = np.flatnonzero(scale.mixed.take(places[some]) > 0).astype(np.int32) + np.int32(some.start)
        here, width = places.take(mixed), np.int32(scale.alpha.shape[1])
        around = np.stack([here - 1, here + 1, here - width, here + width])
        opacity = np.asarray(scale.alpha.take(here) / LEVELS, np.float32)
        alike = _alike(opacity, scale.alpha.take(around), scale.mixed.take(around))
        total = alike.sum(axis=0)  # (2, n)
        parts = np.stack([opacity, 1 - opacity])
        return cls(
            mixed=mixed,
            beside=order.take(around),
            weights=np.asarray(alike / total, np.float32),
            image=_image(scale, here),
            parts=parts,
            shares=shares_of(parts, total),
        )

    def solve(self, colours: Plane) -> None:
        """Bring both colours closer to explaining each pixel and to being like its neighbours'."""
        both = np.zeros((2, 3, len(self.mixed)), np.float32)
        for beside, weights in zip(self.beside, self.weights, strict=True):
            both += weights[:, np.newaxis] * colours.take(beside, axis=1).reshape(both.shape)
        near = both.reshape(6, -1)
        rest = self.image - self.parts[0] * near[:3] - self.parts[1] * near[3:]
        near[:3] += self.shares[0] * rest
        near[3:] += self.shares[1] * rest
        colours[:, self.mixed] = np.clip(near, 0, LEVELS, out=near)


def _alike(opacity: Plane, beside: Alpha, mixed: Alpha) -> Plane:
    """Return how much a pixel's two colours are to be like those of its four neighbours; (4, 2, n).

    A neighbour that is opaque or transparent, and is not asked for its colours, knows one only; its other is
    a guess from a smaller size that no round mends.
    """
    is_guess = np.stack([beside == 0, beside == OPAQUE], axis=1)
    is_guess &= (mixed == 0)[:, np.newaxis]
    alike = np.abs(beside / LEVELS - opacity) + ALIKE
    return alike[:, np.newaxis] * np.where(is_guess, _GUESS, np.float32(1))


def shares_of(parts: Plane, alike: Plane | float) -> Plane:
    """Return how much of what neighbours leave unexplained goes to subject and to background.

    It is the solution of the paper's two equations in two unknowns, written as a correction; likeness may
    differ for the two.
    """
    freedom = parts / alike
    return np.asarray(freedom / (1 + (parts * freedom).sum(axis=0)), dtype=np.float32)


def _slices(count: int) -> Iterator[slice]:
    for start in range(0, count, _PIECE_PX):
        yield slice(start, min(start + _PIECE_PX, count))
