"""Blur is measured on the subject alone, in spite of noise, and as it is seen at the size looked at."""

import cv2
import numpy as np
import pytest

from tests.pictures import opened, photo
from worker.sharpness import measure_blur

SHOTS = ["cat", "raccoon", "astronaut", "coffee"]


def whole(rgb):
    return np.full(rgb.shape[:2], 255, np.uint8)


def blurred(rgb, sigma_px: float):
    return cv2.GaussianBlur(rgb, (0, 0), sigma_px) if sigma_px else rgb


def noisy(rgb, levels: float):
    noise = np.random.default_rng(3).normal(0, levels, rgb.shape)
    return np.clip(rgb + noise, 0, 255).round().astype(np.uint8)


def blur_of(rgb, scale: float = 1.0) -> float:
    found = measure_blur(rgb, whole(rgb), scale)
    assert found is not None
    return found


@pytest.mark.parametrize("name", SHOTS)
def test_the_more_a_photo_is_blurred_the_more_blur_is_found(name: str) -> None:
    found = [blur_of(blurred(opened(photo(name)), sigma)) for sigma in (0, 1.5, 2, 3, 4)]
    assert found == sorted(found)
    assert found[0] == 0
    for sigma, measured in zip((2, 3, 4), found[2:], strict=True):
        assert sigma - 1 < measured < sigma + 0.1


#: Smears of 9 px: to the right, down, and both ways between.
SMEARS = {
    "-": np.ones((1, 9)) / 9,
    "|": np.ones((9, 1)) / 9,
    "\\": np.eye(9) / 9,
    "/": np.fliplr(np.eye(9)) / 9,
}


@pytest.mark.parametrize("way", SMEARS)
@pytest.mark.parametrize("name", SHOTS)
def test_a_shaken_photo_is_not_sharp_though_the_edges_along_its_way_are(name: str, way: str) -> None:
    assert blur_of(cv2.filter2D(opened(photo(name)), -1, SMEARS[way])) > 0.9


@pytest.mark.parametrize("levels", [5, 15])
@pytest.mark.parametrize("name", SHOTS)
def test_noise_is_not_taken_for_detail(name: str, levels: int) -> None:
    """A sensor's noise is sharp, however little of the photo is."""
    sharp, soft = (noisy(blurred(opened(photo(name)), sigma), levels) for sigma in (0, 2))
    assert blur_of(sharp) < 0.2
    assert blur_of(soft) > 0.8


@pytest.mark.parametrize("sigma_px", [0, 1.5, 3])
def test_an_enlargement_looks_like_the_photo_at_the_photos_size(sigma_px: float) -> None:
    """Pixels that an enlargement adds are no detail: looked at from as far, both are alike."""
    small = blurred(opened(photo("raccoon")), sigma_px)
    large = cv2.resize(small, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert blur_of(large, 1 / 3) == pytest.approx(blur_of(small), abs=0.25)
    assert blur_of(large) > 1


def test_only_the_subject_is_looked_at() -> None:
    sharp = opened(photo("raccoon"))
    alpha = np.zeros(sharp.shape[:2], np.uint8)
    alpha[200:600, 200:800] = 255
    soft_within = np.where(alpha[..., np.newaxis] > 0, blurred(sharp, 3), sharp)
    hidden = np.where(alpha[..., np.newaxis] > 0, soft_within, np.uint8(0))
    for rgb in (soft_within, hidden):
        assert measure_blur(rgb, alpha) == pytest.approx(2.1, abs=0.3)


def test_a_sharp_part_is_enough_for_a_subject_to_be_in_focus() -> None:
    """Of an animal's face the eyes are sharp, and the ears may be soft."""
    sharp = opened(photo("raccoon"))
    face = blurred(sharp, 3)
    face[250:500, 300:700] = sharp[250:500, 300:700]
    assert blur_of(face) < 0.8


@pytest.mark.parametrize("shape", [(3, 3), (1, 500), (60, 60), (13, 2000)])
def test_where_there_is_no_edge_nothing_is_said(shape) -> None:
    flat = np.full((*shape, 3), 90, np.uint8)
    assert measure_blur(flat, whole(flat)) is None
    assert measure_blur(flat, np.zeros(shape, np.uint8), 0.3) is None
    assert measure_blur(noisy(flat, 8), whole(flat)) is None
