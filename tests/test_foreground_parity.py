"""Along rims and in fur our foreground is about as close to the truth as pymatting's, on the whole closer.

pymatting runs beside ours in the published package's process; colours are known because we composed them.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from tests.package_side import SharedPackage
from tests.pictures import Scene, flat, furry, scene
from tests.test_foreground import ESTIMATES
from worker.arrays import Alpha, Rgb

pytestmark = [pytest.mark.parity, pytest.mark.timeout(300)]


def apart() -> Scene:
    """Return four soft balls far apart, each of its own colour, before a flat background."""
    height, width, rim_px = 1200, 1600, 25
    balls = [(100, 140, 40), (1000, 1400, 36), (600, 800, 24), (150, 1400, 30)]
    colours = [(205, 120, 40), (240, 240, 235), (60, 160, 60), (200, 30, 40)]
    y, x = np.ogrid[:height, :width]
    opacity, foreground = np.zeros((height, width)), np.zeros((height, width, 3))
    for (down, right, radius), colour in zip(balls, colours, strict=True):
        ball = np.clip((radius - np.hypot(y - down, x - right)) / rim_px + 0.5, 0, 1)
        foreground[ball > 0] = colour
        opacity = np.maximum(opacity, ball)
    photo = opacity[..., np.newaxis] * foreground + (1 - opacity[..., np.newaxis]) * (30, 90, 120)
    whole = (photo.round(), (opacity * 255).round(), foreground)
    return Scene(*(plane.astype(np.uint8) for plane in whole))


def blob(peak: float, size_px: float) -> Scene:
    """Return a subject that is nowhere opaque, before a flat background."""
    y, x = np.ogrid[:80, :80]
    return flat(peak * np.exp(-((y - 40) ** 2 + (x - 40) ** 2) / (2 * size_px**2)))


SCENES: dict[str, Callable[[], Scene]] = {
    "a hard rim": lambda: scene(320, 240, rim_px=8),
    "a soft rim": lambda: scene(1600, 1200, rim_px=40),
    "hairs": lambda: furry("cat", "coffee", (800, 600), 0.8),
    "blurred hairs": lambda: furry("raccoon", "astronaut", (1600, 1200), 3),
    "fine hairs": lambda: furry("cat", "raccoon", (2000, 1500), 1.5),
    "four of four colours": apart,
    "a thumbnail": lambda: scene(121, 90, rim_px=6),
    "a wide halo": lambda: furry("coffee", "raccoon", (1600, 1200), 12),
    "a strip": lambda: scene(5000, 33, rim_px=1),
    "a tall strip": lambda: scene(33, 5000, rim_px=1),
    "a long strip": lambda: scene(50000, 33, rim_px=1),
    "a blob without an opaque core": lambda: blob(0.6, 2),
    "a smaller blob": lambda: blob(0.7, 1.5),
    "a few pixels": lambda: flat(np.array([[0, 0, 0, 0, 0], [0, 0.4, 1, 0.4, 0], [0, 0, 0.3, 0, 0]])),
}


def error(found: np.ndarray, truth: Scene) -> float:
    """Return the mean error in [0, 1] where the true alpha is between 0 and 1."""
    is_mixed = (truth.alpha > 0) & (truth.alpha < 255)
    return float(np.abs(found[is_mixed] - truth.foreground[is_mixed] / 255).mean())


@cache
def made(name: str) -> Scene:
    return SCENES[name]()


@pytest.fixture(scope="module")
def theirs(package: SharedPackage) -> dict[str, float]:
    found = {name: package.foreground(made(name).rgb, made(name).alpha)[0] for name in SCENES}
    return {name: error(colours, made(name)) for name, colours in found.items()}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("estimate", ESTIMATES.values(), ids=ESTIMATES)
def test_our_error_is_at_most_a_tenth_larger_than_pymattings(
    theirs: dict[str, float], name: str, estimate: Callable[[Rgb, Alpha], Rgb]
) -> None:
    truth = made(name)
    assert theirs[name] < error(truth.rgb / 255, truth) / 1.5, "doing nothing would pass as well"
    assert error(estimate(truth.rgb, truth.alpha) / 255, truth) <= 1.1 * theirs[name]
