"""Random textures whose grains have a size; the same for the same generator."""

import math

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


def strokes(
    shape: tuple[int, ...], width_px: float, length_px: float, angle_deg: float, random: np.random.Generator
) -> Plane:
    """Return noise of mean 0 and deviation 1 whose grains are strokes in one direction; (H, W)."""
    height, width = shape
    reach_px, angle = math.hypot(height, width), math.radians(angle_deg)
    counts = _count(reach_px, width_px), _count(reach_px, length_px)
    grains = random.standard_normal(counts, dtype=np.float32)
    # Where in the grains a pixel finds its own: turned about the middle, then in strokes' sizes.
    scale = np.array([[counts[1] / reach_px], [counts[0] / reach_px]])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) * scale
    start = np.array([counts[1] - 1, counts[0] - 1]) / 2 - turn.dot([(width - 1) / 2, (height - 1) / 2])
    drawn = cv2.warpAffine(
        grains,
        np.column_stack((turn, start)),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return _evened(np.asarray(drawn, dtype=np.float32))


def _count(side_px: float, grain_px: float) -> int:
    return max(1, round(side_px / max(grain_px, 1.0)))


def _evened(texture: Plane) -> Plane:
    """Bring a texture to mean 0 and deviation 1, in place: interpolation averages, and so weakens."""
    (mean,), (deviation,) = cv2.meanStdDev(texture)
    texture -= np.float32(mean[0])
    texture /= np.float32(max(deviation[0], _NOTHING))
    return texture
