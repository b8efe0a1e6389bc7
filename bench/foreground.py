"""How long the subject's own colour takes, beside pymatting, which the published package asks for it."""

from collections.abc import Iterable, Sequence
from statistics import median

from bench.rows import Row
from bench.timings import in_turns, timed
from worker.arrays import OPAQUE, Alpha, Rgb
from worker.foreground import estimate_foreground
from worker.matting.package_process import Package

_AT_MOST = 1 / 15
_PROMISED_PX = 12_000_000  #: what is smaller than this is measured, and nothing is promised of it


def measure(rgb: Rgb, mattes: Iterable[Alpha], rounds: int, what: str = "foreground") -> list[Row]:
    """Measure a photo with each matte; theirs has compiled itself before."""
    with Package() as package:
        return [_row(what, package, rgb, alpha, rounds) for alpha in mattes]


def _row(what: str, package: Package, rgb: Rgb, alpha: Alpha, rounds: int) -> Row:
    def theirs() -> Sequence[float]:
        return [package.foreground(rgb, alpha)[1]]

    what = f"{what}, {_mixed_share(alpha):.0%} mixed"
    timings = in_turns(what, rounds, timed(lambda: estimate_foreground(rgb, alpha)), theirs)
    ours_ms, theirs_ms = median(timings.ours) * 1000, median(timings.theirs) * 1000
    ratio = _AT_MOST if alpha.size >= _PROMISED_PX else None
    return Row(what=what, unit="ms", ours=ours_ms, theirs=theirs_ms, ratio_at_most=ratio)


def _mixed_share(alpha: Alpha) -> float:
    return float(((alpha > 0) & (alpha < OPAQUE)).mean())
