"""Estimates the subject's own colour where it is mixed with the background, so that no rim is seen.

Where the subject is opaque the photo's colour stands; where there is none, RGB is 0.  Which colours are near
is found out on a small picture, level by level; larger ones are looked at only where they are mixed.
"""

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Box, Plane, Rgb, check
from worker.explained_pixels import Mixed, explain, write_found, write_subject
from worker.mixed_pixels import ALIKE, LEVELS, Colours, Scale, find_colours, shares_of

#: Up to this size a level is looked at as a whole.
SMALL_SIDE_PX = 128
#: Up to so many pixels neighbours are asked at every size: of few there may be none that is opaque at half.
_FEW_PX = 1 << 20
#: Levels up to this side are iterated until they hardly change, larger ones need to follow them only.
_TINY_SIDE_PX = 32
_TINY_ROUNDS, _ROUNDS, _MANY_PIXELS_ROUNDS = 20, 8, 7
#: A pixel that is this opaque has the subject's colour, one that is this transparent the background's.
NEARLY = 0.9
#: By how much the mean opacities of subject and background must differ for what both hold to be told apart.
_LEAST_CONTRAST = 0.1
#: Background seen around the subject, as a share of its longer side.
_MARGIN, _LEAST_MARGIN_PX = 0.05, 8


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
    height, width = alpha.shape
    if height % 2 or width % 2:
        sides = 0, height % 2, 0, width % 2
        even = (cv2.copyMakeBorder(p, *sides, cv2.BORDER_REPLICATE) for p in (rgb, alpha))
        rgb, alpha = (np.asarray(plane, np.uint8) for plane in even)
    foreground = np.zeros_like(rgb, order="C")
    cv2.copyTo(rgb, alpha, foreground)
    _unmix(np.ascontiguousarray(rgb), np.ascontiguousarray(alpha), foreground)
    return np.ascontiguousarray(foreground[:height, :width])


def _unmix(rgb: Rgb, alpha: Alpha, foreground: Rgb) -> None:
    """Write the subject's colour wherever a photo with even sides is mixed."""
    mixed = np.asarray(cv2.inRange(alpha, 1, OPAQUE - 1), dtype=np.uint8)
    if not mixed.any():
        return
    box = surroundings(alpha)
    seen = Scale(rgb=rgb[box.slices], alpha=alpha[box.slices], mixed=mixed[box.slices])
    if is_small(*seen.alpha.shape):
        for found in _found(seen, 0, _ROUNDS):
            write_found(found.moved(box.y, box.x, alpha.shape[1]), foreground)
    else:
        for found in _found(seen.halved(), 1, _MANY_PIXELS_ROUNDS):
            write_subject(rgb, alpha, found.moved(box.y // 2, box.x // 2, alpha.shape[1] // 2), foreground)


def is_small(height: int, width: int) -> bool:
    """Tell whether neighbours are asked at every size, rather than at all but the two largest.

    So they are in a strip of any length: halved, it loses its few rows before its many columns.
    """
    return height * width <= _FEW_PX or min(height, width) <= SMALL_SIDE_PX


def surroundings(alpha: Alpha) -> Box:
    """Return the subject's box with enough of the background around it to know its colour; all of it even."""
    box = Box(*cv2.boundingRect(alpha))
    box = box.grown(max(_LEAST_MARGIN_PX, round(box.longer_side * _MARGIN)), alpha.shape)
    x, y = box.x - box.x % 2, box.y - box.y % 2
    right, bottom = box.x + box.width, box.y + box.height
    return Box(x, y, right + right % 2 - x, bottom + bottom % 2 - y)


def _found(scale: Scale, unasked: int, rounds: int) -> Iterator[Mixed]:
    """Return both colours at the mixed pixels of a photo, found on small pictures first; some at a time.

    At so many of the largest sizes, none or one, neighbours are not asked; at others so often.
    """
    halvings = max(0, math.ceil(math.log2(max(scale.alpha.shape) / SMALL_SIDE_PX)))
    border = 1 << halvings
    scales = [_framed(scale, border)]
    for _ in range(halvings):
        scales.append(scales[-1].halved())
    coarse = scales.pop()
    rows = slice(None, None, 1 + unasked)  # of a large photo every other tells the means
    colours = _whole(coarse, _means(scale.rgb[rows], scale.alpha[rows]))
    while len(scales) > unasked:
        coarse = scales.pop()
        colours = find_colours(coarse, colours, rounds)
    for found in Mixed.of(coarse, colours).pieces():
        fine = explain(scales[0], found) if scales else found
        yield fine.moved(-border, -border, scale.alpha.shape[1])


def _framed(scale: Scale, border: int) -> Scale:
    """Return a photo within a border that is left of it however often it is halved."""
    height, width = scale.alpha.shape
    sides = border, border + -height % border, border, border + -width % border
    return Scale(
        rgb=np.asarray(cv2.copyMakeBorder(scale.rgb, *sides, cv2.BORDER_REPLICATE), np.uint8),
        alpha=np.asarray(cv2.copyMakeBorder(scale.alpha, *sides, cv2.BORDER_REPLICATE), np.uint8),
        mixed=np.asarray(cv2.copyMakeBorder(scale.mixed, *sides, cv2.BORDER_CONSTANT), np.uint8),
    )


def _means(rgb: Rgb, alpha: Alpha) -> Plane:
    """Return the mean colours of subject and background; (2, 3, 1, 1)."""
    counts = cv2.calcHist([alpha], [0], None, [OPAQUE + 1], [0, OPAQUE + 1]).ravel()
    levels = np.flatnonzero(counts)
    is_least = levels <= OPAQUE - NEARLY * (OPAQUE - levels[0])
    both = levels[levels >= NEARLY * levels[-1]], levels[is_least]
    chosen = (cv2.inRange(alpha, int(those[0]), int(those[-1])) for those in both)
    means = np.asarray([cv2.mean(rgb, pixels)[:3] for pixels in chosen], np.float32)
    opacities = [float(np.average(those, weights=counts[those])) / OPAQUE for those in both]
    moved = apart(*opacities)[:, np.newaxis] * (means[0] - means[1])
    return np.asarray(means + moved, np.float32)[..., np.newaxis, np.newaxis]


def apart(most: float, least: float) -> NDArray[np.float32]:
    """Return by how much of their difference two mean colours are to be moved to be unmixed; (2,).

    Opacities are those where it is most opaque and where it is least: a subject may have no opaque pixel.
    """
    contrast = most - least
    share = contrast / (contrast**2 + _LEAST_CONTRAST**2)
    return np.array([(1 - most) * share, -least * share], np.float32)


def _whole(scale: Scale, near: Plane) -> Colours:
    """Return the colours of subject and background near every pixel of a small picture, given their means."""
    image = np.ascontiguousarray(scale.rgb.transpose(2, 0, 1), np.float32)  # (3, h, w)
    matte = np.asarray(scale.alpha / LEVELS, np.float32)
    height, width = matte.shape
    count = max(1, int(np.ceil(np.log2(max(height, width)))))
    for level in range(count + 1):
        size = round(width ** (level / count)), round(height ** (level / count))
        near = _solved(*(_resized(planes, size) for planes in (image, matte, near)))
    return Colours(near=near.reshape(6, -1))


def _resized(planes: Plane, size: tuple[int, int]) -> Plane:
    """Return (..., h, w) at another size; if smaller with pixels left out, so that opaque ones stay so."""
    kind = cv2.INTER_NEAREST if size[0] < planes.shape[-1] else cv2.INTER_LINEAR
    each = planes.reshape(-1, *planes.shape[-2:])
    resized = np.stack([cv2.resize(plane, size, interpolation=kind) for plane in each])
    return np.asarray(resized, dtype=np.float32).reshape(*planes.shape[:-2], *size[::-1])


def _solved(image: Plane, matte: Plane, near: Plane) -> Plane:
    """Bring both colours of every pixel closer to explaining it and to being like its neighbours'.

    Image (3, h, w), matte (h, w), colours of subject and background (2, 3, h, w).
    """
    alike = np.stack([ALIKE + np.abs(matte - beside) for beside in _neighbours(matte)])
    total = alike.sum(axis=0)
    parts = np.stack([matte, 1 - matte])  # (2, h, w)
    weights, shares = alike / total, shares_of(parts, total)
    is_tiny = max(matte.shape) <= _TINY_SIDE_PX
    for _ in range(_TINY_ROUNDS if is_tiny else _ROUNDS):
        near = _weighted_mean(near, weights)
        near += shares[:, np.newaxis] * (image - parts[0] * near[0] - parts[1] * near[1])
        np.clip(near, 0, LEVELS, out=near)
    return near


def _neighbours(planes: Plane) -> tuple[Plane, Plane, Plane, Plane]:
    """Return what lies left, right, above and below of each pixel; the edge is its own neighbour."""
    left = np.concatenate([planes[..., :1], planes[..., :-1]], axis=-1)
    right = np.concatenate([planes[..., 1:], planes[..., -1:]], axis=-1)
    above = np.concatenate([planes[..., :1, :], planes[..., :-1, :]], axis=-2)
    below = np.concatenate([planes[..., 1:, :], planes[..., -1:, :]], axis=-2)
    return left, right, above, below


def _weighted_mean(near: Plane, weights: Plane) -> Plane:
    left, right, above, below = (w * beside for w, beside in zip(weights, _neighbours(near), strict=True))
    return np.asarray(left + right + above + below, dtype=np.float32)
