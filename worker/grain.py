"""Random textures whose grains have a size; the same for the same generator."""

import cv2
import numpy as np

from worker.arrays import Plane

#: Keeps the quotient finite where a texture is one grain.
_NOTHING = 1e-3


def noise(shape: tuple[int, ...], grain_px: float, random: np.random.Generator) -> Plane:
    """Return Gaussian noise of mean 0 and deviation 1 whose grains are so wide; (H, W)."""
    height, width = shape
    size = _count(width, grain_px), _count(height, grain_px)
    grains = random.standard_normal(size[::-1], dtype=np.float32)
    if size == (width, height):
        return grains
    smooth = cv2.resize(grains, (width, height), interpolation=cv2.INTER_CUBIC)
    return _evened(np.asarray(smooth, dtype=np.float32))


def _count(side_px: float, grain_px: float) -> int:
    return max(1, round(side_px / max(grain_px, 1.0)))


def _evened(texture: Plane) -> Plane:
    """Bring a texture to mean 0 and deviation 1, in place: interpolation averages, and so weakens."""
    (mean,), (deviation,) = cv2.meanStdDev(texture)
    texture -= np.float32(mean[0])
    texture /= np.float32(max(deviation[0], _NOTHING))
    return texture
