"""A soft shadow that the cut-out drops to the lower right (it changes alpha, and needs room)."""

import math

import cv2
import numpy as np

from worker.arrays import Alpha, Rgb
from worker.effects.look import Look, Parameters
from worker.layers import lay_beneath
from worker.neighbourhoods import ENOUGH_SIGMA_PX, blur_within

_BLACK = (0, 0, 0)
#: Down for each step to the right: light falls from high on the left.
_SLOPE = 1.0
#: Nothing of a Gaussian is seen beyond so many standard deviations.
_SEEN = 2.6


def shadow(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue."""
    return lay_beneath(rgb, alpha, _BLACK, drop(alpha, parameters, look))


def shadow_reach(parameters: Parameters, look: Look) -> int:
    """Implement ``Reach``: as far as the shadow falls and its softness is seen."""
    return math.ceil(look.px(parameters["offset_pm"] + _SEEN * parameters["blur_pm"])) + 1


def drop(alpha: Alpha, parameters: Parameters, look: Look) -> Alpha:
    """Return the shadow's opacity; (H, W) uint8.

    Where the cut-out is cut off by the photo's edge, so is its shadow, and it goes on there as if both did.
    """
    height, width = alpha.shape
    sigma_px = look.px(parameters["blur_pm"])
    # In small, where it costs a large picture neither time nor memory.
    factor = max(1, min(int(sigma_px / ENOUGH_SIGMA_PX), height, width))
    size = -(-width // factor), -(-height // factor)
    small = alpha if factor == 1 else cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    offset_px = look.px(parameters["offset_pm"]) / factor
    move = np.array([[1, 0, offset_px], [0, 1, _SLOPE * offset_px]])
    fallen = cv2.warpAffine(small, move, size, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    if sigma_px:
        fallen = blur_within(fallen, np.ones_like(fallen), sigma_px / factor)
    cover = cv2.convertScaleAbs(fallen, alpha=parameters["opacity"])
    return np.asarray(cover if factor == 1 else cv2.resize(cover, (width, height)), dtype=np.uint8)
