"""Pop art is a poster in eight CSS colours, chosen by luma and, where it is strong, by hue."""

import numpy as np
import pytest

from shared.catalogue import EFFECTS
from tests.pictures import cut_out
from worker.effects import RENDERERS, Look
from worker.effects.popart import COLORS, choose, color_table, posterise, strengthen

POPART = RENDERERS["popart"]
DEFAULTS = EFFECTS["popart"].defaults()
CSS = ["#ff1493", "#00ff7f", "#ffa500", "#8a2be2", "#ffff00", "#00bfff", "#ff4500", "#32cd32"]
PINK, SPRING, ORANGE, VIOLET, YELLOW, SKY, RED, LIME = range(8)


def every_color(step: int = 5):
    levels = np.arange(0, 256, step, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)


def test_the_colours_are_csss_in_this_order() -> None:
    assert ["#" + bytes(color).hex() for color in COLORS] == CSS


def test_contrast_is_about_mid_grey_then_saturation_about_bt601_luma_each_clipped() -> None:
    rgb = every_color(17)
    contrasted = np.clip((rgb.astype(float) - 127.5) * 2.5 + 127.5, 0, 255)
    luma = (contrasted @ [0.299, 0.587, 0.114])[..., np.newaxis]
    expected = np.clip(luma + 2 * (contrasted - luma), 0, 255)
    assert np.abs(strengthen(rgb, 2.5, 2) - expected).max() <= 2
    assert np.array_equal(strengthen(rgb, 1, 1), rgb)
    assert np.ptp(strengthen(rgb, 1, 0), axis=-1).max() <= 1


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_each_channel_is_rounded_to_the_nearest_of_the_levels(levels: int) -> None:
    rgb = every_color()
    codes = posterise(rgb, levels)[0].astype(int)
    steps = np.stack([codes // levels**2, codes // levels % levels, codes % levels], axis=-1)
    assert np.abs(steps * 255 / (levels - 1) - rgb[0]).max() <= 255 / (levels - 1) / 2 + 1e-9


@pytest.mark.parametrize(
    ("posterised", "color"),
    [
        ((0, 0, 0), PINK),
        ((40, 40, 40), SPRING),
        ((80, 80, 80), ORANGE),
        ((127, 127, 127), VIOLET),
        ((128, 128, 128), YELLOW),
        ((170, 170, 170), SKY),
        ((210, 210, 210), RED),
        ((255, 255, 255), LIME),
        ((128, 0, 128), SPRING),  # luma 36
        ((255, 255, 0), LIME),  # two channels lead: luma decides
        ((255, 0, 0), RED),
        ((255, 128, 128), ORANGE),
        ((171, 85, 85), ORANGE),
        ((170, 42, 42), RED),  # a mean of 85 is not light
        ((0, 128, 0), LIME),
        ((128, 255, 0), SPRING),
        ((0, 0, 255), VIOLET),
        ((128, 128, 255), SKY),
        ((100, 40, 40), SPRING),  # 60 apart is not more than 60
        ((101, 72, 40), ORANGE),  # leads by 29
        ((101, 71, 40), RED),  # leads by 30
    ],
)
def test_luma_picks_from_black_upward_and_strong_hues_override(posterised, color: int) -> None:
    assert choose(np.array([posterised], dtype=float)).tolist() == [color]


@pytest.mark.parametrize(("levels", "reached"), [(2, 5), (3, 8), (4, 8), (5, 8)])
def test_how_many_colours_can_be_reached(levels: int, reached: int) -> None:
    rgb = every_color()
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    poster, _ = POPART(
        rgb, alpha, DEFAULTS | {"levels": levels, "smoothing_pm": 0}, Look(subject_px=1, seed=0)
    )
    seen = {"#" + bytes(color).hex() for color in np.unique(poster[0], axis=0)}
    assert len(seen) == reached
    assert seen <= set(CSS)


def test_the_table_holds_every_code() -> None:
    assert color_table(5)[0, :125].any(axis=1).all()


def test_a_flat_subject_is_one_colour_to_the_rim() -> None:
    alpha = cut_out()[1]
    rgb = np.full((*alpha.shape, 3), (150, 90, 60), np.uint8)
    rgb[alpha == 0] = 0
    poster, _ = POPART(rgb, alpha, DEFAULTS | {"smoothing_pm": 10}, Look(subject_px=1000, seed=0))
    assert len(np.unique(poster[alpha > 0], axis=0)) == 1


def test_smoothing_takes_specks_away() -> None:
    rgb, alpha = np.full((60, 60, 3), 200, np.uint8), np.full((60, 60), 255, np.uint8)
    rgb[30, 30] = 0
    look = Look(subject_px=1000, seed=0)
    rough, smooth = (POPART(rgb, alpha, DEFAULTS | {"smoothing_pm": px}, look)[0] for px in (0, 3))
    assert len(np.unique(rough.reshape(-1, 3), axis=0)) == 2
    assert len(np.unique(smooth.reshape(-1, 3), axis=0)) == 1
