"""Says before an order what a print of the result will look like.

A verdict is advice: the picture is made whatever it says.
"""

import cv2
import numpy as np

from shared.recipes import Recipe
from worker.arrays import OPAQUE
from worker.subject import Frame, Subject

_MM_PER_INCH = 25.4
_FULL_DPI = 300
#: Pixels are seen at arm's length below the one, and by everybody below the other.
_LOW_DPI, _VERY_LOW_DPI = 200, 100
#: The tests' photos measure 0.53 and more, blurred by 1 px 0.34 and more, by 2 px 0.30 and less.
_BLURRY_BELOW = 0.31
#: Focus is judged at this size: a print is looked at as a whole.
_JUDGED_SIDE_PX = 1500
_AVERAGED_PX = 7


def effective_dpi(frame: Frame, recipe: Recipe) -> float | None:
    """Return the resolution of the result at the largest size that fits the print, if one is asked for."""
    height, width = frame.alpha.shape
    scale = px_per_mm(width, height, recipe)
    return scale and scale * _MM_PER_INCH


def px_per_mm(width: int, height: int, recipe: Recipe) -> float | None:
    """Return how many pixels of a picture of this size come to a millimetre, if a print is asked for."""
    if recipe.print_size_mm is None:
        return None
    print_width_mm, print_height_mm = recipe.print_size_mm
    return float(max(width / print_width_mm, height / print_height_mm))


def judge_print(frame: Frame, subject: Subject, recipe: Recipe) -> dict[str, object] | None:
    """Return the job's ``print`` member, or ``None`` if no print is asked for."""
    dpi = effective_dpi(frame, recipe)
    if dpi is None:
        return None
    sharpness = measure_sharpness(frame)
    faults = {
        "very-low-resolution": dpi < _VERY_LOW_DPI,
        "low-resolution": _VERY_LOW_DPI <= dpi < _LOW_DPI,
        "blurry": sharpness < _BLURRY_BELOW,
        "touches-edge": bool(subject.touches_edge),
    }
    reasons = [slug for slug, is_so in faults.items() if is_so]
    return {
        "effective_dpi": round(dpi, 1),
        "max_width_mm_at_300_dpi": round(frame.alpha.shape[1] / _FULL_DPI * _MM_PER_INCH, 1),
        "sharpness": round(sharpness, 3),
        "verdict": "reject" if faults["very-low-resolution"] else "warn" if reasons else "ok",
        "reasons": reasons,
    }


def measure_sharpness(frame: Frame) -> float:
    """Return which share of the subject's detail a blur takes away, 0 (all soft) to 1.

    References
    ----------
    Crete et al., "The Blur Effect: Perception and Estimation with a New No-Reference Perceptual Blur Metric",
    Human Vision and Electronic Imaging 2007.
    """
    part = frame.subject.slices
    scale = min(1.0, _JUDGED_SIDE_PX / frame.subject.longer_side)
    grey = _reduced(cv2.cvtColor(frame.rgb[part], cv2.COLOR_RGB2GRAY), scale).astype(np.float32)
    inside = cv2.erode(_reduced(frame.alpha[part], scale), np.ones((_AVERAGED_PX, _AVERAGED_PX))) == OPAQUE
    shares = [_share_lost(grey, inside), _share_lost(grey.T, inside.T)]
    return float(min(shares))


def _share_lost(grey: np.ndarray, inside: np.ndarray) -> float:
    """Return the share of differences along rows that a mean along rows takes away, inside the subject."""
    soft = cv2.blur(np.ascontiguousarray(grey), (_AVERAGED_PX, 1))
    before = np.abs(np.diff(grey, axis=1))[inside[:, 1:]]
    after = np.abs(np.diff(soft, axis=1))[inside[:, 1:]]
    return float(np.maximum(before - after, 0).sum() / max(before.sum(), 1.0))


def _reduced(plane: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return plane
    return np.asarray(cv2.resize(plane, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
