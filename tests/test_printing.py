"""The print verdict says before an order what is wrong with a print, in numbers that can be checked."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.recipes import Recipe
from tests.pictures import opened, photo, scene
from worker.printing import REASONS, effective_dpi, find_reasons, judge_print
from worker.sharpness import measure_blur
from worker.subject import Frame, Subject, find_subject, frame_subject

INSIDE = Subject(box=(0, 0, 1, 1), coverage=0.5, touches_edge=())
PAGE = (Path(__file__).resolve().parent.parent / "docs" / "print.md").read_text()
SHOTS = ["cat", "raccoon", "astronaut", "coffee"]


def frame(rgb) -> Frame:
    return Frame.of(rgb, np.full(rgb.shape[:2], 255, np.uint8))


def recipe(width_mm: float, height_mm: float, **more) -> Recipe:
    return Recipe(print_width_mm=width_mm, print_height_mm=height_mm, **more)


def judged(rgb, paper: Recipe, subject: Subject = INSIDE) -> dict:
    found = judge_print(frame(rgb), subject, paper)
    assert found is not None
    return found


def cut_out(rgb, alpha, paper: Recipe) -> dict:
    """Judge a cut-out from its photo on, as a job does."""
    subject = find_subject(alpha)
    hidden = np.where(alpha[..., np.newaxis] == 0, np.uint8(0), rgb)
    found = judge_print(frame_subject(hidden, alpha, subject, paper), subject, paper)
    assert found is not None
    return found


def disc(rgb, share: float, centre=(0.5, 0.5), rim_px: float = 1):
    """Return the matte of a disc; its radius is a share of the photo's height."""
    height, width = rgb.shape[:2]
    y, x = np.ogrid[:height, :width]
    distance = np.hypot(x - width * centre[0], y - height * centre[1])
    return (np.clip((height * share - distance) / rim_px + 0.5, 0, 1) * 255).round().astype(np.uint8)


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
    found = judged(opened(photo("raccoon")), recipe(width_mm, width_mm * 0.75))
    assert (found["verdict"], found["reasons"]) == (verdict, reasons)


def test_the_largest_good_sizes_are_those_of_the_picture_that_leaves() -> None:
    found = judged(opened(photo("raccoon")), recipe(80, 60))  # 1024 x 768
    sizes = {name: value for name, value in found.items() if name.startswith("max_")}
    assert sizes == {
        "max_width_mm_at_300_dpi": 86.7,
        "max_height_mm_at_300_dpi": 65.0,
        "max_width_mm_at_150_dpi": 173.4,
        "max_height_mm_at_150_dpi": 130.0,
    }


def test_a_resolution_is_judged_as_it_is_told() -> None:
    found = judged(opened(photo("astronaut")), recipe(512 * 25.4 / 199.96, 512))
    assert (found["effective_dpi"], found["reasons"]) == (200.0, [])


def test_a_crop_leaves_fewer_pixels_for_the_same_paper() -> None:
    rgb = opened(photo("raccoon"))
    alpha = disc(rgb, 0.25)
    whole, cropped = (
        cut_out(rgb, alpha, recipe(60, 60, crop=crop, margin=0)) for crop in ("none", "subject")
    )
    assert whole["effective_dpi"] == pytest.approx(1024 / 60 * 25.4, abs=0.1)
    assert cropped["effective_dpi"] == pytest.approx(384 / 60 * 25.4, abs=1)
    assert cropped["max_width_mm_at_300_dpi"] == pytest.approx(384 / 300 * 25.4, abs=0.2)
    assert (whole["verdict"], cropped["reasons"]) == ("ok", ["low-resolution"])
    smaller = cut_out(rgb, alpha, recipe(60, 60, max_side=256))
    assert smaller["effective_dpi"] == pytest.approx(256 / 60 * 25.4, abs=0.1)


@pytest.mark.parametrize("name", SHOTS)
def test_a_photo_in_focus_is_told_from_the_same_photo_out_of_focus(name: str) -> None:
    sharp = opened(photo(name))
    width_mm = sharp.shape[1] / 210 * 25.4  # at 210 dpi
    paper = recipe(width_mm, width_mm)
    soft, softer = (judged(cv2.GaussianBlur(sharp, (0, 0), sigma), paper) for sigma in (3, 8))
    found = judged(sharp, paper)
    assert (found["verdict"], found["sharpness"]) == ("ok", 1)
    assert (soft["verdict"], soft["reasons"]) == ("warn", ["blurry"])
    assert (softer["verdict"], softer["reasons"]) == ("reject", ["very-blurry"])
    assert softer["sharpness"] < 0.15 < soft["sharpness"] < 0.6


def test_a_photo_may_be_sharp_enough_for_small_paper_and_not_for_large() -> None:
    soft = cv2.GaussianBlur(opened(photo("raccoon-12mp")), (0, 0), 6)
    large, small = judged(soft, recipe(300, 225)), judged(soft, recipe(60, 45))
    assert (large["verdict"], large["reasons"]) == ("warn", ["blurry"])
    assert large["effective_dpi"] == pytest.approx(341.4, abs=0.1)  # which by itself would look fine
    assert (small["verdict"], small["sharpness"]) == ("ok", 1)


def test_a_photo_that_was_shaken_is_too_blurry_for_a_large_print_and_not_for_a_small_one() -> None:
    smear = np.ones((1, 41)) / 41  # of 4096 px
    shaken = cv2.filter2D(opened(photo("raccoon-12mp")), -1, smear)
    large, small = judged(shaken, recipe(200, 150)), judged(shaken, recipe(30, 22.5))
    assert large["reasons"] == ["blurry"]
    assert small["reasons"] == []


@pytest.mark.parametrize(
    ("width_mm", "looked_at_px"),
    [
        (300, 1500),
        (169.3, 1000),
        (16.93, 200),
    ],  # seen from afar; at 150 dpi; so small that little can be told
)
def test_focus_is_judged_as_fine_as_the_eye_sees(width_mm: float, looked_at_px: int) -> None:
    soft = cv2.GaussianBlur(opened(photo("raccoon-12mp")), (0, 0), 10)
    found = judged(soft, recipe(width_mm, width_mm * 0.75))
    longer_px = max(soft.shape)
    blur_px = measure_blur(soft, np.full(soft.shape[:2], 255, np.uint8), looked_at_px / longer_px)
    assert found["sharpness"] == pytest.approx(1 / (1 + blur_px**2), abs=0.01)


def test_a_subject_without_an_edge_is_worth_a_look_and_no_more() -> None:
    """A white plush toy may be in focus; nobody can tell."""
    found = judged(np.full((400, 400, 3), 240, np.uint8), recipe(30, 30))
    assert (found["verdict"], found["reasons"], found["sharpness"]) == ("warn", ["blurry"], 0)


@pytest.mark.parametrize(
    ("edges", "reasons"),
    [
        (("left",), ["touches-edge"]),
        (("top",), ["touches-edge"]),
        (("bottom", "right"), ["touches-edge"]),
        (("bottom",), []),
        ((), []),
    ],
)
def test_an_ear_that_is_cut_off_is_a_reason_and_a_portraits_lower_end_is_none(edges, reasons) -> None:
    cut = Subject(box=(0, 0, 1, 1), coverage=0.5, touches_edge=edges)
    found = judged(opened(photo("raccoon")), recipe(80, 60), cut)
    assert found["reasons"] == reasons
    assert found["touches_edge"] == list(edges)


def test_a_subject_that_the_photo_cuts_is_found_out_from_the_pixels() -> None:
    rgb = opened(photo("raccoon"))
    found = cut_out(rgb, disc(rgb, 0.3, centre=(0.05, 0.5)), recipe(80, 60))
    assert (found["verdict"], found["reasons"], found["touches_edge"]) == ("warn", ["touches-edge"], ["left"])


def test_a_subject_that_is_lost_on_the_paper_is_a_reason_and_a_crop_mends_it() -> None:
    rgb = opened(photo("raccoon-12mp"))
    alpha = disc(rgb, 0.1)
    lost, found = (cut_out(rgb, alpha, recipe(50, 50, crop=crop)) for crop in ("none", "subject"))
    assert lost["coverage"] == pytest.approx(np.pi * 0.01 * 0.75, rel=0.02)
    assert lost["reasons"] == ["small-subject"]
    assert found["reasons"] == []
    assert found["coverage"] > 0.6


def test_a_matte_that_cannot_make_up_its_mind_is_a_reason() -> None:
    truth = scene(1024, 768, rim_px=8), scene(1024, 768, rim_px=80)
    sharp, hazy = (cut_out(opened(photo("raccoon")), t.alpha, recipe(80, 60)) for t in truth)
    assert "uncertain-edge" not in sharp["reasons"]
    assert sharp["uncertain_edge"] < 0.06
    assert "uncertain-edge" in hazy["reasons"]
    assert hazy["uncertain_edge"] > 0.3


def told_reasons() -> list[tuple[str, str, list[float]]]:
    """Return each reason of docs/print.md with its verdict and the numbers that it gives."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (warn|reject) \| (.*) \| .* \|$", PAGE, re.MULTILINE)
    return [
        (reason, verdict, [float(n) for n in re.findall(r"\d[\d.]*", when)]) for reason, verdict, when in rows
    ]


def test_every_member_and_reason_is_documented() -> None:
    members = judged(opened(photo("cat")), recipe(30, 30))
    assert [name for name in members if f"`{name}`" not in PAGE] == []
    told = {reason: verdict == "reject" for reason, verdict, _ in told_reasons()}
    assert told == dict(REASONS)


@pytest.mark.parametrize(
    ("reason", "measure", "is_a_reason_above"),
    [
        ("very-low-resolution", "dpi", False),
        ("low-resolution", "dpi", False),
        ("very-blurry", "sharpness", False),
        ("blurry", "sharpness", False),
        ("small-subject", "coverage", False),
        ("uncertain-edge", "uncertain_edge", True),
    ],
)
def test_the_thresholds_are_those_of_the_page(reason: str, measure: str, is_a_reason_above: bool) -> None:
    numbers = next(numbers for told, _, numbers in told_reasons() if told == reason)
    threshold = numbers[1] if reason in {"low-resolution", "blurry"} else numbers[0]
    fine = {"dpi": 300.0, "sharpness": 1.0, "coverage": 0.5, "uncertain_edge": 0.05, "touches_edge": ()}
    assert find_reasons(**fine) == []
    below, above = (find_reasons(**fine | {measure: threshold * by}) for by in (0.999, 1.001))
    assert (reason in below, reason in above) == (not is_a_reason_above, is_a_reason_above)


def test_a_photo_made_small_is_refused_for_the_paper_that_the_photo_itself_is_good_for() -> None:
    whole = opened(photo("raccoon"))
    small = cv2.resize(whole, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    assert judged(whole, recipe(80, 60))["verdict"] == "ok"
    found = judged(small, recipe(80, 60))
    assert (found["verdict"], found["reasons"]) == ("reject", ["very-low-resolution"])
