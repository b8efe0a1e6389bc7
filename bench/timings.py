"""Two sides, measured in turns in one run, so that a slow minute of the machine hits both alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from bench.progress import track
from bench.rows import Row

Measure = Callable[[], Sequence[float]]  #: one round; seconds a call


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds that each call took, over all rounds."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)


def timed(call: Callable[[], object]) -> Measure:
    """Return a round of one call."""

    def measured() -> Sequence[float]:
        began = time.perf_counter()
        call()
        return [time.perf_counter() - began]

    return measured


def in_turns(what: str, rounds: int, ours: Measure, theirs: Measure) -> Timings:
    """Measure both sides in interleaved rounds; one round of each beforehand is thrown away."""
    timings = Timings()
    for number in track(range(rounds + 1), what):
        for measure, kept in ((ours, timings.ours), (theirs, timings.theirs)):
            seconds = measure()
            if number:
                kept.extend(seconds)
    return timings


def rows_of(
    what: str, timings: Timings, at_most_ms: float | None = None, ratio_at_most: float | None = None
) -> list[Row]:
    """Return p50, which the targets are about, and p95, in milliseconds."""
    p50 = Row(
        what=f"{what}, p50",
        unit="ms",
        ours=median(timings.ours) * 1000,
        theirs=median(timings.theirs) * 1000,
        at_most=at_most_ms,
        ratio_at_most=ratio_at_most,
    )
    p95 = Row(what=f"{what}, p95", unit="ms", ours=p95_ms(timings.ours), theirs=p95_ms(timings.theirs))
    return [p50, p95]


def p95_ms(seconds: Sequence[float]) -> float:
    """Return what 95 of 100 calls do not exceed, in milliseconds."""
    return quantiles(seconds, n=20, method="inclusive")[-1] * 1000
