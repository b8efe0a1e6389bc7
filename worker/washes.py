"""Pictures in flat washes: every place has the mean colour of that side of it which varies least."""

import math

import cv2
import numpy as np

from worker.arrays import Plane

_ROUNDS = 2
_DIRECTIONS = 8
#: Of the Gaussian that stands for a side, in the brush's radius.
_SIGMA = 0.6
#: Keeps the weight of a side without any variance finite.
_CALM = np.float32(1e-4)
_NOTHING = np.float32(1e-6)
_TINY = np.finfo(np.float32).tiny


def wash(colors: Plane, opacity: Plane, radius: float) -> Plane:
    """Paint a picture with a round brush.

    Parameters
    ----------
    colors, opacity
        (h, w, 3) straight and (h, w), float32 in [0, 1]; colours count as far as they are opaque.
    radius
        Of the brush, in pixels.

    Returns
    -------
    Plane
        (h, w, 3), a new array; the subject's colours reach about a radius beyond it.

    References
    ----------
    Papari, Petkov and Campisi, "Artistic Edge and Corner Enhancing Smoothing", IEEE Transactions on Image
    Processing 2007.
    """
    for _ in range(_ROUNDS):
        colors = _washed(colors, opacity, radius)
    return colors


def _washed(colors: Plane, opacity: Plane, radius: float) -> Plane:
    mean, trust = _sides(colors, opacity, radius)
    reach = math.ceil(radius)
    mean, trust = (
        np.pad(p, [(reach, reach)] * 2 + [(0, 0)] * (p.ndim - 2), mode="edge") for p in (mean, trust)
    )
    total, weights = np.zeros_like(colors), np.zeros_like(opacity)
    for turn in np.arange(_DIRECTIONS) * 2 * math.pi / _DIRECTIONS:
        down, right = (reach + round(radius * part) for part in (math.sin(turn), math.cos(turn)))
        side = slice(down, down + opacity.shape[0]), slice(right, right + opacity.shape[1])
        total += mean[side] * trust[side][..., np.newaxis]
        weights += trust[side]
    total /= np.maximum(weights, _TINY)[..., np.newaxis]
    return total


def _sides(colors: Plane, opacity: Plane, radius: float) -> tuple[Plane, Plane]:
    """Return the mean colour around each pixel, and how far to trust it: the more, the less it varies."""
    sigma, shown = _SIGMA * radius, opacity[..., np.newaxis]
    weight = cv2.GaussianBlur(opacity, (0, 0), sigma) + _NOTHING
    mean = cv2.GaussianBlur(colors * shown, (0, 0), sigma) / weight[..., np.newaxis]
    squares = cv2.GaussianBlur((colors * colors).sum(axis=-1) * opacity, (0, 0), sigma) / weight
    variance = np.maximum(squares - (mean * mean).sum(axis=-1), 0)
    trust = weight / np.square(np.square(_CALM + variance))
    return np.asarray(mean, dtype=np.float32), np.asarray(trust, dtype=np.float32)
