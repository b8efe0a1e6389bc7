"""A sticker: a border in one colour around the cut-out (it changes alpha, and needs room for the border).

The border closes over gaps that are narrower than itself, as the knife that cuts a sticker has to.
"""

import math

import cv2
import numpy as np

from worker.arrays import OPAQUE, Alpha, Plane, Rgb
from worker.effects.look import Look, Parameters
from worker.layers import lay_beneath

#: A pixel of the cut-out is bordered from this share of the largest opacity.
_SOLID = 0.5
#: Radius of what the border closes over, in its widths.
_CLOSED = 0.5
#: A border this wide is as exact as can be seen; wider ones are found in small, so many times at most.
_ENOUGH_PX, _MOST_REDUCED = 64, 3


def outline(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue."""
    red, green, blue = bytes.fromhex(parameters["color"][1:])
    cover = find_border(alpha, look.size_px(parameters, "width"))
    return lay_beneath(rgb, alpha, (red, green, blue), cover)


def outline_reach(parameters: Parameters, look: Look) -> int:
    """Implement ``Reach``: the border's width, and a pixel for its soft edge."""
    return math.ceil(look.size_px(parameters, "width")) + 1


def find_border(alpha: Alpha, width_px: float) -> Alpha:
    """Return the cut-out grown by a width, as if cut by a knife; (H, W) uint8, holes and gaps filled.

    References
    ----------
    Serra, *Image Analysis and Mathematical Morphology*, Academic Press 1982 (closing); Felzenszwalb and
    Huttenlocher, "Distance Transforms of Sampled Functions", Theory of Computing 2012 (exact distances).
    """
    height, width = alpha.shape
    factor = max(1, min(int(width_px / _ENOUGH_PX), _MOST_REDUCED, height, width))
    size = -(-width // factor), -(-height // factor)
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA) if factor > 1 else alpha
    # A distance changes evenly from pixel to pixel: it is enlarged, and the edge that is made of it is sharp.
    inwards = _inwards(np.asarray(small, dtype=np.uint8), width_px / factor)
    if factor > 1:
        inwards = np.asarray(cv2.resize(inwards, (width, height)), dtype=np.float32)
    inwards -= np.float32(0.5)
    inwards *= np.float32(factor)
    inwards += np.float32(0.5)
    return np.asarray(cv2.convertScaleAbs(np.clip(inwards, 0, 1, out=inwards), alpha=OPAQUE), dtype=np.uint8)


def _inwards(alpha: Alpha, width_px: float) -> Plane:
    """Return how far in the border each pixel is: half a pixel at its outer edge; (H, W)."""
    closed_px = _CLOSED * width_px
    room = math.ceil(width_px + closed_px) + 2
    is_empty = (alpha < max(1.0, _SOLID * alpha.max())).astype(np.uint8)
    is_empty = np.pad(is_empty, room, constant_values=1)
    distance = cv2.distanceTransform(is_empty, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    is_near = (distance <= width_px + closed_px + 0.5).astype(np.uint8)
    del is_empty, distance
    inwards = cv2.distanceTransform(is_near, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[room:-room, room:-room]
    return np.asarray(inwards - np.float32(closed_px), dtype=np.float32)
