"""The print verdict says before an order what is wrong with a print, in numbers that can be checked."""

import cv2
import numpy as np
import pytest

from shared.recipes import Recipe
from tests.pictures import opened, photo
from worker.printing import effective_dpi, judge_print, measure_sharpness
from worker.subject import Frame, Subject

INSIDE = Subject(box=(0, 0, 1, 1), coverage=0.5, touches_edge=())
SHOTS = ["cat", "raccoon", "astronaut", "coffee"]


def frame(rgb) -> Frame:
    return Frame.of(rgb, np.full(rgb.shape[:2], 255, np.uint8))


def recipe(width_mm: float, height_mm: float) -> Recipe:
    return Recipe(print_width_mm=width_mm, print_height_mm=height_mm)


def test_without_a_print_size_there_is_no_verdict() -> None:
    assert judge_print(frame(opened(photo("cat"))), INSIDE, Recipe()) is None


@pytest.mark.parametrize(("paper", "dpi"), [((25.4, 25.4), 451), ((25.4, 12.7), 600), ((254, 254), 45.1)])
def test_the_resolution_is_that_of_the_largest_picture_that_fits_the_paper(paper, dpi) -> None:
    assert effective_dpi(frame(opened(photo("cat"))), recipe(*paper)) == pytest.approx(dpi)


@pytest.mark.parametrize(
    ("width_mm", "verdict", "reasons"),
    [(80, "ok", []), (200, "warn", ["low-resolution"]), (400, "reject", ["very-low-resolution"])],
)
def test_the_larger_the_paper_the_worse_the_verdict(width_mm, verdict, reasons) -> None:
    found = judge_print(frame(opened(photo("raccoon"))), INSIDE, recipe(width_mm, width_mm * 0.75))
    assert found is not None
    assert (found["verdict"], found["reasons"]) == (verdict, reasons)
    assert found["max_width_mm_at_300_dpi"] == pytest.approx(86.7)


@pytest.mark.parametrize("name", SHOTS)
def test_a_photo_in_focus_is_told_from_the_same_photo_out_of_focus(name: str) -> None:
    sharp = opened(photo(name))
    soft = cv2.GaussianBlur(sharp, (0, 0), 2)
    assert measure_sharpness(frame(sharp)) > 0.5
    assert measure_sharpness(frame(soft)) <= 0.3
    found = judge_print(frame(soft), INSIDE, recipe(20, 20))
    assert found is not None
    assert found["reasons"] == ["blurry"]


def test_a_subject_that_the_photo_cuts_off_is_a_reason_to_look_twice() -> None:
    cut = Subject(box=(0, 0, 1, 1), coverage=0.5, touches_edge=("left",))
    found = judge_print(frame(opened(photo("raccoon"))), cut, recipe(80, 60))
    assert found is not None
    assert (found["verdict"], found["reasons"]) == ("warn", ["touches-edge"])


def test_a_tiny_or_flat_subject_has_a_sharpness_too() -> None:
    assert measure_sharpness(frame(np.full((3, 3, 3), 9, np.uint8))) == 0
