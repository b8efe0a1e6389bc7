"""Estimates the subject's own colour where it is mixed with the background, so that no rim is seen.

Where the subject is opaque the photo's colour stands; where there is none, RGB is 0.
"""

import cv2
import numpy as np

from worker.arrays import OPAQUE, Alpha, Box, Plane, Rgb, box_of, check

#: The two blurs are made at this size at most: they only say what is near.
_SMALL_SIDE_PX = 1024
#: Windows of the passes, px at the small size: the first reaches over wide soft rims, the last is sharp.  The
#: paper has no middle one; with it the error along rims of 30 px falls by a fifth (measured on scenes).
_WINDOWS_PX = (91, 45, 7)
_BAND_ROWS = 256
#: Background seen around the subject, as a share of its longer side.
_MARGIN, _LEAST_MARGIN_PX = 0.05, 8
_NOTHING = np.float32(1e-5)
_LEVELS = np.float32(OPAQUE)


def estimate_foreground(rgb: Rgb, alpha: Alpha) -> Rgb:
    """Return the colour of the subject alone.

    Parameters
    ----------
    rgb, alpha
        (H, W, 3) and (H, W) uint8: a photo and how opaque its subject is.

    Returns
    -------
    Rgb
        (H, W, 3) straight sRGB, a new array.

    References
    ----------
    Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021.
    """
    check(rgb, alpha)
    foreground = np.zeros_like(rgb)
    box = box_of(alpha > 0)
    if box:
        part = _surroundings(box, alpha).slices
        foreground[part] = rgb[part]
        _unmix_all(foreground[part], alpha[part])
        foreground[part][alpha[part] == 0] = 0
    return foreground


def _surroundings(box: Box, alpha: Alpha) -> Box:
    """Return the subject's box with enough of the background around it to know its colour."""
    return box.grown(max(_LEAST_MARGIN_PX, round(box.longer_side * _MARGIN)), alpha.shape)


def _unmix_all(colour: Rgb, alpha: Alpha) -> None:
    """Replace every mixed pixel of a photo by the subject's colour, in place."""
    if not np.any((alpha > 0) & (alpha < OPAQUE)):
        return
    near = _blur_fusion(*_small(colour, alpha))
    for top in range(0, len(colour), _BAND_ROWS):
        _unmix(colour, alpha, near, slice(top, top + _BAND_ROWS))


def _small(rgb: Rgb, alpha: Alpha) -> tuple[Plane, Plane]:
    """Return the photo and its matte at the small size, float32 in [0, 1]; (h, w, 3), (h, w, 1)."""
    height, width = alpha.shape
    scale = min(1.0, _SMALL_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    matte = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return image / _LEVELS, matte[..., np.newaxis] / _LEVELS


def _blur_fusion(image: Plane, matte: Plane) -> tuple[Plane, Plane]:
    """Return the colours of subject and background near each pixel; both (h, w, 3) in [0, 1]."""
    foreground = background = image
    for window_px in _WINDOWS_PX:
        near_foreground = _mean_near(foreground, matte, window_px)
        near_background = _mean_near(background, 1 - matte, window_px)
        foreground = _explained(image, matte, near_foreground, near_background)
        background = near_background
    return near_foreground, near_background


def _mean_near(values: Plane, weights: Plane, window_px: int) -> Plane:
    """Return the weighted mean over a square window; (h, w, 3)."""
    window = (window_px, window_px)
    total = cv2.blur(values * weights, window)
    mean = total / (cv2.blur(weights, window)[..., np.newaxis] + _NOTHING)
    return np.asarray(mean, dtype=np.float32)


def _explained(image: Plane, matte: Plane, foreground: Plane, background: Plane) -> Plane:
    """Return the foreground, moved by what subject and background together leave unexplained."""
    rest = image - matte * foreground - (1 - matte) * background
    return np.asarray(np.clip(foreground + matte * rest, 0, 1), dtype=np.float32)


def _unmix(foreground: Rgb, alpha: Alpha, near: tuple[Plane, Plane], band: slice) -> None:
    """Replace the mixed pixels of a band of rows, in place."""
    is_mixed = (alpha[band] > 0) & (alpha[band] < OPAQUE)
    if not is_mixed.any():
        return
    near_foreground, near_background = (_enlarged(plane, alpha.shape, band)[is_mixed] for plane in near)
    image = foreground[band][is_mixed].astype(np.float32) / _LEVELS  # (n, 3)
    matte = alpha[band][is_mixed].astype(np.float32)[:, np.newaxis] / _LEVELS  # (n, 1)
    colour = _explained(image, matte, near_foreground, near_background)
    foreground[band][is_mixed] = np.rint(colour * _LEVELS)


def _enlarged(small: Plane, shape: tuple[int, ...], band: slice) -> Plane:
    """Return a band of rows of a small picture's enlargement; (rows, W, 3)."""
    height, width = shape
    rows = np.arange(*band.indices(height), dtype=np.float32)
    y = (rows + 0.5) * np.float32(small.shape[0] / height) - 0.5
    x = (np.arange(width, dtype=np.float32) + 0.5) * np.float32(small.shape[1] / width) - 0.5
    across, down = np.meshgrid(x, y)
    large = cv2.remap(small, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(large, dtype=np.float32)
