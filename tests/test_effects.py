"""Every effect in the catalogue can be rendered, sees only the subject, and looks as customers know it."""

import tracemalloc
from types import MappingProxyType

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.catalogue import EFFECTS
from tests.pictures import gradient, scene
from worker.effects import RENDERERS, Look
from worker.effects.enhanced_black_white import develop, film_curve
from worker.neighbourhoods import blur_within

LOOK = Look(subject_px=1000, seed=7)
BW = RENDERERS["enhancedblackwhite"]


def defaults(name: str) -> dict[str, float]:
    return {p.name: p.default for p in EFFECTS[name].parameters}


def plain(**changes: float) -> dict[str, float]:
    """Return the film's parameters with everything but the curve turned off."""
    return {"contrast": 1.12, "edge": 0, "halation": 0, "grain": 0, "grain_size_pm": 1.5} | changes


def cut_out(width: int = 160, height: int = 120):
    picture = scene(width, height)
    rgb = picture.foreground.copy()
    rgb[picture.alpha == 0] = 0
    return rgb, picture.alpha


def test_the_catalogue_and_the_renderers_name_the_same_effects_field_report_18() -> None:
    assert set(RENDERERS) == set(EFFECTS)
    assert isinstance(RENDERERS, MappingProxyType)


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_leaves_its_arguments_alone_and_keeps_hidden_pixels_black(name: str) -> None:
    rgb, alpha = cut_out()
    before = rgb.copy(), alpha.copy()
    rendered, opacity = RENDERERS[name](rgb, alpha, defaults(name), LOOK)
    assert np.array_equal(rgb, before[0])
    assert np.array_equal(alpha, before[1])
    assert (rendered.shape, rendered.dtype, opacity.dtype) == (rgb.shape, np.uint8, np.uint8)
    assert not rendered[opacity == 0].any()


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_never_sees_what_lies_under_no_opacity(name: str) -> None:
    rgb, alpha = cut_out()
    garbage = np.where(alpha[..., np.newaxis] == 0, np.uint8(255), rgb)
    one, _ = RENDERERS[name](rgb, alpha, defaults(name), LOOK)
    other, _ = RENDERERS[name](garbage, alpha, defaults(name), LOOK)
    assert np.array_equal(one[alpha > 0], other[alpha > 0])


@pytest.mark.parametrize("name", EFFECTS)
def test_the_same_seed_gives_the_same_picture_field_report_29(name: str) -> None:
    pictures = [RENDERERS[name](*cut_out(), defaults(name), LOOK)[0] for _ in range(2)]
    assert np.array_equal(*pictures)


@pytest.mark.parametrize("name", EFFECTS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_an_effect_can_be_rendered_at_any_size_and_with_any_parameters(name: str, data) -> None:
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    rgb = data.draw(arrays(np.uint8, (*shape, 3), elements=st.integers(0, 255)))
    alpha = data.draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 128, 255])))
    parameters = {p.name: data.draw(st.floats(p.minimum, p.maximum)) for p in EFFECTS[name].parameters}
    rgb[alpha == 0] = 0
    look = Look(subject_px=data.draw(st.integers(1, 12_000)), seed=data.draw(st.integers(0, 2**64 - 1)))
    rendered, opacity = RENDERERS[name](rgb, alpha, parameters, look)
    assert rendered.shape == rgb.shape
    assert np.array_equal(opacity, alpha)
    assert not rendered[alpha == 0].any()


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_needs_at_most_40_bytes_a_pixel_field_report_15(name: str) -> None:
    rgb = np.full((1500, 2000, 3), 200, np.uint8)
    alpha = np.full((1500, 2000), 255, np.uint8)
    tracemalloc.start()
    RENDERERS[name](rgb, alpha, defaults(name), Look(subject_px=2000, seed=1))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 40 * alpha.size


def test_color_is_the_cut_out_as_it_is() -> None:
    rgb, alpha = cut_out()
    rendered, opacity = RENDERERS["color"](rgb, alpha, {}, LOOK)
    assert np.array_equal(rendered, rgb)
    assert np.array_equal(opacity, alpha)


# --- film -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grey", "rendered"),
    [(0.1, 0.065), (0.25, 0.205), (0.4, 0.368), (0.5, 0.468), (0.6, 0.565), (0.75, 0.73), (0.9, 0.924)],
)
def test_the_film_renders_greys_as_in_the_pictures_that_were_sold(grey: float, rendered: float) -> None:
    assert film_curve(np.float32([grey]), 1.12)[0] == pytest.approx(rendered, abs=0.0006)


def test_a_photo_is_developed_by_the_weights_of_its_channels() -> None:
    patches = np.uint8([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]]])
    expected = film_curve(np.float32([0.18, 0.72, 0.10, 128 / 255]), 1.12)
    assert develop(patches, 1.12)[0] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("grey", [26, 64, 128, 153, 191, 230, 245])
def test_a_flat_subject_keeps_its_grey_to_the_rim_with_every_neighbourhood_on(grey: int) -> None:
    alpha = cut_out()[1]
    rgb = np.full((*alpha.shape, 3), grey, np.uint8)
    rgb[alpha == 0] = 0
    film, _ = BW(rgb, alpha, plain(edge=1.5), LOOK)
    curve = float(film_curve(np.float32([grey / 255]), 1.12)[0])
    expected = 255 * (0.95 * curve + 0.05 if curve > 0.9 else curve)
    assert np.abs(film[alpha > 0].astype(float) - expected).max() <= 0.6


def test_micro_contrast_spreads_two_greys_beside_an_edge_and_nowhere_else() -> None:
    rgb = np.full((40, 80, 3), 110, np.uint8)
    rgb[:, 40:] = 140
    alpha = np.full((40, 80), 255, np.uint8)
    flat, crisp = (BW(rgb, alpha, plain(edge=edge), LOOK)[0][20, :, 0].astype(int) for edge in (0, 0.9))
    assert crisp[39] < flat[39]
    assert crisp[40] > flat[40]
    assert np.array_equal(crisp[:30], flat[:30])


def test_a_highlight_glows_into_the_dark_beside_it() -> None:
    rgb = np.full((60, 60, 3), 60, np.uint8)
    rgb[25:35, 25:35] = 250
    alpha = np.full((60, 60), 255, np.uint8)
    dark, glowing = (BW(rgb, alpha, plain(halation=h), LOOK)[0][30, :, 0].astype(int) for h in (0, 0.12))
    assert glowing[24] >= dark[24] + 6
    assert glowing[1] - dark[1] <= 1


def test_grain_is_strongest_in_the_dark_and_does_not_move_the_mean() -> None:
    alpha = np.full((300, 300), 255, np.uint8)
    spreads = []
    for grey in (90, 215):
        rgb = np.full((300, 300, 3), grey, np.uint8)
        smooth, grainy = (BW(rgb, alpha, plain(grain=g), LOOK)[0][..., 0].astype(float) for g in (0, 0.08))
        assert abs(grainy.mean() - smooth.mean()) < 0.5
        spreads.append(grainy.std())
    # The definition's deviation is hypot(0.28, 0.18) x 0.08 x (1.2 - grey), in 8-bit levels.
    expected = [
        np.hypot(0.28, 0.18) * 0.08 * 255 * (1.2 - film)
        for film in film_curve(np.float32([90, 215]) / 255, 1.12)
    ]
    assert spreads == pytest.approx([min(e, np.hypot(0.28, 0.18) * 0.08 * 255) for e in expected], rel=0.08)


def test_another_photo_has_other_grain() -> None:
    rgb, alpha = cut_out()
    one, other = (
        BW(rgb, alpha, defaults("enhancedblackwhite"), Look(subject_px=1000, seed=s))[0] for s in (1, 2)
    )
    assert not np.array_equal(one, other)


def test_a_preview_and_the_print_file_look_alike() -> None:
    """Grain, glow and detail grow with the subject: the reduced print is the preview."""
    large = cv2.resize(gradient(300, 240), (1200, 960), interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(large, (600, 480), interpolation=cv2.INTER_AREA)
    films = []
    for rgb, subject_px in ((large, 2000), (small, 1000)):
        alpha = np.full(rgb.shape[:2], 255, np.uint8)
        films.append(
            BW(
                rgb,
                alpha,
                defaults("enhancedblackwhite") | {"grain_size_pm": 4},
                Look(subject_px=subject_px, seed=3),
            )[0]
        )
    reduced = cv2.resize(films[0], (600, 480), interpolation=cv2.INTER_AREA)
    difference = reduced[..., 0].astype(float) - films[1][..., 0]
    assert np.abs(difference).mean() < 2.5
    assert np.corrcoef(reduced[..., 0].ravel(), films[1][..., 0].ravel())[0, 1] > 0.99


# --- neighbourhoods -------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma_px", [0.5, 1.2, 4.8, 28])
def test_a_blur_of_one_value_is_that_value_up_to_the_rim(sigma_px: float) -> None:
    alpha = cut_out()[1].astype(np.float32) / 255
    blurred = blur_within(np.where(alpha > 0, np.float32(0.6), np.float32(9)), alpha, sigma_px)
    assert np.abs(blurred[alpha > 0.5] - 0.6).max() < 0.01


@pytest.mark.parametrize("sigma_px", [3.5, 4.8, 10, 28])
def test_a_wide_blur_at_a_reduced_size_is_the_blur_at_full_size(sigma_px: float) -> None:
    values = gradient(320, 240)[..., 0].astype(np.float32) / 255
    values[100:140, 150:170] = 1
    found = blur_within(values, np.ones_like(values), sigma_px)
    assert np.abs(found - cv2.GaussianBlur(values, (0, 0), sigma_px)).max() < 0.03
