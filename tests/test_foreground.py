"""Along a soft rim the cut-out has the subject's colour, not the background's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.pictures import scene
from worker.foreground import estimate_foreground


def error(found, truth) -> float:
    """Return the mean error in [0, 1] where the true alpha is between 0 and 1."""
    is_mixed = (truth.alpha > 0) & (truth.alpha < 255)
    return float(np.abs(found[is_mixed].astype(float) - truth.foreground[is_mixed]).mean() / 255)


@pytest.mark.parametrize(("size", "rim_px"), [((320, 240), 8), ((320, 240), 30), ((1600, 1200), 40)])
def test_the_rim_comes_closer_to_the_true_colour_than_the_photo_is(size, rim_px) -> None:
    truth = scene(*size, rim_px=rim_px)
    doing_nothing = error(truth.rgb, truth)
    found = error(estimate_foreground(truth.rgb, truth.alpha), truth)
    assert found < 0.07
    assert found < doing_nothing / 2.5


def test_opaque_pixels_are_the_photos_own_and_hidden_ones_are_black() -> None:
    truth = scene()
    found = estimate_foreground(truth.rgb, truth.alpha)
    assert np.array_equal(found[truth.alpha == 255], truth.rgb[truth.alpha == 255])
    assert not found[truth.alpha == 0].any()


def test_the_background_far_away_has_no_say() -> None:
    truth = scene(600, 400)
    changed = truth.rgb.copy()
    changed[:10], changed[:, :10] = 255, 255
    assert np.array_equal(
        estimate_foreground(changed, truth.alpha), estimate_foreground(truth.rgb, truth.alpha)
    )


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_matte_gives_a_picture(data) -> None:
    shape = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    rgb = data.draw(arrays(np.uint8, (*shape, 3)))
    alpha = data.draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 127, 254, 255])))
    before = rgb.copy()
    found = estimate_foreground(rgb, alpha)
    assert np.array_equal(rgb, before)
    assert np.array_equal(found[alpha == 255], rgb[alpha == 255])
    assert not found[alpha == 0].any()


def test_an_image_and_a_matte_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        estimate_foreground(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.uint8))
