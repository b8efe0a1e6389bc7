"""The sprite is made of blocks in few colours, finer along edges, down to its silhouette."""

import numpy as np
import pytest

from shared.catalogue import EFFECTS
from tests.pictures import cut_out, gradient
from worker.effects import RENDERERS, Look
from worker.effects.retro8bit import find_edges
from worker.palettes import FUR, learn, nearest

RETRO = RENDERERS["retro8bit"]
DEFAULTS = EFFECTS["retro8bit"].defaults()
#: Blocks of 10 px.
TEN = DEFAULTS | {"block_pm": 10}
LOOK = Look(subject_px=1000, seed=4)

opaque = np.full((120, 160), 255, np.uint8)


def colors_of(rgb, alpha):
    return {tuple(color) for color in np.unique(rgb[alpha > 0], axis=0).tolist()}


def test_the_palette_has_32_different_colours_of_the_families_it_names() -> None:
    assert len({tuple(color) for color in FUR.tolist()}) == 32
    spread = np.ptp(FUR.astype(int), axis=1)
    red, green, blue = FUR.astype(int).T
    assert (spread < 8).sum() >= 5  # greys
    assert ((red >= green) & (green >= blue) & (spread >= 8)).sum() >= 10  # browns, creams, ambers
    assert ((blue > red) & (blue > green) & (spread >= 8)).sum() >= 3
    assert ((green > red) & (green > blue)).sum() >= 3
    assert ((red > green + 50) & (blue >= green)).sum() >= 3  # pinks


def test_every_block_is_in_a_colour_of_the_palette() -> None:
    sprite, alpha = RETRO(*cut_out(), TEN, LOOK)
    assert colors_of(sprite, alpha) <= {tuple(color) for color in FUR.tolist()}
    assert len(colors_of(sprite, alpha)) > 3


def test_the_table_finds_the_nearest_colour_but_for_the_width_of_a_bin() -> None:
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    rgb = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    distances = [np.linalg.norm(rgb[0].astype(float) - color, axis=-1) for color in FUR]
    excess = np.linalg.norm(rgb[0].astype(float) - nearest(rgb, FUR)[0], axis=-1) - np.min(distances, axis=0)
    assert excess.max() <= 2 * np.sqrt(3) * 3.5  # from a bin's middle to its corner, twice
    assert excess.mean() < 0.1


def test_colours_of_the_palette_stay_as_they_are() -> None:
    palette = np.array([[4, 4, 4], [100, 20, 52], [252, 252, 252]], np.uint8)
    assert np.array_equal(nearest(palette, palette), palette)


def test_a_block_has_the_mean_colour_of_what_is_opaque_in_it() -> None:
    rgb = np.zeros((20, 20, 3), np.uint8)
    rgb[:, :10], rgb[:, 10:] = FUR[9], FUR[3]
    alpha = np.full((20, 20), 255, np.uint8)
    alpha[:, 10:] = 1  # nearly nothing of the grey is there
    sprite, opacity = RETRO(rgb, alpha, TEN | {"block_pm": 20}, LOOK)
    assert colors_of(sprite, opacity) == {tuple(FUR[9].tolist())}
    sprite, opacity = RETRO(rgb[:, :10], alpha[:, :10] // 2, TEN | {"block_pm": 10}, LOOK)
    assert colors_of(sprite, opacity) == {tuple(FUR[9].tolist())}  # however faint it is


@pytest.mark.parametrize("edges", [True, False])
def test_blocks_are_as_wide_as_they_say_and_cut_in_four_at_most(edges: bool) -> None:
    sprite, _ = RETRO(gradient(160, 120), opaque, TEN | {"edges": edges}, LOOK)
    width = 5 if edges else 10
    blocks = sprite.reshape(120 // width, width, 160 // width, width, 3)
    assert np.array_equal(blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3)))


def test_blocks_are_finer_where_an_edge_runs_and_nowhere_else() -> None:
    rgb = np.full((120, 160, 3), 30, np.uint8)
    rgb[:, 75:] = 220  # through the middle of a column of blocks
    fine, coarse = (RETRO(rgb, opaque, TEN | {"edges": edges}, LOOK)[0] for edges in (True, False))
    assert (fine[:, 70:75] != fine[:, 75:80]).all()
    assert np.array_equal(coarse[:, 70:75], coarse[:, 75:80])
    assert np.array_equal(fine[:, :60], coarse[:, :60])
    assert np.array_equal(fine[:, 90:], coarse[:, 90:])


@pytest.mark.parametrize(("step", "runs"), [(35, False), (45, True)])
def test_an_edge_is_a_step_of_40_levels(step: int, runs: bool) -> None:
    colors = np.full((8, 8, 3), 60, np.uint8)
    colors[:, 4:] += np.uint8(step)
    edges = find_edges(colors, np.ones((8, 8), np.float32))
    assert edges[:, 3:5].all() == edges.any() == runs


def test_the_silhouette_is_made_of_whole_blocks_that_are_there_or_not() -> None:
    rgb, alpha = cut_out()
    _, opacity = RETRO(rgb, alpha, TEN, LOOK)
    assert set(np.unique(opacity)) == {0, 255}
    blocks = opacity.reshape(12, 10, 16, 10)
    assert np.array_equal(blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3)))
    covered = alpha.reshape(12, 10, 16, 10).mean(axis=(1, 3)) / 255
    assert np.array_equal(blocks[:, 0, :, 0] == 255, covered >= 0.5)


def test_a_subject_that_is_faint_throughout_is_not_lost() -> None:
    rgb, alpha = cut_out()
    _, opacity = RETRO(rgb, alpha // 5, TEN, LOOK)
    assert (opacity == RETRO(rgb, alpha, TEN, LOOK)[1]).mean() > 0.97


@pytest.mark.parametrize("count", [8, 20, 32, 64])
def test_a_palette_that_is_given_is_found_in_the_subject(count: int) -> None:
    rgb, alpha = gradient(160, 120), opaque
    sprite, opacity = RETRO(rgb, alpha, TEN | {"palette": count}, LOOK)
    found = colors_of(sprite, opacity)
    assert count * 0.7 <= len(found) <= count
    assert not found & {tuple(color) for color in FUR.tolist()}
    fixed, _ = RETRO(rgb, alpha, TEN, LOOK)
    error, fixed_error = (np.abs(rgb.astype(float) - shown).mean() for shown in (sprite, fixed))
    assert count < 20 or error < fixed_error / 1.5


def test_a_subject_in_few_colours_keeps_them() -> None:
    few = np.array([[10, 200, 30], [90, 90, 250]], np.uint8)
    assert np.array_equal(learn(np.repeat(few, 50, axis=0), 8, seed=1), few)


def test_a_palette_is_the_same_for_the_same_seed_field_report_29() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (30_000, 3), dtype=np.uint8)
    assert np.array_equal(learn(colors, 32, seed=2**63 + 5), learn(colors, 32, seed=2**63 + 5))
