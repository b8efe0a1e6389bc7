"""OpenCV's GrabCut with a centre prior: needs no download, knows nothing about animals.

It sees the photo at 320 px whatever its size, so that it costs the same for a snapshot and for 60 megapixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Rgb
from worker.matting import Matting

_SIDE_PX = 320
_ITERATIONS = 3
_TEXTURE_PX = 7
#: A subject differs from what is around it: levels across its outline, of which the tests' photos have 50 and
#: more; noise, shading and vignettes have 7 and less, and divide as readily.
_STANDS_OUT, _ACROSS_PX = 8, 7
#: Pieces smaller than this share of the largest are specks.
_SPECK = 0.05

# An ellipse a little below the centre, in half widths and half heights.  Found by looking at photos: inside
# the core is subject, beyond the corner is not, and the rest is for the colours to decide.
_CENTRE_Y = 0.05
_RADIUS_X, _RADIUS_Y = 0.8, 0.9
_CORE, _CORNER = 0.4, 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class GrabCut:
    """Separates what is in the middle from what is not, by colour alone.

    References
    ----------
    Rother, Kolmogorov and Blake, "GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts",
    SIGGRAPH 2004.
    """

    name: str = "grabcut"
    version: str = f"3 (OpenCV {cv2.__version__})"
    checkpoint_sha256: str | None = None
    glimpse_side_px: int = _SIDE_PX

    def alpha(self, rgb: Rgb) -> Matting:
        """Implement ``MattingModel``."""
        return self.alpha_of_glimpse(rgb, *rgb.shape[:2])

    def alpha_of_glimpse(self, small: Rgb, height: int, width: int) -> Matting:
        """Implement ``Glancing``."""
        size = _working_size(width, height)
        small = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        calm = _calm(small)
        mask = _without_specks(_cut(calm))
        if not _stands_out(calm, mask):
            return Matting(alpha=np.zeros((height, width), np.uint8), has_subject=False)
        return Matting(alpha=_enlarge(mask, width, height), has_subject=True, seen_px=_SIDE_PX)


def _working_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _SIDE_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _calm(small: Rgb) -> NDArray[np.uint8]:
    """Return Lab without texture, in which the same animal comes out alike with and without sensor noise."""
    return np.asarray(cv2.cvtColor(cv2.medianBlur(small, _TEXTURE_PX), cv2.COLOR_RGB2LAB), dtype=np.uint8)


def _prior(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.ogrid[:height, :width]
    across = ((x + 0.5) / width * 2 - 1) / _RADIUS_X
    down = ((y + 0.5) / height * 2 - 1 - _CENTRE_Y) / _RADIUS_Y
    distance = np.hypot(across, down)
    prior = np.where(distance < 1, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    prior[distance < _CORE] = cv2.GC_FGD
    prior[distance > _CORNER] = cv2.GC_BGD
    return prior.astype(np.uint8)


def _cut(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 1 where the subject is; (h, w) uint8."""
    labels = _prior(*small.shape[:2])
    cv2.setRNGSeed(0)  # of this thread: the colour models start from random pixels
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    nowhere = (0, 0, 0, 0)
    cv2.grabCut(small, labels, nowhere, background, foreground, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)


def _stands_out(calm: NDArray[np.uint8], mask: NDArray[np.uint8]) -> bool:
    """Return whether half of a mask's outline runs where colours change; of all, if it fills the photo."""
    outline = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(bool)
    across = cv2.morphologyEx(calm, cv2.MORPH_GRADIENT, np.ones((_ACROSS_PX, _ACROSS_PX), np.uint8))
    steps = across.max(axis=2)
    return bool(mask.any() and np.median(steps[outline] if outline.any() else steps) >= _STANDS_OUT)


def _without_specks(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Drop pieces, then close holes, that are small beside the largest piece."""
    pieces = _large_pieces(mask, mask.sum() * _SPECK)
    holes = 1 - pieces
    return 1 - _large_pieces(holes, pieces.sum() * _SPECK)


def _large_pieces(mask: NDArray[np.uint8], least_px: float) -> NDArray[np.uint8]:
    _, labels, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    is_large = facts[:, cv2.CC_STAT_AREA] >= least_px
    is_large[0] = False  # what is not set at all
    return np.asarray(is_large[labels], dtype=np.uint8)


def _enlarge(mask: NDArray[np.uint8], width: int, height: int) -> Alpha:
    """Return the mask at the photo's size, its steps rounded off and its edge about a working pixel wide."""
    soft = cv2.GaussianBlur(mask * np.uint8(OPAQUE), (0, 0), 1.2)
    large = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
    levels = np.arange(OPAQUE + 1, dtype=np.float32)
    steeper = np.clip((levels - OPAQUE / 2) * 2 + OPAQUE / 2, 0, OPAQUE).round().astype(np.uint8)
    return np.asarray(cv2.LUT(large, steeper), dtype=np.uint8)
