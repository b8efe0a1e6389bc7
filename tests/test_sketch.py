"""A sketch has lines where the picture has edges and the subject ends, and hatching where it is dark."""

import numpy as np
import pytest

from shared.catalogue import EFFECTS
from tests.pictures import cut_out
from worker.effects import RENDERERS, Look
from worker.grain import strokes

SKETCH = RENDERERS["sketch"]
#: Lines of 2 px, without hatching.
LINES = EFFECTS["sketch"].defaults() | {"line_pm": 2, "shade": 0}
LOOK = Look(subject_px=1000, seed=8)


def flat(level: int, side: int = 200):
    return np.full((side, side, 3), level, np.uint8), np.full((side, side), 255, np.uint8)


@pytest.mark.parametrize("level", [40, 128, 255])
def test_where_nothing_is_to_be_seen_the_paper_stays_white_up_to_the_photos_edge(level: int) -> None:
    shown, _ = SKETCH(*flat(level), LINES, LOOK)
    assert shown.min() >= 253


@pytest.mark.parametrize(("dark", "light"), [(40, 90), (100, 160), (180, 240)])
def test_an_edge_is_drawn_as_a_line_of_the_width_asked_for_in_dark_and_in_light_fur(
    dark: int, light: int
) -> None:
    rgb, alpha = flat(dark)
    rgb[:, 100:] = light
    for line_pm in (2, 4):
        shown, _ = SKETCH(rgb, alpha, LINES | {"line_pm": line_pm}, LOOK)
        profile = shown[..., 0].astype(float).mean(axis=0)
        assert profile.min() < 180
        width = (profile < (255 + profile.min()) / 2).sum()
        assert 0.5 * line_pm <= width <= 2 * line_pm
        assert profile[:80].min() > 250
        assert profile[120:].min() > 250


def test_the_subject_has_a_contour_even_if_it_is_white() -> None:
    alpha = np.zeros((120, 160), np.uint8)
    alpha[30:, 40:120] = 255  # and is cut off by the photo's lower edge
    rgb = np.full((120, 160, 3), 255, np.uint8)
    rgb[alpha == 0] = 0
    shown = SKETCH(rgb, alpha, LINES, LOOK)[0][..., 0]
    assert shown[30:33, 60:100].min(axis=0).max() < 190
    assert shown[60:100, 40:43].min(axis=1).max() < 190
    assert shown[36:, 46:114].min() > 250


@pytest.mark.parametrize("level", [30, 120, 250])
def test_hatching_grows_with_the_darkness_and_with_shade(level: int) -> None:
    means = [SKETCH(*flat(level), LINES | {"shade": shade}, LOOK)[0].mean() for shade in (0, 0.5, 1)]
    if level == 250:
        assert means == pytest.approx([255] * 3, abs=2)
    else:
        assert means[0] - 20 > means[1]
        assert means[1] - 20 > means[2]
    darker = SKETCH(*flat(level - 30), LINES | {"shade": 1}, LOOK)[0].mean()
    assert darker <= means[2]


@pytest.mark.parametrize("angle", [-52, -20, 0, 70])
def test_strokes_lie_in_the_direction_and_have_the_width_asked_for(angle: float) -> None:
    texture = strokes((300, 400), 4, 60, angle, np.random.default_rng(1))
    down, right = np.gradient(texture)
    # The direction in which it changes least.
    turned = 0.5 * np.degrees(np.arctan2(2 * (down * right).sum(), (right**2 - down**2).sum())) + 90
    assert abs((turned - angle + 90) % 180 - 90) < 3
    assert (texture.mean(), texture.std()) == pytest.approx((0, 1), abs=1e-3)


def test_a_sketch_is_grey_and_another_photo_is_hatched_otherwise() -> None:
    rgb, alpha = cut_out()
    one, other = (
        SKETCH(rgb, alpha, EFFECTS["sketch"].defaults(), Look(subject_px=1000, seed=seed))[0]
        for seed in (1, 2)
    )
    assert np.ptp(one, axis=-1).max() == 0
    assert not np.array_equal(one, other)
