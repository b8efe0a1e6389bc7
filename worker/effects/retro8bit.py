"""A sprite: blocks in few colours, finer where an edge runs, with a blocky silhouette (it changes alpha).

The definition is that of pictures that customers own already: a re-order has to look the same.
"""

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Plane, Rgb
from worker.cells import Cells
from worker.effects.look import Look, Parameters
from worker.palettes import FUR, learn, nearest

Item = TypeVar("Item", np.bool_, np.uint8)

#: A block belongs to the sprite if it is at least so opaque as this share of the most opaque one.
_SOLID = 0.5
#: Sobel's gradient of luma, in levels, from which an edge runs through a block: a step of 40.
_EDGE_FROM = 160.0
#: Keeps the quotient finite where there is no subject at all.
_NOTHING = np.float32(1e-6)


def retro8bit(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue."""
    blocks = Cells.over(alpha.shape, look.px(parameters["block_pm"]))
    finest = blocks.halved() if parameters["edges"] else blocks
    part_opacity = finest.opacity(alpha)
    part_colors = finest.mean_color(rgb, alpha, part_opacity)
    colors, opacity = _pooled(part_colors, part_opacity, blocks)
    is_solid = (opacity >= _SOLID * opacity.max()) & (opacity > 0)
    count = parameters.get("palette")
    palette = FUR if count is None else learn(colors[is_solid], count, look.seed)
    is_own = _cut(find_edges(colors, opacity), finest) & (part_opacity > 0)
    shown = np.where(is_own[..., np.newaxis], _rounded(part_colors), _cut(colors, finest))
    sprite, is_solid = nearest(shown, palette), _cut(is_solid, finest)
    sprite[~is_solid] = 0
    return finest.spread(sprite), finest.spread(is_solid * np.uint8(OPAQUE))


def _pooled(part_colors: Plane, part_opacity: Plane, blocks: Cells) -> tuple[Rgb, Plane]:
    """Return colour and opacity of blocks from those of their parts."""
    size = (blocks.columns, blocks.rows)
    opacity = cv2.resize(part_opacity, size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(part_colors * part_opacity[..., np.newaxis], size, interpolation=cv2.INTER_AREA)
    colors = total / np.maximum(opacity, _NOTHING)[..., np.newaxis]
    return _rounded(colors), np.asarray(opacity, dtype=np.float32)


def find_edges(colors: Rgb, opacity: Plane) -> NDArray[np.bool_]:
    """Return through which blocks an edge of the picture runs; (rows, columns), the silhouette is none."""
    luma = np.asarray(cv2.cvtColor(colors, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    across = cv2.Sobel(luma, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_REPLICATE)
    down = cv2.Sobel(luma, cv2.CV_32F, 0, 1, borderType=cv2.BORDER_REPLICATE)
    is_inside = cv2.erode(opacity, np.ones((3, 3)), borderType=cv2.BORDER_REPLICATE) > 0
    return np.asarray((np.hypot(across, down) >= _EDGE_FROM) & is_inside)


def _cut(values: NDArray[Item], fine: Cells) -> NDArray[Item]:
    """Give each part of a block its block's value."""
    size = (fine.columns, fine.rows)
    cut = cv2.resize(values.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(cut).astype(values.dtype)


def _rounded(colors: NDArray[np.floating[Any]]) -> Rgb:
    return np.asarray(np.rint(np.minimum(colors, OPAQUE)), dtype=np.uint8)
