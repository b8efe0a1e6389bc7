"""Estimates the subject's own colour where it is mixed with the background, so that no rim is seen.

Where the subject is opaque the photo's colour stands; where there is none, RGB is 0.  What colours are near is
found out on a small picture, level by level; the photo itself is touched only where it is mixed.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Box, Plane, Rgb, box_of, check

#: The levels end at this size: finer ones change less than a tenth of the error (measured on scenes).
_SMALL_SIDE_PX = 384
#: Levels up to this side are iterated until they hardly change, larger ones need to follow them only.
_TINY_SIDE_PX = 32
_TINY_ITERATIONS, _ITERATIONS = 10, 2
#: How much neighbours are alike where opacity does not change; where it does, they are as much more alike.
_ALIKE = np.float32(1e-5)
#: A pixel that is this opaque has the subject's colour, one that is this transparent the background's.
_NEARLY = 0.9
#: So many pixels at a time stay in the processor's cache.
_PIECE_PX = 1 << 14
#: Background seen around the subject, as a share of its longer side.
_MARGIN, _LEAST_MARGIN_PX = 0.05, 8
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
    Germer, Uelwer, Conrad and Harmeling, "Fast Multi-Level Foreground Estimation", ICPR 2020.
    """
    check(rgb, alpha)
    foreground = np.zeros_like(rgb)
    box = box_of(alpha > 0)
    if box:
        part = _surroundings(box, alpha).slices
        cv2.copyTo(rgb[part], alpha[part], foreground[part])
        _unmix(rgb[part], alpha[part], foreground[part])
    return foreground


def _surroundings(box: Box, alpha: Alpha) -> Box:
    """Return the subject's box with enough of the background around it to know its colour."""
    return box.grown(max(_LEAST_MARGIN_PX, round(box.longer_side * _MARGIN)), alpha.shape)


def _unmix(rgb: Rgb, alpha: Alpha, foreground: Rgb) -> None:
    """Write the subject's colour wherever a photo is mixed."""
    places = np.flatnonzero((alpha - np.uint8(1)) < OPAQUE - 1)  # 0 becomes 255
    if places.size == 0:
        return
    near = _levels(*_small(rgb, alpha))
    for first in range(0, places.size, _PIECE_PX):
        y, x = np.divmod(places[first : first + _PIECE_PX], alpha.shape[1])
        foreground[y, x] = _explained(rgb, alpha, near, y, x)


def _small(rgb: Rgb, alpha: Alpha) -> tuple[Plane, Plane]:
    """Return the photo and its matte at the small size, float32 in [0, 1]; (h, w, 3), (h, w)."""
    height, width = alpha.shape
    scale = min(1.0, _SMALL_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    matte = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return image / _LEVELS, matte / _LEVELS


def _levels(image: Plane, matte: Plane) -> tuple[Plane, Plane]:
    """Return the colours of subject and background near each pixel; both (h, w, 3) in [0, 1]."""
    height, width = matte.shape
    near = tuple(_mean(image, is_pure) for is_pure in (matte > _NEARLY, matte < 1 - _NEARLY))
    count = max(1, int(np.ceil(np.log2(max(height, width)))))
    for level in range(count + 1):
        size = round(width ** (level / count)), round(height ** (level / count))
        near = _solved(_resized(image, size), _resized(matte, size), *(_resized(n, size) for n in near))
    return near


def _mean(image: Plane, mask: NDArray[np.bool_]) -> Plane:
    """Return the mean colour of what is set, black if nothing is; (1, 1, 3)."""
    mean = image[mask].mean(axis=0, dtype=np.float32) if mask.any() else np.zeros(3, np.float32)
    return np.asarray(mean).reshape(1, 1, 3)


def _resized(plane: Plane, size: tuple[int, int]) -> Plane:
    is_smaller = size[0] < plane.shape[1]
    resized = cv2.resize(plane, size, interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32).reshape(size[1], size[0], *plane.shape[2:])


def _solved(image: Plane, matte: Plane, foreground: Plane, background: Plane) -> tuple[Plane, Plane]:
    """Bring both colours of every pixel closer to explaining it and to being like its neighbours'."""
    alike = [_ALIKE + np.abs(matte - near) for near in _neighbours(matte)]
    total = sum(alike[1:], alike[0])
    weights = [(one / total)[..., np.newaxis] for one in alike]
    subject = matte[..., np.newaxis]
    shares = _shares(subject, total[..., np.newaxis])
    is_tiny = max(matte.shape) <= _TINY_SIDE_PX
    for _ in range(_TINY_ITERATIONS if is_tiny else _ITERATIONS):
        foreground, background = (_weighted_mean(c, weights) for c in (foreground, background))
        rest = image - subject * foreground - (1 - subject) * background
        foreground = np.clip(foreground + shares[0] * rest, 0, 1)
        background = np.clip(background + shares[1] * rest, 0, 1)
    return foreground, background


def _shares(matte: Plane, alike: Plane) -> tuple[Plane, Plane]:
    """Return how much of what neighbours leave unexplained goes to subject and to background.

    It is the solution of the paper's two equations in two unknowns, written as a correction.
    """
    norm = matte**2 + (1 - matte) ** 2 + alike
    return matte / norm, (1 - matte) / norm


def _neighbours(plane: Plane) -> tuple[Plane, Plane, Plane, Plane]:
    """Return what lies left, right, above and below of each pixel; the edge is its own neighbour."""
    around = np.pad(plane, ((1, 1), (1, 1), *((0, 0),) * (plane.ndim - 2)), mode="edge")
    return around[1:-1, :-2], around[1:-1, 2:], around[:-2, 1:-1], around[2:, 1:-1]


def _weighted_mean(colour: Plane, weights: list[Plane]) -> Plane:
    left, right, above, below = (w * near for w, near in zip(weights, _neighbours(colour), strict=True))
    return left + right + above + below


def _explained(
    rgb: Rgb, alpha: Alpha, near: tuple[Plane, Plane], y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.uint8]:
    """Return the subject's colour at some pixels of the photo, from the colours near them; (n, 3)."""
    foreground, background = (_sampled(plane, alpha.shape, y, x) for plane in near)
    matte = alpha[y, x].astype(np.float32) / _LEVELS
    alike = 4 * _ALIKE + _changes(alpha, y, x)
    image, subject = rgb[y, x].astype(np.float32) / _LEVELS, matte[:, np.newaxis]
    rest = image - subject * foreground - (1 - subject) * background
    share, _ = _shares(subject, alike[:, np.newaxis])
    return np.rint(np.clip(foreground + share * rest, 0, 1) * _LEVELS).astype(np.uint8)


def _changes(alpha: Alpha, y: NDArray[np.intp], x: NDArray[np.intp]) -> Plane:
    """Return by how much opacity changes towards the four neighbours, added up; (n,)."""
    here, total = alpha[y, x].astype(np.int16), np.zeros(len(y), np.int16)
    for down, right in ((0, -1), (0, 1), (-1, 0), (1, 0)):
        beside = alpha[
            np.clip(y + down, 0, alpha.shape[0] - 1), np.clip(x + right, 0, alpha.shape[1] - 1)
        ]
        total += np.abs(here - beside)
    return total.astype(np.float32) / _LEVELS


def _sampled(small: Plane, shape: tuple[int, ...], y: NDArray[np.intp], x: NDArray[np.intp]) -> Plane:
    """Return a small picture's colours at places of the large one; (n, 3)."""
    down = (y.astype(np.float32) + 0.5) * np.float32(small.shape[0] / shape[0]) - 0.5
    across = (x.astype(np.float32) + 0.5) * np.float32(small.shape[1] / shape[1]) - 0.5
    found = cv2.remap(small, across[None], down[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found[0], dtype=np.float32)
