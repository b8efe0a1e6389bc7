"""Black-and-white film looks as it does in the pictures that customers own."""

import cv2
import numpy as np
import pytest

from shared.catalogue import EFFECTS
from tests.pictures import cut_out, gradient, opened, photo
from worker.effects import RENDERERS, Look
from worker.effects.enhanced_black_white import develop, film_curve

LOOK = Look(subject_px=1000, seed=7)
BW = RENDERERS["enhancedblackwhite"]
DEFAULTS = EFFECTS["enhancedblackwhite"].defaults()


def plain(**changes: float) -> dict[str, float]:
    """Return the film's parameters with everything but the curve turned off."""
    return {"contrast": 1.12, "edge": 0, "halation": 0, "grain": 0, "grain_size_pm": 1.5} | changes


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


@pytest.mark.parametrize(("film", "glows"), [(0.72, False), (0.78, True), (0.95, True)])
def test_what_is_lighter_than_three_quarters_glows(film: float, glows: bool) -> None:
    greys = np.arange(256) / 255
    level = np.abs(film_curve(greys.astype(np.float32), 1.12) - film).argmin()
    rgb = np.full((60, 60, 3), 60, np.uint8)
    rgb[25:35, 25:35] = level
    alpha = np.full((60, 60), 255, np.uint8)
    dark, glowing = (BW(rgb, alpha, plain(halation=h), LOOK)[0][30, 24, 0].astype(int) for h in (0, 0.3))
    assert (glowing > dark) == glows


def test_the_whole_film_but_its_grain_is_the_definition_step_by_step() -> None:
    """On a subject of 1000 px, in the order and with the numbers of the pictures that were sold."""
    rgb = opened(photo("raccoon"))[100:500, 300:900]
    grey = film_curve((rgb / 255 @ [0.18, 0.72, 0.10]).astype(np.float32), 1.12).astype(np.float64)
    grey = np.clip(grey + 0.9 * 4 * grey * (1 - grey) * (grey - cv2.GaussianBlur(grey, (0, 0), 1.2)), 0, 1)
    mask = (grey > 0.75).astype(np.float64)
    glow = 0.3 * cv2.GaussianBlur(mask, (0, 0), 7) + 0.7 * cv2.GaussianBlur(mask, (0, 0), 2.5)
    grey = np.clip(grey + 0.12 * glow * (1 - grey**2), 0, 1)
    expected = 255 * np.where(grey > 0.9, 0.95 * grey + 0.05, grey)
    film, _ = BW(rgb, np.full(rgb.shape[:2], 255, np.uint8), DEFAULTS | {"grain": 0}, LOOK)
    difference = np.abs(film[..., 0] - expected)[20:-20, 20:-20]  # at the rim there is no definition
    assert difference.mean() < 0.35
    assert np.quantile(difference, 0.999) < 3


def test_grain_is_strongest_in_the_dark_and_does_not_move_the_mean() -> None:
    alpha = np.full((300, 300), 255, np.uint8)
    spreads = []
    for grey in (90, 215, 236):
        rgb = np.full((300, 300, 3), grey, np.uint8)
        smooth, grainy = (BW(rgb, alpha, plain(grain=g), LOOK)[0][..., 0].astype(float) for g in (0, 0.08))
        assert abs(grainy.mean() - smooth.mean()) < 0.5
        spreads.append(grainy.std())
    # The definition's deviation is hypot(0.28, 0.18) x 0.08 x (1.2 - grey), in 8-bit levels.
    expected = [
        np.hypot(0.28, 0.18) * 0.08 * 255 * (1.2 - film)
        for film in film_curve(np.float32([90, 215]) / 255, 1.12)
    ]
    expected.append(
        np.hypot(0.28, 0.18) * 0.08 * 255 * 0.3 * 0.95
    )  # never less than 0.3; highlights are lifted
    assert spreads == pytest.approx([min(e, np.hypot(0.28, 0.18) * 0.08 * 255) for e in expected], rel=0.08)


def test_a_share_of_the_grain_is_twice_as_coarse() -> None:
    """A grain and a half away fine grain is another one, and the coarse still the same."""
    rgb, alpha = np.full((600, 600, 3), 128, np.uint8), np.full((600, 600), 255, np.uint8)
    look = Look(subject_px=2000, seed=7)
    film = BW(rgb, alpha, plain(grain=0.2, grain_size_pm=4), look)[0][..., 0].astype(float)  # grains of 8 px
    assert np.corrcoef(film[:, :-12].ravel(), film[:, 12:].ravel())[0, 1] > 0.04
    assert abs(np.corrcoef(film[:, :-40].ravel(), film[:, 40:].ravel())[0, 1]) < 0.02


def test_another_photo_has_other_grain() -> None:
    rgb, alpha = cut_out()
    one, other = (BW(rgb, alpha, DEFAULTS, Look(subject_px=1000, seed=s))[0] for s in (1, 2))
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
                DEFAULTS | {"grain_size_pm": 4},
                Look(subject_px=subject_px, seed=3),
            )[0]
        )
    reduced = cv2.resize(films[0], (600, 480), interpolation=cv2.INTER_AREA)
    difference = reduced[..., 0].astype(float) - films[1][..., 0]
    assert np.abs(difference).mean() < 2.5
    assert np.corrcoef(reduced[..., 0].ravel(), films[1][..., 0].ravel())[0, 1] > 0.99
