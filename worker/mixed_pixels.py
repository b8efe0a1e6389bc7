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

Places = NDArray[np.int32]  #: (n,) pixels by their number, row by row

#: So many pixels at a time stay in the processor's cache.
_PIECE_PX = 1 << 13
_LEVELS = np.float32(OPAQUE)
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
        mixed = cv2.resize(self.mixed, size, interpolation=cv2.INTER_AREA)
        return Scale(rgb=np.asarray(rgb), alpha=np.asarray(alpha), mixed=np.asarray(mixed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """Subject's and background's colour at some pixels of a photo, or at all."""

    near: Plane  #: (6, n) in [0, 1]: subject's red, green and blue, background's
    order: Places | None = None  #: (H * W,) where a pixel stands, if it does; ``None``: all stand in order

    def at(self, places: Places) -> Plane:
        """Return both colours of pixels; (6, n)."""
        return self.near.take(places if self.order is None else self.order.take(places), axis=1)

    def of_subject(self, scale: Scale) -> Iterator[tuple[Places, Rgb]]:
        """Return the subject's colour at the mixed pixels, some at a time; (n,) and (n, 3)."""
        mixed = np.flatnonzero(scale.mixed > 0).astype(np.int32)
        for piece in _pieces(0, len(mixed)):
            order = mixed[piece] if self.order is None else self.order.take(mixed[piece])
            found = np.rint(self.near[:3].take(order, axis=1) * _LEVELS)
            yield mixed[piece], np.ascontiguousarray(found.T, dtype=np.uint8)


def find_colours(scale: Scale, above: Colours, rounds: int) -> Colours:
    """Return the colours at the mixed pixels of a size and beside them, from those at half the size."""
    places = np.flatnonzero(np.asarray(cv2.dilate(scale.mixed, _BESIDE)) > 0).astype(np.int32)
    order = np.empty(scale.alpha.size, dtype=np.int32)
    order[places] = np.arange(len(places), dtype=np.int32)
    list_ = _List(
        scale=scale,
        places=places,
        order=order,
        alpha=scale.alpha.ravel().take(places),
        is_mixed=scale.mixed.ravel().take(places) > 0,
        near=np.empty((6, len(places)), dtype=np.float32),
    )
    list_.begin(above)
    for number in range(rounds):
        list_.solve(is_backwards=number % 2 > 0)
    return Colours(near=list_.near, order=order)


@dataclass(frozen=True, slots=True, kw_only=True)
class _List:
    """Pixels row by row: what is left and right of one stands before and after it."""

    scale: Scale
    places: Places
    order: Places
    alpha: Alpha  #: (n,)
    is_mixed: NDArray[np.bool_]  #: (n,)
    near: Plane  #: (6, n)

    def begin(self, above: Colours) -> None:
        """Take over the colours of half the size, and the photo's own where nothing is mixed."""
        width = np.int32(self.scale.alpha.shape[1])
        for piece in _pieces(0, len(self.places)):
            y, x = np.divmod(self.places[piece], width)
            near, alpha, image = (
                above.at((y >> 1) * (width >> 1) + (x >> 1)),
                self.alpha[piece],
                self.image(piece),
            )
            np.copyto(near[:3], image, where=alpha == OPAQUE)
            np.copyto(near[3:], image, where=alpha == 0)
            self.near[:, piece] = near

    def solve(self, *, is_backwards: bool) -> None:
        """Bring both colours closer to explaining each pixel and to being like its neighbours'."""
        pieces = list(_pieces(1, len(self.places) - 1))
        for piece in reversed(pieces) if is_backwards else pieces:
            near, alike = self._seen_around(piece)
            subject = np.asarray(self.alpha[piece] / _LEVELS, dtype=np.float32)
            parts = np.stack([subject, 1 - subject])  # (2, n)
            rest = self.image(piece) - parts[0] * near[:3] - parts[1] * near[3:]
            shares = shares_of(parts, alike)
            near[:3] += shares[0] * rest
            near[3:] += shares[1] * rest
            np.clip(near, 0, 1, out=near)
            np.copyto(self.near[:, piece], near, where=self.is_mixed[piece])

    def image(self, piece: slice) -> Plane:
        """Return the photo at some pixels, (3, n) in [0, 1]."""
        pixels = self.scale.rgb.reshape(-1, 3).take(self.places[piece], axis=0)
        image = np.ascontiguousarray(pixels.T, dtype=np.float32)
        image /= _LEVELS
        return image

    def _seen_around(self, piece: slice) -> tuple[Plane, Plane]:
        """Return the mean of the neighbours' colours, and how much they are alike in all; (6, n), (n,)."""
        alpha = self.alpha[piece].astype(np.float32)
        total, seen = np.zeros(alpha.shape, np.float32), np.zeros((6, len(alpha)), np.float32)
        for near, beside in self._beside(piece):
            alike = np.abs(alpha - beside) / _LEVELS + ALIKE
            total += alike
            seen += alike * near
        seen /= total
        return seen, total

    def _beside(self, piece: slice) -> Iterator[tuple[Plane, Alpha]]:
        """Return colours and opacity left, right, above and below; nonsense beside what is not mixed."""
        for step in (-1, 1):
            moved = slice(piece.start + step, piece.stop + step)
            yield self.near[:, moved], self.alpha[moved]
        width, places = self.scale.alpha.shape[1], self.places[piece]
        for step in (-width, width):
            moved_to = self.order.take(places + np.int32(step), mode="clip")
            moved_to[~self.is_mixed[piece]] = 0
            yield self.near.take(moved_to, axis=1), self.alpha.take(moved_to)


def shares_of(parts: Plane, alike: Plane) -> Plane:
    """Return how much of what neighbours leave unexplained goes to subject and to background.

    It is the solution of the paper's two equations in two unknowns, written as a correction.
    """
    return np.asarray(parts / ((parts**2).sum(axis=0) + alike), dtype=np.float32)


def _pieces(first: int, last: int) -> Iterator[slice]:
    for start in range(first, last, _PIECE_PX):
        yield slice(start, min(start + _PIECE_PX, last))
