"""Blurs that see only the subject: whatever lies under alpha 0 has no say (normalised convolution).

Wide blurs are made at a reduced size, where they cost what a narrow one costs.
"""

import cv2
import numpy as np

from worker.arrays import OPAQUE, Alpha, Plane, Rgb

#: A Gaussian this wide loses nothing visible to linear interpolation between its samples.
ENOUGH_SIGMA_PX = 1.5
#: Keeps the quotient finite where there is no subject at all.
_NOTHING = 1e-6


def blur_within(values: Plane, weights: Plane, sigma_px: float) -> Plane:
    """Blur with a Gaussian that is weighted by opacity.

    Parameters
    ----------
    values, weights
        (H, W) float32; weights in [0, 1].
    sigma_px
        Standard deviation of the Gaussian.

    Returns
    -------
    Plane
        (H, W) float32, a new array; 0 where no weight is near.

    References
    ----------
    Knutsson and Westin, "Normalized and Differential Convolution", CVPR 1993.
    """
    height, width = values.shape
    factor = max(1, min(int(sigma_px / ENOUGH_SIGMA_PX), height, width))
    weighted, small_weights = _reduced(values * weights, factor), _reduced(weights, factor)
    total = cv2.GaussianBlur(weighted, (0, 0), sigma_px / factor)
    mean = total / (cv2.GaussianBlur(small_weights, (0, 0), sigma_px / factor) + np.float32(_NOTHING))
    if factor > 1:
        mean = cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(mean, dtype=np.float32)


def smooth_within(rgb: Rgb, alpha: Alpha, sigma_px: float) -> Rgb:
    """Blur a picture, (H, W, 3) uint8, as ``blur_within`` does; return a new array unless sigma is 0."""
    if not sigma_px:
        return rgb
    weights = opacity_of(alpha)
    smooth = np.empty_like(rgb)
    for channel in range(3):
        # One at a time: a float copy of all channels of a large photo is what memory is lost to.
        blurred = blur_within(rgb[..., channel].astype(np.float32), weights, sigma_px)
        smooth[..., channel] = cv2.convertScaleAbs(blurred)
    return smooth


def opacity_of(alpha: Alpha) -> Plane:
    """Return opacity as weights in [0, 1], (H, W) float32."""
    weights = alpha.astype(np.float32)
    weights *= np.float32(1 / OPAQUE)
    return weights


def _reduced(plane: Plane, factor: int) -> Plane:
    if factor == 1:
        return plane
    height, width = plane.shape
    size = (-(-width // factor), -(-height // factor))
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
