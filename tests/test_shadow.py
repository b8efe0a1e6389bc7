"""A shadow lies beneath the cut-out, where, how soft and how dark it was asked for, and is not cut off."""

import numpy as np
import pytest
from PIL import Image

from shared.catalogue import EFFECTS
from shared.recipes import EffectRequest, Recipe
from tests.pictures import saved
from tests.test_pipeline import Run, Truth
from worker.arrays import Box
from worker.effects import REACHES, RENDERERS, Look
from worker.effects.shadow import drop
from worker.room import find_room
from worker.subject import Subject, crop_box

DEFAULTS = EFFECTS["shadow"].defaults()
LOOK = Look(subject_px=1000, seed=0)


def square(side: int = 120, start: int = 40, end: int = 80):
    alpha = np.zeros((side, side), np.uint8)
    alpha[start:end, start:end] = 255
    return alpha


def test_without_blur_it_is_the_silhouette_moved_right_and_down() -> None:
    shown = drop(square(), {"offset_pm": 7, "blur_pm": 0, "opacity": 0.4}, LOOK)
    assert np.array_equal(shown, square(start=47, end=87) // 255 * np.uint8(102))


def test_it_is_as_soft_and_as_dark_as_asked() -> None:
    alpha = square(400, 100, 300)
    shown = drop(alpha, {"offset_pm": 0, "blur_pm": 10, "opacity": 0.5}, LOOK).astype(float)
    assert shown[200, 200] == pytest.approx(127.5, abs=1)
    edge = shown[200, 250:350] / 127.5
    inner, outer = np.interp([-0.8413, -0.1587], -edge, np.arange(100))
    assert outer - inner == pytest.approx(20, rel=0.1)  # two standard deviations
    assert shown.sum() == pytest.approx(0.5 * alpha.sum(), rel=0.01)


def test_the_cut_out_lies_on_it_and_keeps_its_pixels() -> None:
    alpha = square()
    rgb = np.full((120, 120, 3), 180, np.uint8)
    rgb[alpha == 0] = 0
    shown, opacity = RENDERERS["shadow"](rgb, alpha, DEFAULTS, LOOK)
    assert np.array_equal(shown[alpha == 255], rgb[alpha == 255])
    assert (opacity[alpha == 255] == 255).all()
    assert not shown[alpha == 0].any()
    assert 0 < opacity[alpha == 0].max() <= round(0.35 * 255)


def test_a_subject_that_the_photo_cuts_off_has_a_shadow_that_goes_on() -> None:
    alpha = np.zeros((100, 100), np.uint8)
    alpha[30:70, :50] = 255
    shown = drop(alpha, DEFAULTS, LOOK)
    assert np.array_equal(shown[:, 0], shown[:, 10])


def opaque_pixels(**changes) -> np.ndarray:
    run = Run(
        recipe=Recipe(
            effects=(EffectRequest(name="shadow", parameters=DEFAULTS | changes),), crop="subject", margin=0
        ),
        model=Truth(square(400, 150, 250)),
    )
    run(saved(Image.new("RGB", (400, 400), (90, 140, 60)), "PNG"))
    return run.pixels("shadow")[..., 3]


@pytest.mark.parametrize("changes", [{}, {"offset_pm": 60, "blur_pm": 0}, {"offset_pm": 0, "blur_pm": 50}])
def test_a_crop_leaves_it_room(changes) -> None:
    alpha = opaque_pixels(opacity=1, **changes)
    edges = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    assert edges.max() <= 0.02 * 255
    full, cut = alpha.astype(int).sum(), 255 * 100 * 100
    assert full > cut


def widest(width: int, height: int, margin: float = 0) -> tuple[int, Box]:
    """Return the room for the widest shadow of a subject that fills its photo, and what is kept around it."""
    request = EffectRequest(name="shadow", parameters=DEFAULTS | {"offset_pm": 60, "blur_pm": 50})
    recipe = Recipe(effects=(request,), format="webp", crop="subject", margin=margin)
    subject = Subject(box=(0, 0, width, height), coverage=1, touches_edge=())
    room_px = find_room(subject, recipe, (height, width))
    return room_px, crop_box(subject, recipe, (height, width), room_px)


@pytest.mark.parametrize(
    ("width", "height"), [(640, 480), (4000, 3000), (4000, 6000), (8000, 6000), (4000, 1000)]
)
def test_the_widest_one_of_a_usual_photo_has_all_the_room_that_it_needs(width: int, height: int) -> None:
    reach = REACHES["shadow"]({"offset_pm": 60, "blur_pm": 50}, Look(subject_px=max(width, height), seed=0))
    assert widest(width, height)[0] == reach


@pytest.mark.parametrize("margin", [0, 0.5])
@pytest.mark.parametrize(("width", "height"), [(12_000, 5000), (5000, 12_000), (12_000, 1000), (12_000, 32)])
def test_the_widest_one_of_the_longest_photo_fits_a_webp_and_the_memory(width, height, margin) -> None:
    """A WebP ends at 16,383 px a side."""
    _, box = widest(width, height, margin)
    assert 12_000 < box.longer_side <= 16_383
    assert width * height < box.width * box.height <= 2 * width * height + 8_000_000


def test_it_reaches_as_far_as_it_says() -> None:
    assert REACHES["shadow"](DEFAULTS, LOOK) == pytest.approx(15 + 2.6 * 12, abs=2)
