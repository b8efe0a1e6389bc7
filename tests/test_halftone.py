"""Halftone dots lie on a turned grid, and cover as much of the paper as the picture is dark."""

import numpy as np
import pytest

from shared.catalogue import EFFECTS
from tests.pictures import cut_out
from worker.effects import RENDERERS, Look
from worker.effects.halftone import separate

HALFTONE = RENDERERS["halftone"]
DEFAULTS = EFFECTS["halftone"].defaults()
LOOK = Look(subject_px=1000, seed=0)


def flat(color, width: int = 400, height: int = 300):
    return np.full((height, width, 3), color, np.uint8), np.full((height, width), 255, np.uint8)


@pytest.mark.parametrize("cell_pm", [4, 6, 20])
@pytest.mark.parametrize("level", [8, 40, 100, 128, 180, 230, 250])
def test_dots_cover_as_much_as_the_grey_is_dark(cell_pm: float, level: int) -> None:
    paper, _ = HALFTONE(*flat(level), DEFAULTS | {"cell_pm": cell_pm}, LOOK)
    assert paper.mean() == pytest.approx(level, abs=1.5)


@pytest.mark.parametrize("mode", ["mono", "cmyk"])
def test_white_is_paper_and_black_is_ink(mode: str) -> None:
    paper, _ = HALFTONE(*flat(255), DEFAULTS | {"mode": mode}, LOOK)
    ink, _ = HALFTONE(*flat(0), DEFAULTS | {"mode": mode}, LOOK)
    assert (paper == 255).all()
    assert ink.mean() < (1 if mode == "mono" else 20)


@pytest.mark.parametrize("angle", [0, 15, 45, 75])
@pytest.mark.parametrize("cell_px", [8, 12.5])
def test_rows_of_dots_have_the_distance_and_the_angle_asked_for(angle: float, cell_px: float) -> None:
    rgb, alpha = flat(190, 500, 500)
    paper, _ = HALFTONE(rgb, alpha, DEFAULTS | {"cell_pm": cell_px, "angle_deg": angle}, LOOK)
    spectrum = np.abs(np.fft.rfft2(paper[..., 0] - paper[..., 0].mean()))
    down, right = np.unravel_index(spectrum.argmax(), spectrum.shape)
    wave = np.array([right, (down + 250) % 500 - 250]) / 500
    assert 1 / np.linalg.norm(wave) == pytest.approx(cell_px, rel=0.04)
    turned = np.degrees(np.arctan2(wave[1], wave[0])) - angle
    assert abs((turned + 45) % 90 - 45) < 2


def test_a_cell_in_millimetres_is_as_wide_on_paper_as_it_says() -> None:
    rgb, alpha = cut_out()
    on_paper = DEFAULTS | {"cell_mm": 0.8}
    shown, _ = HALFTONE(rgb, alpha, on_paper, Look(subject_px=160, seed=0, px_per_mm=10))
    assert np.array_equal(shown, HALFTONE(rgb, alpha, DEFAULTS | {"cell_pm": 8}, LOOK)[0])


def test_mono_is_grey_and_dark_up_to_the_rim() -> None:
    alpha = cut_out()[1]
    rgb = np.full((*alpha.shape, 3), 60, np.uint8)
    rgb[alpha == 0] = 0
    shown, _ = HALFTONE(rgb, alpha, DEFAULTS, LOOK)
    whole, _ = HALFTONE(np.full_like(rgb, 60), np.full_like(alpha, 255), DEFAULTS, LOOK)
    assert np.array_equal(shown[alpha > 0], whole[alpha > 0])
    assert np.ptp(shown, axis=-1).max() == 0


@pytest.mark.parametrize(
    ("color", "inks"),
    [
        ((255, 255, 255), (0, 0, 0, 0)),
        ((0, 255, 255), (255, 0, 0, 0)),
        ((255, 0, 255), (0, 255, 0, 0)),
        ((255, 255, 0), (0, 0, 255, 0)),
        ((255, 0, 0), (0, 255, 255, 0)),
        ((0, 0, 0), (255, 255, 255, 204)),
        ((155, 155, 155), (29, 29, 29, 80)),
    ],
)
def test_black_takes_over_four_fifths_of_the_grey(color, inks) -> None:
    assert [int(ink[0, 0]) for ink in separate(np.array([[color]], np.uint8))] == list(inks)


@pytest.mark.parametrize(
    "color", [(200, 60, 40), (90, 150, 60), (60, 80, 190), (128, 128, 128), (220, 190, 160)]
)
def test_in_process_colours_a_colour_keeps_its_tone_and_hue(color) -> None:
    shown, _ = HALFTONE(*flat(color), DEFAULTS | {"mode": "cmyk"}, LOOK)
    mean = shown.reshape(-1, 3).mean(axis=0)
    assert mean == pytest.approx(np.array(color), abs=70)  # inks are no light: blue is duller
    if np.ptp(color):
        assert np.argsort(mean).tolist() == np.argsort(color).tolist()
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 8
