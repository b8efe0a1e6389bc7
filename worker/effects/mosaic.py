"""Tiles of one colour each, laid along the edges of the picture, with grout between them.

Where the tiles lie is settled on a coarse grid; their edges are drawn at full size.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Plane, Rgb, channels_of
from worker.cells import Cells
from worker.effects.look import Look, Parameters
from worker.neighbourhoods import blur_within

_LEAST_TILE_PX = 2.0
#: The coarse grid: cells a tile, and cells along a side at most.
_CELLS_A_TILE, _MOST_CELLS = 14, 1000
_ROUNDS = 6
#: Rows of a honeycomb lie this share of a tile apart.
_ROW = np.sqrt(3) / 2
#: How far a tile's first place may be from its place in the honeycomb, in tiles.
_UNEVEN = 0.25
#: Gradient in levels a cell that halves the pull of a cell: tiles settle beside edges, not on them.
_EDGE = 6.0
#: Tiles of one clay differ by this deviation, and are a little stronger than the mean of what they stand for.
_TONES, _SATURATION = 0.06, 1.15
_GROUT = (70, 66, 62)
#: What a cell without subject weighs, so that a tile beyond the rim has a colour too.
_FAINT = np.float32(1e-3)

Sites = NDArray[np.float64]  #: (N, 2), x and y


def mosaic(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue.

    References
    ----------
    Hausner, "Simulating Decorative Mosaics", SIGGRAPH 2001 (tiles as a centroidal Voronoi diagram that keeps
    off the edges); Lloyd, "Least Squares Quantization in PCM", IEEE Transactions on Information Theory 1982.
    """
    random = np.random.default_rng(look.seed)
    tile_px = max(_LEAST_TILE_PX, look.px(parameters["tile_pm"]))
    cells = Cells.over(alpha.shape, max(tile_px / _CELLS_A_TILE, max(alpha.shape) / _MOST_CELLS))
    opacity = cells.opacity(alpha)
    colors = _filled(cells.mean_color(rgb, alpha, opacity), opacity, tile_px * cells.columns / cells.width)
    sites = _settled(_honeycomb(alpha.shape, tile_px, random), _pull(colors, opacity))
    tints = _tints(sites, colors, opacity, random)
    tiles = find_tiles(sites, alpha.shape)
    picture = np.take(tints, tiles, axis=0)
    if parameters["grout"]:
        picture = _grouted(picture, tiles, parameters["grout"] * tile_px)
    picture[alpha == 0] = 0
    return picture, alpha


def _honeycomb(shape: tuple[int, ...], tile_px: float, random: np.random.Generator) -> Sites:
    """Return where tiles would lie on a wall without a picture, in shares of its sides."""
    tall, wide = tile_px * np.sqrt(_ROW), tile_px / np.sqrt(_ROW)
    rows, columns = (max(1, round(side / size)) for side, size in zip(shape, (tall, wide), strict=True))
    y, x = np.mgrid[:rows, :columns] + random.uniform(-_UNEVEN, _UNEVEN, (2, rows, columns)) + 0.5
    x[1::2] += 0.5
    return np.stack((x.ravel() / columns, y.ravel() / rows), axis=1) % 1


def _filled(colors: Plane, opacity: Plane, reach: float) -> Plane:
    """Give cells around the subject its colours, so that no tile on the rim is without."""
    for channel in range(3):
        plane = np.ascontiguousarray(colors[..., channel])
        colors[..., channel] = np.where(opacity > 0, plane, blur_within(plane, opacity, reach))
    return colors


def _pull(colors: Plane, opacity: Plane) -> Plane:
    """Return how strongly each cell draws a tile; weak on edges of the picture and of the subject."""
    luma = np.asarray(cv2.cvtColor(colors, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    planes = (blur_within(luma, opacity, 2), cv2.GaussianBlur(opacity * np.float32(OPAQUE), (0, 0), 1))
    steep = np.zeros_like(opacity)
    for plane in planes:
        across, down = cv2.Sobel(plane, cv2.CV_32F, 1, 0), cv2.Sobel(plane, cv2.CV_32F, 0, 1)
        steep = np.maximum(steep, np.hypot(across, down))
    return np.asarray(_EDGE / (_EDGE + steep), dtype=np.float32)


def _settled(sites: Sites, pull: Plane) -> Sites:
    """Move each tile to the middle of what is nearest to it, a few times."""
    height, width = pull.shape
    y, x = np.indices(pull.shape, dtype=np.float32)
    moments = [(pull * place).ravel() for place in ((x + 0.5) / width, (y + 0.5) / height)]
    for _ in range(_ROUNDS):
        tiles = find_tiles(sites, pull.shape).ravel()
        weights = np.bincount(tiles, pull.ravel(), len(sites))
        is_there = weights > 0
        places = [np.bincount(tiles, moment, len(sites))[is_there] / weights[is_there] for moment in moments]
        sites = np.stack(places, axis=1)
    return sites[np.unique(find_tiles(sites, pull.shape))]  # two that fell into one cell are one


def _tints(sites: Sites, colors: Plane, opacity: Plane, random: np.random.Generator) -> Rgb:
    """Return the colour of each tile, (N, 3)."""
    tiles, weights = find_tiles(sites, opacity.shape).ravel(), opacity.ravel() + _FAINT
    total = np.bincount(tiles, weights)[:, np.newaxis]
    sums = [np.bincount(tiles, weights * plane.ravel()) for plane in np.moveaxis(colors, -1, 0)]
    tints = np.stack(sums, axis=1) / total
    grey = tints.mean(axis=1, keepdims=True)
    tints = (grey + (tints - grey) * _SATURATION) * (1 + _TONES * random.standard_normal((len(sites), 1)))
    return np.asarray(np.clip(tints, 0, OPAQUE).round(), dtype=np.uint8)


def find_tiles(sites: Sites, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Return the nearest site of each pixel, (H, W)."""
    height, width = shape
    places = (sites * (width, height)).astype(np.intp).clip(0, (width - 1, height - 1))
    x, y = places.T
    is_empty = np.ones(shape, dtype=np.uint8)
    is_empty[y, x] = 0
    _, labels = cv2.distanceTransformWithLabels(
        is_empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    site_of_label = np.zeros(labels.max() + 1, dtype=np.int32)
    site_of_label[labels[y, x]] = np.arange(len(sites))
    return np.asarray(site_of_label[labels])


def _grouted(picture: Rgb, tiles: NDArray[np.int32], width_px: float) -> Rgb:
    """Draw lines of a width between tiles."""
    is_inside = np.ones(tiles.shape, dtype=np.uint8)
    is_inside[:, 1:] &= tiles[:, 1:] == tiles[:, :-1]
    is_inside[1:] &= tiles[1:] == tiles[:-1]
    distance: Plane = np.asarray(cv2.distanceTransform(is_inside, cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)
    distance += np.float32(0.5 - width_px / 2)
    cover = cv2.convertScaleAbs(np.clip(distance, 0, 1, out=distance), alpha=OPAQUE)
    mixed = []
    for channel, level in zip(channels_of(picture), _GROUT, strict=True):
        between = np.rint((OPAQUE - np.arange(OPAQUE + 1)) / OPAQUE * level).astype(np.uint8)
        mixed.append(cv2.multiply(channel, cover, scale=1 / OPAQUE) + cv2.LUT(cover, between))
    return np.asarray(cv2.merge(mixed), dtype=np.uint8)
