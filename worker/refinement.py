"""Sharpens a matte's edges by the photo: finer than any engine sees, where the photo itself shows the edge.

An engine looks at a photo in small; what is enlarged from there is soft.  Around an edge opacity grows with
the colour: by how much is found in small, and the detail that the colour has beyond it is added to the
opacity.  Where opacity does not follow colour, nothing is added.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Plane, Rgb, bands, check

#: Half a window, px of what the engine saw, and what keeps slopes from following noise; by bench/edges.py.
_REACH_PX, _STEADY = 2, 2e-4
_WINDOW = (2 * _REACH_PX + 1, 2 * _REACH_PX + 1)
#: Below it, and as near to 1, an opacity is none of an edge.
_CLEAR = 2 / OPAQUE
_LEVELS = np.float32(OPAQUE)
_UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # of a symmetric 3 x 3 matrix


def refine_edges(rgb: Rgb, alpha: Alpha, seen_px: int) -> Alpha:
    """Return a matte with sharper edges.

    Parameters
    ----------
    rgb, alpha
        (H, W, 3) and (H, W) uint8: a photo and how opaque its subject is.
    seen_px
        Longer side at which the engine saw the photo.

    Returns
    -------
    Alpha
        (H, W); what is not near an edge is as it was.

    References
    ----------
    He, Sun and Tang, "Guided Image Filtering", PAMI 2013: the local linear model, with a guide in colour; He
    and Sun, "Fast Guided Filter", arXiv 1505.00996: found in small.  Theirs replaces the matte by the model,
    which softens it where colours say nothing; measured on composites ours errs a fifth less.
    """
    check(rgb, alpha)
    guide, matte = _reduced(rgb, seen_px), _reduced(alpha, seen_px)
    is_edge = _grown((matte > _CLEAR) & (matte < 1 - _CLEAR), 1)
    if not is_edge.any():
        return alpha
    return _with_detail(alpha, rgb, guide, _slopes(guide, matte, is_edge), is_edge)


def _reduced(picture: NDArray[np.uint8], side_px: int) -> Plane:
    """Return a picture in small, in [0, 1]; (h, w) or (h, w, 3)."""
    height, width = picture.shape[:2]
    scale = min(1.0, side_px / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32) / _LEVELS


def _grown(mask: NDArray[np.bool_], by_px: int) -> NDArray[np.bool_]:
    kernel = np.ones((2 * by_px + 1, 2 * by_px + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(np.bool_)


def _slopes(guide: Plane, matte: Plane, is_edge: NDArray[np.bool_]) -> Plane:
    """Return by how much opacity grows with each channel of the colour around each pixel; (h, w, 3)."""
    where = _grown(is_edge, _REACH_PX)
    mean_guide, mean_matte = _mean(guide)[where], _mean(matte)[where]
    together = _mean(guide * matte[..., np.newaxis])[where] - mean_guide * mean_matte[:, np.newaxis]
    slopes = np.zeros_like(guide)
    slopes[where] = np.linalg.solve(_variances(guide, mean_guide, where), together[..., np.newaxis])[..., 0]
    return _mean(slopes)


def _variances(guide: Plane, mean: Plane, where: NDArray[np.bool_]) -> Plane:
    """Return how a window's colours vary, made steady; (n, 3, 3)."""
    matrices = np.empty((len(mean), 3, 3), np.float32)
    for one, other in _UPPER:
        product = _mean(guide[..., one] * guide[..., other])[where] - mean[:, one] * mean[:, other]
        matrices[:, one, other] = matrices[:, other, one] = product
    return matrices + np.float32(_STEADY) * np.eye(3, dtype=np.float32)


def _mean(planes: Plane) -> Plane:
    return np.asarray(cv2.blur(planes, _WINDOW), dtype=np.float32)


def _with_detail(alpha: Alpha, rgb: Rgb, guide: Plane, slopes: Plane, is_edge: NDArray[np.bool_]) -> Alpha:
    """Add along edges what the photo's colours say that they did not say in small; (H, W), a new array."""
    refined, (height, width) = alpha.copy(), alpha.shape
    x, column = _positions(width, is_edge.shape[1])
    y, row = _positions(height, is_edge.shape[0])
    for band in bands(alpha.shape):
        is_near = is_edge[row[band]][:, column]
        if not is_near.any():
            continue
        across, down = np.meshgrid(x, y[band])
        seen, slope = (
            cv2.remap(plane, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[is_near]
            for plane in (guide, slopes)
        )
        detail = (slope * (rgb[band][is_near] - seen * _LEVELS)).sum(axis=1)
        refined[band][is_near] = np.rint(np.clip(alpha[band][is_near] + detail, 0, _LEVELS))
    return refined


def _positions(side_px: int, small_px: int) -> tuple[Plane, NDArray[np.intp]]:
    """Return where pixels lie in the small picture, and in which of its pixels; both (side_px,)."""
    middles = (np.arange(side_px, dtype=np.float32) + np.float32(0.5)) * np.float32(small_px / side_px)
    return middles - np.float32(0.5), np.minimum(middles.astype(np.intp), small_px - 1)
