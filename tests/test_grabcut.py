"""GrabCut needs no download, takes every size that the gate takes, and gives the same bytes each time."""

import tracemalloc

import cv2
import numpy as np
import pytest

from tests.pictures import opened, photo, scene
from worker.decode import decode, glimpse
from worker.matting import Glancing, MattingModel
from worker.matting.disc import DiscModel
from worker.matting.grabcut import GrabCut

MODEL: MattingModel = GrabCut()


def overlap(found, expected) -> float:
    """Return the intersection over the union of two mattes, as masks."""
    one, other = found >= 128, expected >= 128
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (320, 240), (1000, 750)])
def test_a_subject_of_its_own_colour_is_found_at_every_size(size: tuple[int, int]) -> None:
    truth = scene(*size, rim_px=2)
    found = MODEL.alpha(truth.rgb)
    assert found.has_subject
    assert found.alpha.shape == truth.alpha.shape
    assert overlap(found.alpha, truth.alpha) > 0.93


def test_the_same_photo_gives_the_same_bytes_whatever_was_random_before() -> None:
    rgb = opened(photo("coffee"))
    one = MODEL.alpha(rgb).alpha
    cv2.setRNGSeed(99)
    other = GrabCut().alpha(rgb).alpha
    assert np.array_equal(one, other)


@pytest.mark.parametrize(("name", "least", "most"), [("raccoon", 0.3, 0.6), ("coffee", 0.4, 0.6)])
def test_a_photograph_is_divided_into_a_subject_and_the_rest(name: str, least: float, most: float) -> None:
    found = MODEL.alpha(opened(photo(name)))
    assert found.has_subject
    assert least < found.alpha.mean() / 255 < most
    height, width = found.alpha.shape
    assert found.alpha[height // 2, width // 2] == 255
    assert found.alpha[-1, 0] == 0


def test_the_large_photo_is_divided_as_the_small_one_is() -> None:
    large, small = (MODEL.alpha(opened(photo(name))).alpha for name in ("raccoon-12mp", "raccoon"))
    reduced = cv2.resize(large, small.shape[::-1], interpolation=cv2.INTER_AREA)
    assert overlap(reduced, small) > 0.85


def test_a_glimpse_of_the_photo_is_enough() -> None:
    engine, data = GrabCut(), photo("raccoon-12mp")
    assert isinstance(engine, Glancing)
    seen = glimpse(data, engine.glimpse_side_px)
    assert seen is not None
    found = engine.alpha_of_glimpse(seen.rgb, seen.facts.height, seen.facts.width)
    whole = engine.alpha(decode(data).rgb)
    assert found.alpha.shape == whole.alpha.shape
    assert overlap(found.alpha, whole.alpha) > 0.95


@pytest.mark.parametrize("shape", [(32, 12_000), (12_000, 32), (32, 33)])
def test_extreme_shapes_are_answered(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    assert MODEL.alpha(rgb).alpha.shape == shape


@pytest.mark.parametrize("level", [0, 127, 255])
def test_nothing_stands_out_of_an_empty_sheet(level: int) -> None:
    found = MODEL.alpha(np.full((90, 120, 3), level, np.uint8))
    assert not found.has_subject
    assert not found.alpha.any()


def test_a_photo_of_60_megapixels_needs_little_more_than_its_answer_field_report_15() -> None:
    rgb = np.zeros((6000, 10_000, 3), np.uint8)
    rgb[2000:4000, 3000:7000] = (200, 120, 40)
    tracemalloc.start()
    found = MODEL.alpha(rgb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert overlap(found.alpha[::10, ::10], np.where(rgb[::10, ::10, 0] > 0, 255, 0)) > 0.95
    assert peak < 2.5 * rgb.size / 3


def test_the_edge_of_an_enlarged_matte_is_smooth_and_without_steps() -> None:
    truth = scene(2000, 1500, rim_px=2)
    row = MODEL.alpha(truth.rgb).alpha[750].astype(int)
    rising = row[: row.argmax() + 1]
    assert (np.diff(rising) >= 0).all()
    assert np.diff(rising).max() < 128


def test_the_disc_of_the_tests_is_where_it_says() -> None:
    found = DiscModel(radius=0.5).alpha(np.zeros((100, 200, 3), np.uint8))
    assert found.has_subject
    assert found.alpha.sum() / 255 == pytest.approx(np.pi * 25**2, rel=0.01)
    assert not DiscModel(is_blind=True).alpha(np.zeros((32, 32, 3), np.uint8)).has_subject
