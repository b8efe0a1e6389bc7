"""A sprite: blocks in few colours, finer where an edge runs, with a blocky silhouette (it changes alpha).

The definition is that of pictures that customers own already: a re-order has to look the same.
"""

from typing import TypeVar

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


def retro8bit(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue."""
    blocks = Cells.over(alpha.shape, look.px(parameters["block_pm"]))
    opacity = blocks.opacity(alpha)
    colors = _rounded(blocks.mean_color(rgb, alpha, opacity))
    is_solid = (opacity >= _SOLID * opacity.max()) & (opacity > 0)
    count = parameters.get("palette")
    palette = FUR if count is None else learn(colors[is_solid], count, look.seed)
    if parameters["edges"]:
        is_edge = find_edges(colors, opacity)
        fine = blocks.halved()
        colors = _refined(rgb, alpha, colors, is_edge, fine)
        blocks, is_solid = fine, _cut(is_solid, fine)
    sprite = nearest(colors, palette)
    sprite[~is_solid] = 0
    return blocks.spread(sprite), blocks.spread(is_solid * np.uint8(OPAQUE))


def find_edges(colors: Rgb, opacity: Plane) -> NDArray[np.bool_]:
    """Return through which blocks an edge of the picture runs; (rows, columns), the silhouette is none."""
    luma = np.asarray(cv2.cvtColor(colors, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    across = cv2.Sobel(luma, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_REPLICATE)
    down = cv2.Sobel(luma, cv2.CV_32F, 0, 1, borderType=cv2.BORDER_REPLICATE)
    is_inside = cv2.erode(opacity, np.ones((3, 3)), borderType=cv2.BORDER_REPLICATE) > 0
    return np.asarray((np.hypot(across, down) >= _EDGE_FROM) & is_inside)


def _refined(rgb: Rgb, alpha: Alpha, colors: Rgb, is_edge: NDArray[np.bool_], fine: Cells) -> Rgb:
    """Return the colours of quarter blocks: their own where an edge runs, else the block's."""
    opacity = fine.opacity(alpha)
    is_own = _cut(is_edge, fine) & (opacity > 0)
    refined = _cut(colors, fine)
    refined[is_own] = _rounded(fine.mean_color(rgb, alpha, opacity))[is_own]
    return refined


def _cut(values: NDArray[Item], fine: Cells) -> NDArray[Item]:
    """Give each quarter block its block's value."""
    size = (fine.columns, fine.rows)
    cut = cv2.resize(values.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(cut).astype(values.dtype)


def _rounded(colors: Plane) -> Rgb:
    return np.rint(colors).astype(np.uint8)
