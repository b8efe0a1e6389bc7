"""Measures how blurred a subject is, by its strongest edges, so that noise is not taken for detail.

A camera that moved leaves the edges along its way sharp: the direction of the most blur decides.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Plane, Rgb

#: Gaussians whose gradients are compared; the narrow one quiets noise, too.
_NARROW_PX, _WIDE_PX = 1.0, 2.0
#: Pixels this near to the subject's edge would see what is behind it.
_RIM_PX = 6
#: The strongest tenth of the gradients are edges, if they stand out of noise and of rounding.
_STRONGEST, _TIMES_NOISE, _LEAST_GRADIENT = 0.9, 6.0, 0.5
#: Of the strongest of all directions: what is weaker is shading, and says nothing about focus.
_LEAST_SHARE = 0.05
_DIRECTIONS = 4
#: The sharper quarter of the edges speaks for the subject: an animal in focus has blurred parts too.
_QUANTILE = 0.25
_LEAST_EDGES = 10

_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
#: Standard deviation of the Laplacian over that of noise, and the median of a Gaussian's absolute values.
_LAPLACIAN_GAIN, _MEDIAN_OF_GAUSSIAN = 6.0, 0.6745


def measure_blur(rgb: Rgb, alpha: Alpha, scale: float = 1.0) -> float | None:
    """Return the standard deviation of the blur of a subject's edges.

    Parameters
    ----------
    rgb, alpha
        (H, W, 3) and (H, W): a subject and how opaque it is.
    scale
        At most 1: the size at which it is looked at.

    Returns
    -------
    float or None
        In pixels at that size, across the edges of the most blurred direction; 0 for edges as sharp as
        pixels, ``None`` where none stands out of the noise.

    References
    ----------
    Zhuo and Sim, "Defocus Map Estimation from a Single Image", Pattern Recognition 2011: a blurred edge loses
    less of its gradient to another blur than a sharp one.
    Immerkær, "Fast Noise Variance Estimation", Computer Vision and Image Understanding 1996.
    """
    grey = _reduced(_grey(rgb), scale).astype(np.float32)
    inside = _inside(_reduced(alpha, scale))
    if not inside.any():
        return None
    (narrow, direction), (wide, _) = (_gradient(grey, sigma) for sigma in (_NARROW_PX, _WIDE_PX))
    least = _least_edge(narrow[inside], _noise(grey, inside))
    at_edges = inside & (narrow >= cv2.dilate(narrow, np.ones((3, 3), np.uint8)))
    blurs = [
        _blur(narrow[edges], wide[edges])
        for number in range(_DIRECTIONS)
        if (edges := _strongest(narrow, inside & (direction == number), least) & at_edges).sum()
        >= _LEAST_EDGES
    ]
    return max(blurs, default=None)


def _grey(rgb: Rgb) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _reduced(plane: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale >= 1:
        return plane
    height, width = plane.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _inside(alpha: Alpha) -> NDArray[np.bool_]:
    """Return where neither the subject's edge nor the picture's is near."""
    opaque = np.pad((alpha == OPAQUE).astype(np.uint8), 1)
    kernel = np.ones((2 * _RIM_PX + 1, 2 * _RIM_PX + 1), np.uint8)
    return np.asarray(cv2.erode(opaque, kernel)[1:-1, 1:-1], dtype=np.bool_)


def _gradient(grey: Plane, sigma_px: float) -> tuple[Plane, NDArray[np.uint8]]:
    """Return how steep a picture is once it has been blurred, in levels a pixel, and in which direction.

    Both (H, W); directions are numbered from across to down and on to across again.
    """
    soft = cv2.GaussianBlur(grey, (0, 0), sigma_px)
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8)
    steepness, degrees = cv2.cartToPolar(across, down, angleInDegrees=True)
    direction = np.rint(degrees * np.float32(_DIRECTIONS / 180)).astype(np.uint8) % _DIRECTIONS
    return np.asarray(steepness, dtype=np.float32), direction


def _noise(grey: Plane, inside: NDArray[np.bool_]) -> float:
    """Return the standard deviation of what differs from pixel to pixel, in levels."""
    rough = np.abs(cv2.filter2D(grey, cv2.CV_32F, _LAPLACIAN)[inside])
    return float(np.median(rough)) / _MEDIAN_OF_GAUSSIAN / _LAPLACIAN_GAIN


def _least_edge(gradients: Plane, noise: float) -> float:
    """Return from which gradient on something may be an edge, given (n,) of a subject."""
    of_noise = noise / (np.sqrt(8 * np.pi) * _NARROW_PX**2)  # what the narrow Gaussian leaves of it
    strong = float(np.quantile(gradients, _STRONGEST))
    return float(max(_LEAST_SHARE * strong, _TIMES_NOISE * of_noise, _LEAST_GRADIENT))


def _strongest(gradient: Plane, where: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """Return where a gradient is among the strongest, of those in one place."""
    if not where.any():
        return where
    return where & (gradient >= max(least, float(np.quantile(gradient[where], _STRONGEST))))


def _blur(narrow: Plane, wide: Plane) -> float:
    """Return the standard deviation of the sharper edges' blur; gradients (n,) after both Gaussians."""
    lost = np.clip(narrow / np.maximum(wide, 1e-6), 1.001, _WIDE_PX / _NARROW_PX)
    variance = (_WIDE_PX**2 - (lost * _NARROW_PX) ** 2) / (lost**2 - 1)
    return float(np.sqrt(np.quantile(variance, _QUANTILE)))
