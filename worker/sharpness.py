"""Measures how blurred a subject is, by its strongest edges, so that noise is not taken for detail."""

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
        In pixels at that size; 0 for edges as sharp as pixels, ``None`` where none stands out of the noise.

    References
    ----------
    Zhuo and Sim, "Defocus Map Estimation from a Single Image", Pattern Recognition 2011: a blurred edge loses
    less of its gradient to another blur than a sharp one.
    Immerkær, "Fast Noise Variance Estimation", Computer Vision and Image Understanding 1996.
    """
    grey = _reduced(_grey(rgb), scale).astype(np.float32)
    inside = _inside(_reduced(alpha, scale))
    narrow, wide = (_gradient(grey, sigma) for sigma in (_NARROW_PX, _WIDE_PX))
    edges = _edges(narrow, inside, _noise(grey, inside))
    if edges.sum() < _LEAST_EDGES:
        return None
    lost = np.clip(narrow[edges] / np.maximum(wide[edges], 1e-6), 1.001, _WIDE_PX / _NARROW_PX)
    variance = (_WIDE_PX**2 - (lost * _NARROW_PX) ** 2) / (lost**2 - 1)
    return float(np.sqrt(np.quantile(variance, _QUANTILE)))


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


def _gradient(grey: Plane, sigma_px: float) -> Plane:
    """Return how steep a picture is once it has been blurred; (H, W), levels a pixel."""
    soft = cv2.GaussianBlur(grey, (0, 0), sigma_px)
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.asarray(cv2.magnitude(across, down), dtype=np.float32)


def _noise(grey: Plane, inside: NDArray[np.bool_]) -> float:
    """Return the standard deviation of what differs from pixel to pixel, in levels."""
    if not inside.any():
        return 0.0
    rough = np.abs(cv2.filter2D(grey, cv2.CV_32F, _LAPLACIAN)[inside])
    return float(np.median(rough)) / _MEDIAN_OF_GAUSSIAN / _LAPLACIAN_GAIN


def _edges(gradient: Plane, inside: NDArray[np.bool_], noise: float) -> NDArray[np.bool_]:
    """Return where a gradient is an edge's, at the edge's steepest."""
    if not inside.any():
        return inside
    of_noise = noise / (np.sqrt(8 * np.pi) * _NARROW_PX**2)  # what the narrow Gaussian leaves of it
    least = max(float(np.quantile(gradient[inside], _STRONGEST)), _TIMES_NOISE * of_noise, _LEAST_GRADIENT)
    highest_near = cv2.dilate(gradient, np.ones((3, 3), np.uint8))
    return np.asarray(inside & (gradient >= least) & (gradient >= highest_near), dtype=np.bool_)
