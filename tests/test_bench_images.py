"""The bench of pictures compares like with like, and its plot says what was missed."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from bench import bars, obvious
from bench.images import matte_of
from bench.rows import Row
from shared.catalogue import EFFECTS
from tests.pictures import cut_out, scene
from worker.foreground import estimate_foreground


def test_the_subject_fills_two_fifths_of_the_frame() -> None:
    assert matte_of(600, 800).mean() / 255 == pytest.approx(0.4, abs=0.005)


def test_each_effect_has_an_obvious_way_that_paints_the_subject() -> None:
    assert list(obvious.EFFECTS) == list(EFFECTS)
    rgb, alpha = cut_out()
    for name, effect in obvious.EFFECTS.items():
        rendered, opacity = effect(rgb, alpha, 0.5)
        assert (rendered.shape, opacity.shape) == (rgb.shape, alpha.shape), name
        assert (rendered.dtype, opacity.dtype) == (np.uint8, np.uint8), name
        assert rendered[alpha == 255].std() > 2, name


def test_the_obvious_foreground_is_about_as_good_as_ours() -> None:
    picture = scene()
    is_mixed = (picture.alpha > 0) & (picture.alpha < 255)
    ours, theirs = (
        np.abs(
            estimate(picture.rgb, picture.alpha)[is_mixed] - picture.foreground[is_mixed].astype(float)
        ).mean()
        for estimate in (estimate_foreground, obvious.foreground)
    )
    assert theirs < 2 * ours


def test_the_obvious_files_hold_the_same_pixels(tmp_path) -> None:
    rgb, alpha = cut_out()
    (tmp_path / "theirs.png").write_bytes(obvious.png(rgb, alpha))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "theirs.png")), np.dstack((rgb, alpha)))


def test_the_plot_has_a_bar_for_each_side_and_shows_a_missed_target_in_red(tmp_path) -> None:
    rows = [
        Row(what="PNG & co", unit="ms", ours=50, theirs=500, at_most=60),
        Row(what="popart", unit="ms", ours=300, theirs=600, at_most=200),
        Row(what="size", unit="MB", ours=7),
    ]
    bars.draw(rows, tmp_path / "images.svg")
    svg = (tmp_path / "images.svg").read_text()
    assert svg.count(bars._OURS) == svg.count(bars._MISSED) == 1
    assert svg.count(bars._THEIRS) == 2
    assert "PNG &amp; co" in svg
    assert "size" not in svg.replace("font-size", "")
    assert all(bars._length(a, 4) < bars._length(b, 4) for a, b in pairwise([1, 10, 500, 9000]))
