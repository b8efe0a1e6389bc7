"""The subject's box, the crop around it, the reduction and the background are exact in pixels."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.errors import NoSubjectError
from shared.photo_gate import MAX_SIDE_PX
from shared.recipes import CROPS, Recipe
from tests.pictures import scene
from worker.arrays import scale_alpha
from worker.subject import Frame, find_subject, frame_subject, over, shrink

byte = st.integers(0, 255)


def matte(x: int, y: int, width: int, height: int):
    alpha = np.zeros((100, 200), np.uint8)
    alpha[y : y + height, x : x + width] = 255
    return alpha


def framed(alpha, **recipe) -> Frame:
    rgb = np.where(alpha[..., np.newaxis] > 0, np.uint8(90), np.uint8(0)) * np.ones(3, np.uint8)
    return frame_subject(rgb, alpha, find_subject(alpha), Recipe(**recipe))


def test_the_box_is_in_pixels_of_the_photo() -> None:
    subject = find_subject(matte(30, 20, 50, 40))
    assert (subject.box, subject.coverage, subject.touches_edge) == ((30, 20, 50, 40), 0.1, ())


@pytest.mark.parametrize(
    ("box", "edges"),
    [
        ((1, 1, 198, 98), ()),
        ((0, 20, 50, 40), ("left",)),
        ((30, 0, 50, 40), ("top",)),
        ((150, 20, 50, 40), ("right",)),
        ((30, 60, 50, 40), ("bottom",)),
        ((0, 0, 200, 100), ("left", "top", "right", "bottom")),
    ],
)
def test_edges_that_cut_the_subject_are_named(box, edges) -> None:
    assert find_subject(matte(*box)).touches_edge == edges


def test_a_haze_is_no_subject() -> None:
    with pytest.raises(NoSubjectError):
        find_subject(np.full((100, 200), 20, np.uint8))


def test_a_result_shows_the_whole_photo_unless_a_crop_is_asked_for_field_report_28() -> None:
    assert framed(matte(30, 20, 50, 40)).alpha.shape == (100, 200)


@pytest.mark.parametrize(("margin", "shape"), [(0, (40, 50)), (0.1, (50, 60)), (0.5, (85, 100))])
def test_a_crop_has_a_margin_of_the_subjects_longer_side_as_far_as_the_photo_reaches(margin, shape) -> None:
    alpha = matte(30, 20, 50, 40)
    frame = framed(alpha, crop="subject", margin=margin)
    assert frame.alpha.shape == shape
    assert framed(alpha.T, crop="subject", margin=margin).alpha.shape == shape[::-1]
    assert (frame.subject.width, frame.subject.height) == (50, 40)
    assert frame.work == frame.subject


@pytest.mark.parametrize(("max_side", "shape"), [(64, (32, 64)), (200, (100, 200)), (5000, (100, 200))])
def test_a_longest_side_reduces_and_never_enlarges(max_side: int, shape) -> None:
    assert framed(matte(30, 20, 50, 40), max_side=max_side).alpha.shape == shape


def test_a_reduction_mixes_colours_by_their_opacity() -> None:
    truth = scene(640, 480)
    hidden = np.where(truth.alpha[..., np.newaxis] == 0, np.uint8(0), truth.foreground)
    rgb, alpha = shrink(hidden, truth.alpha, 160)
    expected = cv2.resize(truth.foreground, (160, 120), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(rgb.astype(int) - expected)[alpha > 25].max() < 12
    assert not rgb[alpha == 0].any()


@given(
    arrays(np.uint8, (5, 7, 3), elements=byte),
    arrays(np.uint8, (5, 7), elements=byte),
    st.tuples(byte, byte, byte),
)
def test_over_is_the_mean_of_both_layers_weighted_by_opacity(rgb, alpha, background) -> None:
    weight = alpha[..., np.newaxis] / 255
    expected = rgb * weight + np.array(background) * (1 - weight)
    assert np.abs(over(rgb, alpha, background) - expected).max() <= 0.5 + 1e-9


@given(arrays(np.uint8, (4, 4), elements=byte), arrays(np.uint8, (4, 4), elements=byte))
def test_two_opacities_multiply(one, other) -> None:
    assert np.abs(scale_alpha(one, other) - one / 255 * other).max() <= 0.5 + 1e-9


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.uint8, (30, 40), elements=st.sampled_from([0, 30, 255])),
    st.floats(0, 0.5),
    st.integers(64, 100),
)
def test_a_frame_holds_the_whole_subject(alpha, margin, max_side) -> None:
    alpha[15, 20] = 255
    frame = framed(alpha, crop="subject", margin=margin, max_side=max_side)
    assert (frame.alpha >= 25).sum() == (alpha >= 25).sum()


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.uint8, (12, 40), elements=st.sampled_from([0, 30, 255])),
    st.sampled_from(CROPS),
    st.floats(0, 0.5),
    st.none() | st.integers(64, 12_000),
)
def test_a_result_is_never_larger_than_the_photo_so_that_every_format_can_hold_it(
    alpha, crop, margin, max_side
) -> None:
    """A WebP ends at 16,383 px a side, a photo at 12,000."""
    alpha[6, 20] = 255
    frame = framed(alpha, crop=crop, margin=margin, max_side=max_side)
    assert all(
        of_result <= of_photo for of_result, of_photo in zip(frame.alpha.shape, alpha.shape, strict=True)
    )
    assert MAX_SIDE_PX < 16_383
