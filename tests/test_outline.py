"""The border of a sticker has one width and one colour, is closed, and is never cut off by a crop."""

import numpy as np
import pytest
from PIL import Image

from shared.errors import InvalidValueError
from shared.orders import read_order
from shared.recipes import EffectRequest, Recipe
from tests.pictures import saved
from tests.test_pipeline import Run, Truth
from worker.effects import RENDERERS, Look, reach_px
from worker.effects.outline import find_border
from worker.layers import lay_beneath

LOOK = Look(subject_px=1000, seed=0)
RED = (200, 10, 20)


def disc(side: int, radius: float, at: tuple[float, float] | None = None):
    y, x = np.mgrid[:side, :side] + 0.5
    cx, cy = at or (side / 2, side / 2)
    return (np.clip(radius - np.hypot(x - cx, y - cy) + 0.5, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("width", [1, 5, 20.5])
def test_the_border_of_a_disc_is_a_ring_of_that_width(width: float) -> None:
    border = find_border(disc(200, 60), width).astype(float) / 255
    expected = disc(200, 60 + width).astype(float) / 255
    assert border.sum() == pytest.approx(expected.sum(), rel=0.02)
    assert np.abs(border - expected).max() <= 1
    assert (np.abs(border - expected) > 0.9).mean() < 0.001


@pytest.mark.parametrize("width", [100, 150, 300])
def test_a_border_so_wide_that_it_is_found_in_small_is_as_exact_and_as_sharp(width: int) -> None:
    border = find_border(disc(1100, 200), width)
    assert (border >= disc(1100, 200 + width - 1.5)).all()
    assert (border <= disc(1100, 200 + width + 1.5)).all()
    is_soft = (border > 0) & (border < 255)
    assert is_soft.sum() < 3 * 2 * np.pi * (200 + width)  # px around its edge


def test_gaps_narrower_than_the_border_are_closed_and_wide_ones_are_not() -> None:
    alpha = np.zeros((200, 200), np.uint8)
    alpha[80:120, 40:90] = alpha[80:120, 110:160] = 255
    # 20 px wide: grown from both sides by 8 px it would stay open.
    for width, is_closed in ((5, False), (8, True)):
        border = find_border(alpha, width)
        assert (border[100, 100] == 255) == is_closed
    assert find_border(alpha, 8)[68, 100] == 0


def test_the_cut_out_lies_on_the_border_and_keeps_its_pixels() -> None:
    alpha = disc(120, 30)
    rgb = np.full((120, 120, 3), (10, 200, 30), np.uint8)
    rgb[alpha == 0] = 0
    shown, opacity = RENDERERS["outline"](rgb, alpha, {"width_pm": 10, "color": "#c80a14"}, LOOK)
    assert np.array_equal(shown[alpha == 255], rgb[alpha == 255])
    assert (shown[(alpha == 0) & (opacity > 0)] == RED).all()
    assert (opacity[alpha > 0] == 255).all()
    assert not shown[opacity == 0].any()
    soft = (alpha > 0) & (alpha < 255)
    share = alpha[soft].astype(float)[:, np.newaxis] / 255
    assert shown[soft] == pytest.approx(share * (10, 200, 30) + (1 - share) * RED, abs=1)


def test_a_layer_beneath_shows_through_as_much_as_the_cut_out_lets_it() -> None:
    rgb = np.array([[[100, 0, 0], [100, 0, 0], [100, 0, 0], [9, 9, 9]]], np.uint8)
    alpha = np.array([[255, 51, 51, 0]], np.uint8)
    together, opacity = lay_beneath(rgb, alpha, (0, 0, 200), np.array([[255, 255, 51, 0]], np.uint8))
    assert opacity.tolist() == [[255, 255, 92, 0]]
    assert together[0].tolist() == [[100, 0, 0], [20, 0, 160], [55, 0, 89], [0, 0, 0]]


def test_a_border_in_millimetres_is_as_wide_on_paper_as_it_says() -> None:
    alpha = disc(200, 60)
    rgb = np.zeros((200, 200, 3), np.uint8)
    on_paper = RENDERERS["outline"](
        rgb,
        alpha,
        {"width_pm": 12, "width_mm": 2, "color": "#ffffff"},
        Look(subject_px=120, seed=0, px_per_mm=5),
    )
    assert np.array_equal(on_paper[1] > 127, find_border(alpha, 10) > 127)


# --- room ------------------------------------------------------------------------------------------


def sticker(alpha, parameters=None, **wishes):
    """Put a subject of this opacity through the pipeline, and return the sticker's and the cut-out's RGBA."""
    effects = (EffectRequest(name="color"), EffectRequest(name="outline", parameters=parameters or {}))
    run = Run(recipe=Recipe(effects=effects, **wishes), model=Truth(alpha))
    run(saved(Image.new("RGB", alpha.shape[::-1], (90, 140, 60)), "PNG"))
    return run.pixels("outline"), run.pixels("color")


def is_closed(rgba) -> bool:
    """Whether nothing opaque touches the picture's edge."""
    alpha = rgba[..., 3]
    return not (alpha[0].any() or alpha[-1].any() or alpha[:, 0].any() or alpha[:, -1].any())


@pytest.mark.parametrize("margin", [0, 0.05, 0.3])
@pytest.mark.parametrize("at", [(100, 100), (42, 100), (100, 199), (0, 0)])
def test_a_crop_leaves_room_for_the_border_also_beyond_the_photos_edge(margin: float, at) -> None:
    bordered, bare = sticker(disc(200, 40, at), {"width_pm": 50.0}, crop="subject", margin=margin)
    assert bordered.shape == bare.shape
    assert is_closed(bordered)
    assert np.array_equal(bordered[bare[..., 3] == 255], bare[bare[..., 3] == 255])


def test_no_more_room_is_left_than_is_needed() -> None:
    bordered, _ = sticker(disc(200, 40, (0, 0)), {"width_pm": 50.0}, crop="subject", margin=0)
    seen = bordered[..., 3] > 0
    assert seen.any(axis=0).sum() >= bordered.shape[1] - 4
    alone = Run(recipe=Recipe(crop="subject", margin=0), model=Truth(disc(200, 40, (0, 0))))
    alone(saved(Image.new("RGB", (200, 200)), "PNG"))
    assert alone.pixels("color").shape == (40, 40, 4)


def test_without_a_crop_the_picture_keeps_the_photos_size_and_the_border_ends_at_its_edge() -> None:
    bordered, bare = sticker(disc(200, 40, (42, 100)), {"width_pm": 50.0})
    assert bordered.shape == (200, 200, 4)
    assert bordered[100, 0, 3] == 255
    assert bare[100, 0, 3] == 0


@pytest.mark.parametrize("crop", ["subject", "none"])
@pytest.mark.parametrize(
    ("print_mm", "width_mm"), [((60, 40), 3), ((50, 50), 5), ((200, 50), 5), ((40, 400), 1)]
)
def test_a_border_in_millimetres_is_whole_and_as_wide_as_it_says_on_the_final_print(
    crop, print_mm, width_mm
) -> None:
    """The border widens the picture, and the picture's width decides how many pixels a millimetre has."""
    alpha = disc(400, 120)
    bordered, bare = sticker(
        alpha,
        {"width_mm": width_mm},
        crop=crop,
        margin=0,
        print_width_mm=print_mm[0],
        print_height_mm=print_mm[1],
    )
    px_per_mm = max(bordered.shape[1] / print_mm[0], bordered.shape[0] / print_mm[1])
    rows = [np.flatnonzero(rgba[..., 3].max(axis=1) > 127) for rgba in (bordered, bare)]
    width_px = rows[1][0] - rows[0][0]
    assert width_px / px_per_mm == pytest.approx(width_mm, abs=1.2 / px_per_mm)
    assert is_closed(bordered)


@pytest.mark.parametrize("max_side", [64, 150])
def test_a_reduced_sticker_is_whole_too(max_side: int) -> None:
    bordered, _ = sticker(disc(400, 120), {"width_pm": 60.0}, crop="subject", margin=0, max_side=max_side)
    assert max(bordered.shape) == max_side
    assert is_closed(bordered)


def test_a_border_that_leaves_no_room_on_the_print_is_refused_at_submission() -> None:
    asked = {"effects": [{"name": "sticker", "width_mm": 5.1}], "print_width_mm": 50, "print_height_mm": 90}
    with pytest.raises(InvalidValueError, match="a tenth") as caught:
        read_order(asked, is_form=False)
    assert [fault.field for fault in caught.value.faults] == ["effects.outline.width_mm"]
    asked["effects"][0]["width_mm"] = 5
    assert read_order(asked, is_form=False).recipe.effects[0].parameters["width_mm"] == 5


def test_effects_that_stay_within_the_subject_reach_nowhere() -> None:
    assert reach_px(EffectRequest(name="color"), LOOK) == 0
    assert reach_px(EffectRequest(name="outline"), LOOK) == 13
