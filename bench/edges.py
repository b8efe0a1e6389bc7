"""How much nearer to the truth refined edges are than plain ones, on photos whose true opacity is known.

Ours is ``edges`` ``refined``, theirs is ``plain``: the engine's map enlarged, as it would be without it.
"""

import time
from pathlib import Path
from statistics import geometric_mean, median

import numpy as np

from bench.composites import Composite, as_seen, composites, is_mixed, smooth
from bench.effort import Effort
from bench.load import Drive
from bench.photo import PHOTO
from bench.rows import Row
from worker.arrays import Alpha
from worker.decode import decode
from worker.refinement import refine_edges

_HEIGHT, _WIDTH, _SEEN_PX = 1800, 2400, 512
#: In pixels of what the engine saw: one that is as sharp as it can be, and one that is not.
_BLURS_PX = (0.0, 1.2)
_PHOTO_SEEN_PX = 1024


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Compare both with the truth on every composite; then say what refining costs."""
    del data, drive  # nothing is served and nothing is kept
    rows = [_row(composite, blur) for composite in composites(_HEIGHT, _WIDTH) for blur in _BLURS_PX]
    ratios = [row.ratio for row in rows if row.ratio]
    mean = Row(what="all, geometric mean", unit="x", ours=geometric_mean(ratios), theirs=1.0, ratio_at_most=1)
    return [*rows, mean, _cost(effort)]


def _row(composite: Composite, blur_px: float) -> Row:
    plain = as_seen(composite.alpha, _SEEN_PX, blur_px)
    refined = refine_edges(composite.rgb, plain, _SEEN_PX)
    kind = "soft" if blur_px else "sharp"
    return Row(
        what=f"{composite.what}, a {kind} engine",
        unit="levels",
        ours=error(refined, plain, composite.alpha),
        theirs=error(plain, plain, composite.alpha),
    )


def error(matte: Alpha, plain: Alpha, truth: Alpha) -> float:
    """Return the mean absolute error, in levels, where the plain matte has an edge."""
    return float(np.abs(matte.astype(float) - truth)[is_mixed(plain)].mean())


def _cost(effort: Effort) -> Row:
    rgb = decode(PHOTO.read_bytes()).rgb
    plain, took_ms = as_seen(smooth(*rgb.shape[:2]), _PHOTO_SEEN_PX, 1.2), []
    for _ in range(effort.pictures):
        began = time.perf_counter()
        refine_edges(rgb, plain, _PHOTO_SEEN_PX)
        took_ms.append((time.perf_counter() - began) * 1000)
    return Row(what="time to refine 12 megapixels", unit="ms", ours=median(took_ms))
