"""Dithering is Floyd and Steinberg's, to the bit, on a grid of one sample a dot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.catalogue import EFFECTS
from tests.pictures import cut_out, gradient
from worker.effects import RENDERERS, Look
from worker.effects.dithering import find_thresholds, find_tones
from worker.error_diffusion import diffuse

DITHERING = RENDERERS["dithering"]
DEFAULTS = EFFECTS["dithering"].defaults()
PLAIN = DEFAULTS | {"gamma": 1, "sharpen": 0, "adaptive": False}

tone = st.floats(0, 1, width=32)


def in_plain_python(tones, thresholds, is_open):
    """Go from cell to cell, left to right and down, as the paper says."""
    rows, columns = tones.shape
    carried = np.zeros((rows + 1, columns + 2), np.float32)
    light = np.zeros((rows, columns), bool)
    shares = ((1, -1, 3), (1, 0, 5), (1, 1, 1), (0, 1, 7))  # down, right, sixteenths
    for y in range(rows):
        for x in range(columns):
            if not is_open[y, x]:
                continue
            value = tones[y, x] + carried[y, x + 1] / np.float32(16)
            light[y, x] = value >= thresholds[y, x]
            for down, right, sixteenths in shares:
                carried[y + down, x + 1 + right] += np.float32(sixteenths) * (value - np.float32(light[y, x]))
    return light


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_it_is_what_a_cell_by_cell_loop_gives(data) -> None:
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    tones, thresholds = (data.draw(arrays(np.float32, shape, elements=tone)) for _ in range(2))
    is_open = data.draw(arrays(bool, shape))
    found = diffuse(tones, thresholds, is_open)
    assert np.array_equal(found, in_plain_python(tones, thresholds, is_open))


def test_it_is_what_a_loop_gives_on_a_large_grid_with_holes() -> None:
    random = np.random.default_rng(5)
    tones = random.random((90, 130), dtype=np.float32)
    is_open = random.random(tones.shape) > 0.2
    thresholds = np.full_like(tones, 0.5)
    assert np.array_equal(diffuse(tones, thresholds, is_open), in_plain_python(tones, thresholds, is_open))


def test_errors_go_7_3_5_1_sixteenths_to_the_right_and_down() -> None:
    """A dark cell of 0.4 leaves 0.4; each neighbour is light from just where its share lifts it to 0.5."""
    for (y, x), sixteenths in {(0, 2): 7, (1, 0): 3, (1, 1): 5, (1, 2): 1}.items():
        for more, is_light in ((1e-4, True), (-1e-4, False)):
            tones = np.zeros((2, 3), np.float32)
            tones[0, 1] = 0.4
            tones[y, x] = 0.5 - 0.4 * sixteenths / 16 + more
            is_open = np.zeros(tones.shape, bool)
            is_open[0, 1] = is_open[y, x] = True
            assert diffuse(tones, np.full_like(tones, 0.5), is_open)[y, x] == is_light


def test_a_hole_takes_no_dot_and_hands_no_error_on() -> None:
    tones = np.full((1, 3), 0.4, np.float32)
    is_open = np.array([[True, False, True]])
    assert diffuse(tones, np.full_like(tones, 0.5), is_open).tolist() == [[False, False, False]]
    assert diffuse(tones, np.full_like(tones, 0.5), is_open | True).tolist() == [[False, True, False]]


def test_the_whole_effect_is_the_plain_loop_on_the_means_of_its_cells() -> None:
    grey = gradient(60, 40)[..., 1]
    rgb = np.repeat(np.dstack((grey, grey, grey)), 1, axis=0)
    alpha = np.full(grey.shape, 255, np.uint8)
    alpha[:22, :27] = 0
    alpha[20:, 40:] = 9  # so faint a dot is there as well
    rgb[alpha == 0] = 0
    shown, _ = DITHERING(rgb, alpha, PLAIN | {"cell_pm": 5}, Look(subject_px=1000, seed=0))
    opacity = alpha.astype(float).reshape(8, 5, 12, 5).sum(axis=(1, 3))
    totals = (rgb[..., 0].astype(float) * alpha).reshape(8, 5, 12, 5).sum(axis=(1, 3))
    is_open = opacity > 0
    means = (totals / np.maximum(opacity, 1) / 255).astype(np.float32)
    dots = in_plain_python(means, np.full_like(means, 0.5), is_open)
    expected = np.kron(dots, np.ones((5, 5))) * 255 * (alpha > 0)
    assert np.array_equal(shown[..., 0], expected)


@pytest.mark.parametrize(("cell_pm", "subject_px"), [(2, 2500), (5, 1000), (10, 500)])
def test_dots_are_one_cell_wide(cell_pm: float, subject_px: float) -> None:
    rgb, alpha = gradient(150, 100), np.full((100, 150), 255, np.uint8)
    shown, _ = DITHERING(rgb, alpha, DEFAULTS | {"cell_pm": cell_pm}, Look(subject_px=subject_px, seed=0))
    cells = shown[..., 0].reshape(20, 5, 30, 5)
    assert np.array_equal(cells.min(axis=(1, 3)), cells.max(axis=(1, 3)))
    assert set(np.unique(shown)) == {0, 255}


def test_a_cell_in_millimetres_is_as_wide_on_paper_as_it_says() -> None:
    rgb, alpha = gradient(150, 100), np.full((100, 150), 255, np.uint8)
    on_paper, _ = DITHERING(
        rgb, alpha, DEFAULTS | {"cell_mm": 0.5}, Look(subject_px=150, seed=0, px_per_mm=10)
    )
    relative, _ = DITHERING(rgb, alpha, DEFAULTS | {"cell_pm": 5}, Look(subject_px=1000, seed=0))
    assert np.array_equal(on_paper, relative)


@pytest.mark.parametrize("level", [40, 128, 200])
def test_a_flat_grey_keeps_its_tone_and_black_and_white_stay(level: int) -> None:
    rgb, alpha = np.full((200, 200, 3), level, np.uint8), np.full((200, 200), 255, np.uint8)
    look = Look(subject_px=500, seed=0)
    shown, _ = DITHERING(rgb, alpha, PLAIN, look)
    assert shown.mean() == pytest.approx(level, abs=2)
    lightened, _ = DITHERING(rgb, alpha, PLAIN | {"gamma": 0.45}, look)
    assert lightened.mean() == pytest.approx(255 * (level / 255) ** 0.45, abs=2)
    for extreme in (0, 255):
        assert (DITHERING(np.full_like(rgb, extreme), alpha, PLAIN, look)[0] == extreme).all()


def test_sharpening_adds_the_3_x_3_laplacian_of_the_lightened_tones() -> None:
    grey = np.array([[0, 0, 0, 0], [0, 64, 128, 0], [0, 0, 0, 0]], np.float32)
    opaque = np.ones_like(grey)
    tones, sharp = (find_tones(grey, opaque, 0.5, sharpen) for sharpen in (0, 0.1))
    assert tones == pytest.approx(np.sqrt(grey / 255))
    a, b = tones[1, 1], tones[1, 2]
    assert sharp[1, 1] == pytest.approx(a + 0.1 * (4 * a - b))
    assert sharp[1, 2] == pytest.approx(b + 0.1 * (4 * b - a))


def test_no_edge_is_seen_where_the_subject_ends() -> None:
    opacity = cut_out()[1].astype(np.float32) / 255
    grey = np.where(opacity > 0, np.float32(90), 0)
    tones = find_tones(grey, opacity, 0.45, 1)
    assert np.ptp(tones[opacity > 0]) < 1e-6
    thresholds = find_thresholds(tones, opacity, is_adaptive=True)
    assert np.ptp(thresholds[opacity > 0]) < 0.01


def test_an_adaptive_threshold_is_seven_tenths_of_the_surroundings() -> None:
    for level in (0.2, 0.8):
        tones = np.full((30, 30), level, np.float32)
        adaptive, fixed = (
            find_thresholds(tones, np.ones_like(tones), is_adaptive=is_adaptive)
            for is_adaptive in (True, False)
        )
        assert adaptive == pytest.approx(np.full_like(tones, 0.7 * level + 0.15), abs=1e-4)
        assert (fixed == 0.5).all()


def test_the_surroundings_are_five_cells_wide() -> None:
    """A step is blurred by a Gaussian of that deviation: there, 84 % of it has come."""
    tones = np.zeros((41, 81), np.float32)
    tones[:, 41:] = 1
    thresholds = find_thresholds(tones, np.ones_like(tones), is_adaptive=True)[20]
    risen = (thresholds - 0.15) / 0.7
    assert risen[[41 - 6, 41 + 5]] == pytest.approx([1 - 0.864, 0.864], abs=0.02)
