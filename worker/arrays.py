"""The kinds of array this worker passes around, and how to check that two belong together.

Photos stay 8-bit between the stages, because a float copy of 60 megapixels is what ran out of memory
(field report 15); a stage that calculates does so in float32, on the part it needs.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rgb: TypeAlias = NDArray[np.uint8]  #: (H, W, 3), straight sRGB, 0 to 255
Alpha: TypeAlias = NDArray[np.uint8]  #: (H, W), opacity, 0 to 255
Plane: TypeAlias = NDArray[np.float32]  #: (H, W) or (H, W, C), as its maker says

OPAQUE = 255
_COLOR_DIMENSIONS = 3
#: Rows that are worked on at once where a float copy of a whole picture would be too much.
_BAND_ROWS = 128


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle in an array."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    @property
    def longer_side(self) -> int:
        """The longer of width and height."""
        return max(self.width, self.height)

    def grown(self, by_px: int, shape: tuple[int, ...]) -> "Box":
        """Return the rectangle with a margin on every side, as far as an array of this shape reaches."""
        left, top = max(0, self.x - by_px), max(0, self.y - by_px)
        right = min(shape[1], self.x + self.width + by_px)
        bottom = min(shape[0], self.y + self.height + by_px)
        return Box(left, top, right - left, bottom - top)


def check(rgb: Rgb, alpha: Alpha) -> None:
    """Raise unless an image and its matte belong together.

    Raises
    ------
    ValueError
        If the shapes disagree or either array is not uint8.
    """
    if rgb.ndim != _COLOR_DIMENSIONS or rgb.shape[2] != _COLOR_DIMENSIONS or rgb.shape[:2] != alpha.shape:
        raise ValueError(f"image {rgb.shape} and alpha {alpha.shape} do not belong together")
    if rgb.dtype != np.uint8 or alpha.dtype != np.uint8:
        raise ValueError(f"expected uint8, got {rgb.dtype} and {alpha.dtype}")


def scale_alpha(alpha: Alpha, by: Alpha) -> Alpha:
    """Multiply one opacity by another, rounding to nearest; (H, W) uint8, a new array."""
    product = alpha.astype(np.uint16)
    product *= by
    product += OPAQUE // 2
    product //= OPAQUE
    return product.astype(np.uint8)


def box_of(mask: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box around what is set, or ``None`` if nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    x, y = int(columns[0]), int(rows[0])
    return Box(x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)


def channels_of(rgb: Rgb) -> list[NDArray[np.uint8]]:
    """Return the channels of a picture, each (H, W) and in one piece of memory."""
    return [np.ascontiguousarray(rgb[..., channel]) for channel in range(_COLOR_DIMENSIONS)]


def bands(shape: tuple[int, ...]) -> list[slice]:
    """Return the rows of an array a few at a time, from top to bottom."""
    return [slice(top, min(top + _BAND_ROWS, shape[0])) for top in range(0, shape[0], _BAND_ROWS)]
