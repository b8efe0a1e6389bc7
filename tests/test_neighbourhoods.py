"""Blurs see the subject alone, and wide ones are what they would be at full size."""

import cv2
import numpy as np
import pytest

from tests.pictures import cut_out, gradient
from worker.neighbourhoods import blur_within, smooth_within


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


def test_a_picture_is_smoothed_channel_by_channel_and_left_as_it_is_by_no_blur() -> None:
    rgb, alpha = cut_out()
    assert smooth_within(rgb, alpha, 0) is rgb
    smooth = smooth_within(rgb, alpha, 3)
    weights = alpha.astype(np.float32) / 255
    for channel in range(3):
        expected = blur_within(rgb[..., channel].astype(np.float32), weights, 3)
        assert np.abs(smooth[..., channel] - expected).max() <= 0.5
