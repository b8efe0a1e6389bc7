"""Estimates the subject's own colour where it is mixed with the background, so that no rim is seen.

Where the subject is opaque the photo's colour stands; where there is none, RGB is 0.  Which colours are near
is found out on a small picture, level by level; larger ones are looked at only where they are mixed.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Box, Plane, Rgb, box_of, check
from worker.mixed_pixels import ALIKE, Colours, Scale, find_colours, shares_of

#: Up to this size a level is looked at as a whole.
_SMALL_SIDE_PX = 256
#: Levels up to this side are iterated until they hardly change, larger ones need to follow them only.
_TINY_SIDE_PX = 32
_TINY_ROUNDS, _ROUNDS = 10, 6
#: Rounds of the photo's own size and of half of it, by far the dearest; more change less than the others do.
_LAST_ROUNDS = (1, 1)
#: A pixel that is this opaque has the subject's colour, one that is this transparent the background's.
_NEARLY = 0.9
#: Background seen around the subject, as a share of its longer side.
_MARGIN, _LEAST_MARGIN_PX = 0.05, 8
_LEVELS = np.float32(OPAQUE)
#: A pixel's three bytes, moved in one go.
_PIXEL = np.dtype("V3")


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
    mixed = np.asarray(cv2.inRange(alpha, 1, OPAQUE - 1), dtype=np.uint8)
    if not mixed.any():
        return
    halvings = max(0, int(np.ceil(np.log2(max(alpha.shape) / _SMALL_SIDE_PX))))
    border = 1 << halvings
    scales = [_framed(rgb, alpha, mixed, border)]
    for _ in range(halvings):
        scales.append(scales[-1].halved())
    colours = _whole(scales[-1])
    for level in reversed(range(halvings)):
        rounds = _LAST_ROUNDS[level] if level < len(_LAST_ROUNDS) else _ROUNDS
        colours = find_colours(scales[level], colours, rounds)
    pixels = foreground.view(_PIXEL)[..., 0]
    for places, found in colours.of_subject(scales[0]):
        y, x = np.divmod(places, np.int32(scales[0].alpha.shape[1]))
        pixels[y - border, x - border] = found.view(_PIXEL)[:, 0]


def _framed(rgb: Rgb, alpha: Alpha, mixed: Alpha, border: int) -> Scale:
    """Return a photo within a border that is left of it however often it is halved."""
    height, width = alpha.shape
    sides = border, border + -height % border, border, border + -width % border
    return Scale(
        rgb=np.asarray(cv2.copyMakeBorder(rgb, *sides, cv2.BORDER_REPLICATE), np.uint8),
        alpha=np.asarray(cv2.copyMakeBorder(alpha, *sides, cv2.BORDER_REPLICATE), np.uint8),
        mixed=np.asarray(cv2.copyMakeBorder(mixed, *sides, cv2.BORDER_CONSTANT), np.uint8),
    )


def _whole(scale: Scale) -> Colours:
    """Return the colours of subject and background near every pixel of a small picture."""
    image = np.asarray(np.ascontiguousarray(scale.rgb.transpose(2, 0, 1)) / _LEVELS, np.float32)  # (3, h, w)
    matte = np.asarray(scale.alpha / _LEVELS, np.float32)
    near = np.stack([_mean(image, is_pure) for is_pure in (matte > _NEARLY, matte < 1 - _NEARLY)])
    height, width = matte.shape
    count = max(1, int(np.ceil(np.log2(max(height, width)))))
    for level in range(count + 1):
        size = round(width ** (level / count)), round(height ** (level / count))
        near = _solved(*(_resized(planes, size) for planes in (image, matte, near)))
    return Colours(near=near.reshape(6, -1))


def _mean(image: Plane, mask: NDArray[np.bool_]) -> Plane:
    """Return the mean colour of what is set, black if nothing is; (3, 1, 1)."""
    mean = image[:, mask].mean(axis=1) if mask.any() else np.zeros(3, np.float32)
    return np.asarray(mean, dtype=np.float32).reshape(3, 1, 1)


def _resized(planes: Plane, size: tuple[int, int]) -> Plane:
    """Return (..., h, w) at another size; if smaller with pixels left out, so that opaque ones stay so."""
    kind = cv2.INTER_NEAREST if size[0] < planes.shape[-1] else cv2.INTER_LINEAR
    each = planes.reshape(-1, *planes.shape[-2:])
    resized = np.stack([cv2.resize(plane, size, interpolation=kind) for plane in each])
    return np.asarray(resized, dtype=np.float32).reshape(*planes.shape[:-2], *size[::-1])


def _solved(image: Plane, matte: Plane, near: Plane) -> Plane:
    """Bring both colours of every pixel closer to explaining it and to being like its neighbours'.

    Image (3, h, w), matte (h, w), colours of subject and background (2, 3, h, w), all in [0, 1].
    """
    alike = np.stack([ALIKE + np.abs(matte - beside) for beside in _neighbours(matte)])
    total = alike.sum(axis=0)
    parts = np.stack([matte, 1 - matte])  # (2, h, w)
    weights, shares = alike / total, shares_of(parts, total)
    is_tiny = max(matte.shape) <= _TINY_SIDE_PX
    for _ in range(_TINY_ROUNDS if is_tiny else _ROUNDS):
        near = _weighted_mean(near, weights)
        near += shares[:, np.newaxis] * (image - (parts[:, np.newaxis] * near).sum(axis=0))
        np.clip(near, 0, 1, out=near)
    return near


def _neighbours(planes: Plane) -> tuple[Plane, Plane, Plane, Plane]:
    """Return what lies left, right, above and below of each pixel; the edge is its own neighbour."""
    around = np.pad(planes, (*((0, 0),) * (planes.ndim - 2), (1, 1), (1, 1)), mode="edge")
    return around[..., 1:-1, :-2], around[..., 1:-1, 2:], around[..., :-2, 1:-1], around[..., 2:, 1:-1]


def _weighted_mean(near: Plane, weights: Plane) -> Plane:
    left, right, above, below = (w * beside for w, beside in zip(weights, _neighbours(near), strict=True))
    return np.asarray(left + right + above + below, dtype=np.float32)
