"""Says before an order what a print of the result will look like.

A verdict is advice: the picture is made whatever it says.  ``docs/print.md`` tells what each number means.
"""

from collections.abc import Collection

import numpy as np

from shared.recipes import Recipe
from worker.arrays import OPAQUE, Alpha
from worker.sharpness import measure_blur
from worker.subject import COUNTS_FROM, Frame, Subject

_MM_PER_INCH = 25.4
_FULL_DPI, _ENOUGH_DPI = 300, 150
#: Pixels are seen at arm's length below the one, and by everybody below the other.
_LOW_DPI, _VERY_LOW_DPI = 200, 100
#: Focus is judged as fine as the eye sees at arm's length.  A large print is seen from farther away, and of
#: fewer pixels than the least nothing can be told.
_SEEN_DPI, _MOST_PX, _LEAST_PX = 150, 1500, 200
#: A blur of 0.8 pixels there, and of 2.4 (as measured, which is a third of a pixel less than it is).
_BLURRY_BELOW, _VERY_BLURRY_BELOW = 0.6, 0.15
_SMALL_BELOW = 0.05
_UNCERTAIN_ABOVE = 0.25
#: A portrait may end at the bottom of the photo.
_CUTTING_EDGES = frozenset({"left", "top", "right"})

#: Every reason, and whether it alone is enough to advise against the print.
REASONS = {
    "very-low-resolution": True,
    "low-resolution": False,
    "very-blurry": True,
    "blurry": False,
    "touches-edge": False,
    "small-subject": False,
    "uncertain-edge": False,
}


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
    exact_dpi = effective_dpi(frame, recipe)
    if exact_dpi is None:
        return None
    dpi = round(exact_dpi, 1)  # judged as it is told
    sharpness, uncertain = _seen_sharpness(frame, dpi), _uncertain_share(frame.alpha)
    coverage = float(frame.alpha.mean()) / OPAQUE
    reasons = find_reasons(
        dpi=dpi,
        sharpness=sharpness,
        coverage=coverage,
        uncertain_edge=uncertain,
        touches_edge=subject.touches_edge,
    )
    return {
        "effective_dpi": dpi,
        **_largest_sizes(frame.alpha),
        "sharpness": round(sharpness or 0.0, 3),
        "coverage": round(coverage, 4),
        "uncertain_edge": round(uncertain, 4),
        "touches_edge": list(subject.touches_edge),
        "verdict": _verdict(reasons),
        "reasons": reasons,
    }


def find_reasons(
    *,
    dpi: float,
    sharpness: float | None,
    coverage: float,
    uncertain_edge: float,
    touches_edge: Collection[str],
) -> list[str]:
    """Return what speaks against a print that measures so; without an edge its sharpness is ``None``."""
    is_so = {
        "very-low-resolution": dpi < _VERY_LOW_DPI,
        "low-resolution": _VERY_LOW_DPI <= dpi < _LOW_DPI,
        "very-blurry": sharpness is not None and sharpness < _VERY_BLURRY_BELOW,
        "blurry": sharpness is None or _VERY_BLURRY_BELOW <= sharpness < _BLURRY_BELOW,
        "touches-edge": not _CUTTING_EDGES.isdisjoint(touches_edge),
        "small-subject": coverage < _SMALL_BELOW,
        "uncertain-edge": uncertain_edge > _UNCERTAIN_ABOVE,
    }
    return [reason for reason in REASONS if is_so[reason]]


def _verdict(reasons: list[str]) -> str:
    if any(REASONS[reason] for reason in reasons):
        return "reject"
    return "warn" if reasons else "ok"


def _seen_sharpness(frame: Frame, dpi: float) -> float | None:
    """Return how sharp the subject's edges are on the print as the eye sees it, 0 to 1."""
    longer_px = frame.subject.longer_side
    scale = min(1.0, max(_SEEN_DPI / dpi, _LEAST_PX / longer_px), _MOST_PX / longer_px)
    part = frame.subject.slices
    blur_px = measure_blur(frame.rgb[part], frame.alpha[part], scale)
    return None if blur_px is None else 1 / (1 + blur_px**2)


def _uncertain_share(alpha: Alpha) -> float:
    """Return which share of the subject is neither quite there nor quite not."""
    counts = np.bincount(alpha.ravel(), minlength=OPAQUE + 1)
    subject = counts[COUNTS_FROM:].sum()
    return float(counts[COUNTS_FROM : OPAQUE + 1 - COUNTS_FROM].sum() / max(subject, 1))


def _largest_sizes(alpha: Alpha) -> dict[str, float]:
    height, width = alpha.shape
    return {
        f"max_{side}_mm_at_{dpi}_dpi": round(pixels / dpi * _MM_PER_INCH, 1)
        for dpi in (_FULL_DPI, _ENOUGH_DPI)
        for side, pixels in (("width", width), ("height", height))
    }
