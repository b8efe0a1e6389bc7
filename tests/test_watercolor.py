"""A watercolour has flat washes, pigment along their edges, and paper that shows as asked."""

import numpy as np
import pytest

from shared.catalogue import EFFECTS
from tests.pictures import cut_out
from worker.effects import RENDERERS, Look
from worker.washes import wash

WATERCOLOR = RENDERERS["watercolor"]
#: Washes alone.
BARE = EFFECTS["watercolor"].defaults() | {"edge": 0, "grain": 0}
LOOK = Look(subject_px=1000, seed=8)


def flat(color, side: int = 200):
    return np.full((side, side, 3), color, np.uint8), np.full((side, side), 255, np.uint8)


def two_halves(side: int = 200):
    rgb, alpha = flat((200, 150, 120), side)
    rgb[:, side // 2 :] = (90, 60, 50)
    return rgb, alpha


def test_a_flat_subject_is_one_wash_to_the_rim_a_little_lighter_and_stronger() -> None:
    alpha = cut_out()[1]
    rgb = np.full((*alpha.shape, 3), (180, 120, 60), np.uint8)
    rgb[alpha == 0] = 0
    shown, _ = WATERCOLOR(rgb, alpha, BARE, LOOK)
    (color,) = np.unique(shown[alpha > 0], axis=0)
    luma = np.dot((180, 120, 60), (0.299, 0.587, 0.114))
    strong = luma + (np.array([180, 120, 60]) - luma) * 1.25
    assert color == pytest.approx(255 - (255 - strong) * 0.92, abs=1)


def test_a_wash_is_flat_inside_and_sharp_at_its_end() -> None:
    random = np.random.default_rng(0)
    colors = two_halves()[0].astype(np.float32) / 255
    rough = np.clip(colors + random.normal(0, 0.05, colors.shape), 0, 1).astype(np.float32)
    smooth = wash(rough, np.ones((200, 200), np.float32), 4)
    assert (smooth - colors)[:, :90].std() < 0.05 / 4
    assert (smooth - colors)[:, 110:].std() < 0.05 / 4
    step = smooth[..., 0].mean(axis=0)
    assert step[97] - step[102] > 0.8 * (200 - 90) / 255


def test_a_wash_beside_nothing_has_the_subjects_colour() -> None:
    opacity = np.zeros((60, 60), np.float32)
    opacity[20:40, 20:40] = 1
    colors = np.full((60, 60, 3), 0.7, np.float32) * opacity[..., np.newaxis]
    assert wash(colors, opacity, 3)[opacity > 0] == pytest.approx(np.full((400, 3), 0.7), abs=1e-3)


def test_pigment_gathers_where_washes_end_and_at_the_rim() -> None:
    rgb, alpha = two_halves()
    alpha = np.pad(alpha[20:-20], ((20, 20), (0, 0)))
    plain, edged = (WATERCOLOR(rgb, alpha, BARE | {"edge": edge}, LOOK)[0].astype(int) for edge in (0, 1))
    darker = (plain - edged).mean(axis=-1)
    middle, end, rim = (
        darker[60:140, 30:60].mean(),
        darker[60:140, 94:106].mean(),
        darker[21:23, 20:80].mean(),
    )
    assert end > middle + 5
    assert rim > middle + 5
    assert abs(middle) < 0.5


@pytest.mark.parametrize("grain", [0.05, 0.2])
def test_paper_shows_as_much_as_it_is_asked_to_and_keeps_the_tone(grain: float) -> None:
    rgb, alpha = flat(128)
    smooth, rough = (WATERCOLOR(rgb, alpha, BARE | {"grain": g}, LOOK)[0].astype(float) for g in (0, grain))
    grey = smooth.mean() / 255
    paper, flow = 2 * np.hypot(0.6, 0.5) * (grey - grey**2 + 0.02), 2 * np.hypot(0.6, 0.4) * (grey - grey**2)
    assert rough.std() == pytest.approx(255 * grain * np.hypot(paper, flow), rel=0.1)
    assert rough.mean() == pytest.approx(smooth.mean(), abs=2)


def test_another_photo_is_painted_otherwise() -> None:
    rgb, alpha = cut_out()
    one, other = (WATERCOLOR(rgb, alpha, BARE, Look(subject_px=1000, seed=seed))[0] for seed in (1, 2))
    assert not np.array_equal(one, other)
