"""Along a soft rim the cut-out has the subject's colour, not the background's."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.pictures import Scene, flat, scene
from worker.foreground import estimate_foreground
from worker.matting.device_foreground import estimate_foreground_on

#: Where there is a CUDA device it is asked as well.
DEVICES = [torch.device(kind) for kind in ("cpu", "cuda") if kind == "cpu" or torch.cuda.is_available()]
#: Whoever finds the subject's colour, here or on a device: the same is asked of all.
ESTIMATES = {"at the mixed pixels": estimate_foreground} | {
    f"at all on {device}": partial(estimate_foreground_on, device) for device in DEVICES
}
by_all = pytest.mark.parametrize("estimate", ESTIMATES.values(), ids=ESTIMATES)


def error(found, truth) -> float:
    """Return the mean error in [0, 1] where the true alpha is between 0 and 1."""
    is_mixed = (truth.alpha > 0) & (truth.alpha < 255)
    return float(np.abs(found[is_mixed].astype(float) - truth.foreground[is_mixed]).mean() / 255)


SIZES = [(320, 240, 8), (320, 240, 30), (321, 243, 8), (99, 75, 8), (1601, 1200, 40), (1600, 1200, 40)]


@pytest.mark.parametrize(("width", "height", "rim_px"), SIZES)
@by_all
def test_the_rim_comes_closer_to_the_true_colour_than_the_photo_is(estimate, width, height, rim_px) -> None:
    truth = scene(width, height, rim_px=rim_px)
    doing_nothing = error(truth.rgb, truth)
    found = error(estimate(truth.rgb, truth.alpha), truth)
    assert found < 0.07
    assert found < doing_nothing / 2.5


@by_all
def test_opaque_pixels_are_the_photos_own_and_hidden_ones_are_black(estimate) -> None:
    truth = scene()
    found = estimate(truth.rgb, truth.alpha)
    assert np.array_equal(found[truth.alpha == 255], truth.rgb[truth.alpha == 255])
    assert not found[truth.alpha == 0].any()


@by_all
def test_the_background_far_away_has_no_say(estimate) -> None:
    truth = scene(600, 400)
    changed = truth.rgb.copy()
    changed[:10], changed[:, :10] = 255, 255
    assert np.array_equal(estimate(changed, truth.alpha), estimate(truth.rgb, truth.alpha))


@by_all
def test_where_the_subject_stands_makes_no_difference(estimate) -> None:
    truth = scene(300, 200, rim_px=3)
    moves = [(0, 0), (1, 2), (2, 1), (3, 3)]
    errors = [_error_when_moved(estimate, truth, across, down) for across, down in moves]
    assert max(errors) < 1.02 * min(errors)


def _error_when_moved(estimate, truth, across_px: int, down_px: int) -> float:
    """Return the error of a scene somewhere in a photo whose background goes on."""
    at = slice(20 + down_px, 220 + down_px), slice(20 + across_px, 320 + across_px)
    rgb, alpha = np.full((250, 350, 3), (30, 90, 120), np.uint8), np.zeros((250, 350), np.uint8)
    rgb[at], alpha[at] = truth.rgb, truth.alpha
    return error(estimate(rgb, alpha)[at], truth)


@by_all
def test_a_view_of_a_larger_photo_gives_what_a_copy_gives(estimate) -> None:
    truth = scene()
    part = slice(20, 221), slice(30, 291)
    copies = truth.rgb[part].copy(), truth.alpha[part].copy()
    assert np.array_equal(estimate(truth.rgb[part], truth.alpha[part]), estimate(*copies))


@by_all
def test_a_photo_that_may_not_be_written_is_read(estimate) -> None:
    truth = scene(64, 48)
    for plane in (truth.rgb, truth.alpha):
        plane.flags.writeable = False
    assert estimate(truth.rgb, truth.alpha).any()


LARGE = {"a strip": (33, 5000), "a tall strip": (5000, 33), "two rows": (2, 4098)}


@pytest.mark.parametrize("shape", LARGE.values(), ids=LARGE)
@by_all
def test_a_lone_mixed_pixel_of_a_large_photo_is_not_lost_on_the_way_to_its_small_ones(
    estimate, shape
) -> None:
    rgb, alpha = np.full((*shape, 3), 200, np.uint8), np.full(shape, 255, np.uint8)
    alpha[shape[0] // 2, shape[1] // 2] = 128
    found = estimate(rgb, alpha)
    assert (found[alpha == 255] == 200).all()
    assert found[alpha < 255].min() >= 200, "the background may be anything; the subject is no darker"


@by_all
def test_subjects_that_a_small_picture_does_not_show_opaque_keep_their_colour(estimate) -> None:
    y, x = np.ogrid[:33, :5000]
    near = [np.hypot(y - 16, x - middle) for middle in (60, 4900)]
    alpha = (np.clip((11 - np.minimum(*near)) / 4 + 0.5, 0, 1) * 255).round().astype(np.uint8)
    foreground = np.where((x < 2500)[..., np.newaxis], np.array([205, 120, 40]), np.array([240, 240, 235]))
    foreground = np.broadcast_to(foreground, (33, 5000, 3))
    opacity = alpha[..., np.newaxis] / 255
    photo = (opacity * foreground + (1 - opacity) * np.array([30, 90, 120])).round().astype(np.uint8)
    truth = Scene(photo, alpha, foreground.astype(np.uint8))
    assert error(estimate(photo, alpha), truth) < error(photo, truth) / 8


FAINT = {
    "a few pixels": flat(np.array([[0, 0, 0, 0, 0], [0, 0.4, 1, 0.4, 0], [0, 0, 0.3, 0, 0]])),
    "no opaque pixel": flat(0.8 * np.outer(np.hanning(15), np.hanning(15))),
    "no hidden pixel": flat(1 - 0.7 * np.outer(np.hanning(99), np.hanning(99))),
}


@pytest.mark.parametrize("truth", FAINT.values(), ids=FAINT)
@by_all
def test_what_is_hardly_to_be_seen_alone_has_its_colour_too(estimate, truth) -> None:
    assert error(estimate(truth.rgb, truth.alpha), truth) < 2 / 255


@by_all
def test_a_photo_seen_from_the_other_side_is_read(estimate) -> None:
    for width in (1, 8):  # NumPy calls a single column contiguous whichever way it runs
        rgb, alpha = np.full((5, width, 3), 99, np.uint8), np.full((5, width), 128, np.uint8)
        assert np.array_equal(estimate(rgb[:, ::-1], alpha[:, ::-1]), estimate(rgb, alpha))


@by_all
def test_fog_all_over_is_a_picture_too(estimate) -> None:
    rgb = scene(640, 480).rgb
    found = estimate(rgb, np.full((480, 640), 128, np.uint8))
    assert np.abs(found.astype(int) - rgb).mean() < 64


@by_all
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_matte_gives_a_picture(estimate, data) -> None:
    shape = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    rgb = data.draw(arrays(np.uint8, (*shape, 3)))
    alpha = data.draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 127, 254, 255])))
    before = rgb.copy()
    found = estimate(rgb, alpha)
    assert np.array_equal(rgb, before)
    assert np.array_equal(found[alpha == 255], rgb[alpha == 255])
    assert not found[alpha == 0].any()


@by_all
def test_an_image_and_a_matte_of_different_size_are_refused(estimate) -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        estimate(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.uint8))
