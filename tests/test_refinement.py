"""Refined edges come nearer to the truth, and nothing but edges is touched."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.composites import as_seen, composites, smooth
from bench.edges import error
from shared.recipes import EDGES, Recipe
from tests.pictures import photo, saved, scene
from tests.test_pipeline import Run, Truth
from worker.matting import Matting
from worker.matting.grabcut import GrabCut
from worker.refinement import refine_edges

SEEN_PX = 256


def test_edges_come_nearer_to_the_truth() -> None:
    for composite in composites(900, 1200):
        soft = as_seen(composite.alpha, SEEN_PX, 1.2)
        refined = refine_edges(composite.rgb, soft, SEEN_PX)
        ratio = error(refined, soft, composite.alpha) / error(soft, soft, composite.alpha)
        assert ratio < 0.95, composite.what


def test_between_two_flat_colours_the_truth_is_found() -> None:
    """There opacity is a linear function of the colour, as the method assumes."""
    truth = smooth(300, 400)
    opacity = truth[..., np.newaxis] / 255
    rgb = np.rint(opacity * (230, 120, 40) + (1 - opacity) * (20, 60, 160)).astype(np.uint8)
    soft = as_seen(truth, 200, 0)
    refined = refine_edges(rgb, soft, 200)
    assert error(refined, soft, truth) < 0.35 * error(soft, soft, truth)


def test_nothing_but_edges_is_touched() -> None:
    truth = scene(1200, 900, rim_px=4)
    soft = as_seen(truth.alpha, SEEN_PX, 1.2)
    refined = refine_edges(truth.rgb, soft, SEEN_PX)
    changed = np.argwhere(refined != soft)
    assert len(changed) > 1000
    near = np.argwhere((soft > 2) & (soft < 253))
    reach_px = 3 * 1200 / SEEN_PX  # a pixel of what was seen, and what enlarging it reaches
    far = [pixel for pixel in changed[::97] if np.abs(near - pixel).max(axis=1).min() > reach_px]
    assert far == []


def test_a_photo_that_shows_no_edge_leaves_the_matte_as_it_was() -> None:
    soft = as_seen(smooth(300, 400), 100, 0)
    assert np.array_equal(refine_edges(np.full((300, 400, 3), 120, np.uint8), soft, 100), soft)


@pytest.mark.parametrize("level", [0, 255])
def test_a_matte_without_an_edge_is_given_back(level: int) -> None:
    matte = np.full((50, 70), level, np.uint8)
    assert np.array_equal(refine_edges(np.zeros((50, 70, 3), np.uint8), matte, SEEN_PX), matte)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 120), st.integers(0, 9))
def test_any_size_is_taken(height: int, width: int, seen_px: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rgb = random.integers(0, 256, (height, width, 3), np.uint8)
    matte = random.integers(0, 256, (height, width), np.uint8)
    before = matte.copy()
    refined = refine_edges(rgb, matte, seen_px)
    assert (refined.shape, refined.dtype) == (matte.shape, matte.dtype)
    assert np.array_equal(matte, before)
    assert np.array_equal(refined, refine_edges(rgb, matte, seen_px))


@dataclass(frozen=True)
class SmallSighted(Truth):
    """An engine that was told the answer in small."""

    def alpha(self, rgb) -> Matting:
        return replace(Truth.alpha(self, rgb), seen_px=64)


def test_an_order_decides_and_plain_is_what_nobody_asked_for() -> None:
    truth = scene(320, 240)
    soft, shown = as_seen(truth.alpha, 64, 1.2), {}
    for edges in (None, *EDGES):
        recipe = Recipe() if edges is None else Recipe(edges=edges)
        run = Run(recipe=recipe, model=SmallSighted(soft))
        run(saved(Image.fromarray(truth.rgb), "PNG"))
        shown[edges] = run.pixels("matte")
    assert np.array_equal(shown[None], soft)
    assert np.array_equal(shown["plain"], soft)
    assert not np.array_equal(shown["refined"], soft)


def test_each_engine_says_at_which_size_it_looks() -> None:
    assert GrabCut().alpha(scene(640, 480).rgb).seen_px == GrabCut().glimpse_side_px
    run = Run(recipe=Recipe(edges="refined"), model=GrabCut())
    run(photo("coffee"))
    assert run.pixels("matte").any()
