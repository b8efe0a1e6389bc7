"""A mosaic is made of tiles of one colour and one size, which keep off the edges of the picture."""

import cv2
import numpy as np
import pytest

from shared.catalogue import EFFECTS
from tests.pictures import cut_out
from worker.effects import RENDERERS, Look
from worker.effects.mosaic import find_tiles

MOSAIC = RENDERERS["mosaic"]
#: Tiles of 20 px without joints.
BARE = EFFECTS["mosaic"].defaults() | {"grout": 0}
LOOK = Look(subject_px=1000, seed=2)


def flat(color, width: int = 400, height: int = 300):
    return np.full((height, width, 3), color, np.uint8), np.full((height, width), 255, np.uint8)


def test_tiles_have_one_colour_and_the_size_asked_for() -> None:
    shown, _ = MOSAIC(*flat(150), BARE, LOOK)
    areas = []
    for color in np.unique(shown.reshape(-1, 3), axis=0):
        is_color = (shown == color).all(axis=-1).astype(np.uint8)
        areas += cv2.connectedComponentsWithStats(is_color, connectivity=4)[2][1:, cv2.CC_STAT_AREA].tolist()
    assert len(areas) == pytest.approx(300, rel=0.1)
    assert np.median(areas) == pytest.approx(400, rel=0.1)
    assert shown.reshape(-1, 3).mean(axis=0) == pytest.approx([150] * 3, rel=0.02)


def test_joints_take_as_much_of_the_wall_as_their_width_says() -> None:
    rgb, alpha = flat((200, 200, 200))
    bare, _ = MOSAIC(rgb, alpha, BARE, LOOK)
    for grout in (0.1, 0.3):
        shown, _ = MOSAIC(rgb, alpha, BARE | {"grout": grout}, LOOK)
        share = (bare.mean() - shown.mean()) / (bare.mean() - 66)
        # A hexagon of width w has joints of half a width along six sides of w / sqrt(3).
        assert share == pytest.approx(2 * grout - grout**2, rel=0.2)


def test_tiles_on_the_rim_are_not_darker_than_the_others() -> None:
    alpha = cut_out(400, 300)[1]
    rgb = np.full((*alpha.shape, 3), 160, np.uint8)
    rgb[alpha == 0] = 0
    shown, _ = MOSAIC(rgb, alpha, BARE, LOOK)
    inside, rim = (shown[part].mean() for part in (alpha == 255, (alpha > 0) & (alpha < 255)))
    assert rim == pytest.approx(inside, rel=0.03)
    assert shown[alpha > 0].min() > 160 * (1 - 5 * 0.06)


def test_a_tile_has_the_mean_colour_of_what_is_opaque_in_it() -> None:
    rgb, alpha = flat((200, 60, 60))
    is_faint = np.arange(300) // 10 % 2 == 0  # stripes that are narrow beside a tile
    rgb[is_faint], alpha[is_faint] = (60, 60, 200), 15
    shown, _ = MOSAIC(rgb, alpha, BARE | {"tile_pm": 80}, LOOK)
    assert (shown[..., 0].astype(int) > shown[..., 2].astype(int) + 80).all()


def test_tiles_settle_beside_an_edge_not_across_it() -> None:
    """Half black, half white: across the edge a tile would be grey."""
    rgb, alpha = flat(0)
    rgb[:, 207:] = 255
    shown, _ = MOSAIC(rgb, alpha, BARE, LOOK)
    rows = np.arange(300) // 20
    grid = np.add.outer(rows * 20, np.arange(400) // 20)
    means = np.bincount(grid.ravel(), rgb[..., 0].ravel()) / np.bincount(grid.ravel())
    wrong, wrong_on_a_grid = (
        (np.abs(rgb[..., 0].astype(float) - picture) > 40).mean() for picture in (shown[..., 0], means[grid])
    )
    assert wrong < wrong_on_a_grid / 3


def test_each_pixel_belongs_to_the_nearest_tile() -> None:
    sites = np.random.default_rng(3).random((12, 2))
    tiles = find_tiles(sites, (60, 80))
    y, x = np.mgrid[:60, :80]
    distance = np.hypot(
        *(np.subtract.outer(p, np.floor(s)) for p, s in ((x, sites[:, 0] * 80), (y, sites[:, 1] * 60)))
    )
    found = np.take_along_axis(distance, tiles[..., np.newaxis], axis=-1)[..., 0]
    assert (found - distance.min(axis=-1)).max() < 0.03 * 60  # OpenCV's 5 x 5 mask is good to 2 %


def test_another_photo_is_laid_otherwise() -> None:
    rgb, alpha = cut_out()
    one, other = (MOSAIC(rgb, alpha, BARE, Look(subject_px=1000, seed=seed))[0] for seed in (1, 2))
    assert not np.array_equal(one, other)
