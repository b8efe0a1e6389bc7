"""A grid of equal cells over a picture: averages over each, and cells painted in one value.

As many cells fit as their size asks for, rounded; so a preview and a print have the same cells.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Plane, Rgb, channels_of

#: Keeps the quotient finite where there is no subject at all.
_NOTHING = np.float32(1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A grid over a picture of (height, width)."""

    height: int
    width: int
    rows: int
    columns: int

    @classmethod
    def over(cls, shape: tuple[int, ...], cell_px: float) -> Self:
        """Lay cells of about a size over a picture; none is smaller than a pixel."""
        height, width = shape[:2]
        return cls(height=height, width=width, rows=_count(height, cell_px), columns=_count(width, cell_px))

    def halved(self) -> Self:
        """Return the grid with each cell cut in four, as far as there are pixels."""
        rows, columns = min(2 * self.rows, self.height), min(2 * self.columns, self.width)
        return type(self)(height=self.height, width=self.width, rows=rows, columns=columns)

    def opacity(self, alpha: Alpha) -> Plane:
        """Return each cell's mean opacity, (rows, columns) in [0, 1]."""
        return self._area_mean(alpha.astype(np.float32)) / np.float32(OPAQUE)

    def mean(self, channel: NDArray[np.uint8], alpha: Alpha, opacity: Plane) -> Plane:
        """Return each cell's mean weighted by opacity.

        Parameters
        ----------
        channel, alpha
            (height, width) uint8.
        opacity
            Of each cell, as ``opacity`` returns it.

        Returns
        -------
        Plane
            (rows, columns) float32 in [0, 255]; 0 where a cell has no subject.
        """
        weighted = np.asarray(cv2.multiply(channel, alpha, dtype=cv2.CV_32F), dtype=np.float32)
        total = self._area_mean(weighted)
        mean = total / np.maximum(opacity * np.float32(OPAQUE), _NOTHING)
        return np.asarray(np.minimum(mean, OPAQUE), dtype=np.float32)

    def mean_color(self, rgb: Rgb, alpha: Alpha, opacity: Plane) -> Plane:
        """Return each cell's mean colour weighted by opacity, (rows, columns, 3) float32 in [0, 255]."""
        return np.stack([self.mean(channel, alpha, opacity) for channel in channels_of(rgb)], axis=-1)

    def spread(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Paint each cell in its value; (rows, columns[, C]) becomes (height, width[, C])."""
        size = (self.width, self.height)
        return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)

    def _area_mean(self, plane: Plane) -> Plane:
        size = (self.columns, self.rows)
        return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _count(side_px: int, cell_px: float) -> int:
    return max(1, min(side_px, round(side_px / max(cell_px, 1.0))))
