"""Flat washes with darker edges on rough paper.

Washes are painted on a grid that is coarse beside the brush; the paper is drawn at full size.
"""

import cv2
import numpy as np

from worker.arrays import OPAQUE, Alpha, Plane, Rgb, bands
from worker.cells import Cells
from worker.effects.look import Look, Parameters
from worker.grain import noise
from worker.washes import wash

#: The grid: cells a wash, and cells along a side at most.
_CELLS_A_WASH, _MOST_CELLS = 6, 1200
#: By how much the edge of a wash wavers, and over how much, in the brush's radius.
_WAVER, _WAVER_GRAIN = 0.22, 1.2
#: Pigment gathers where washes end, and more weakly where the subject does: within so many radii.
_AT_EDGES, _AT_RIM, _RIM = 1.2, 0.8, 0.35
#: Pigment flows within a wash: size in the brush's radius and share of each pattern, and how strongly.
_FLOWS, _FLOW = ((12.0, 0.6), (4.0, 0.4)), 2.0
#: Paper: size in thousandths and share of each texture, how strongly it shows, and how much of it on white.
_PAPER, _ROUGHNESS, _ON_WHITE = ((1.2, 0.6), (4.0, 0.5)), 2.0, 0.02
#: Paint is stronger and lighter than what it shows.
_SATURATION, _LIGHTNESS = np.float32(1.25), np.float32(0.92)
_BT601 = np.array([[0.299, 0.587, 0.114]], dtype=np.float32)


def watercolor(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue.

    References
    ----------
    Bousseau, Kaplan, Thollot and Sillion, "Interactive Watercolor Rendering with Temporal Coherence and
    Abstraction", NPAR 2006 (washes, then the density of pigment: edges, flow, paper).
    """
    random = np.random.default_rng(look.seed)
    wash_px, grain = look.px(parameters["wash_pm"]), parameters["grain"]
    cells = Cells.over(alpha.shape, max(wash_px / _CELLS_A_WASH, max(alpha.shape) / _MOST_CELLS))
    radius = max(1.0, wash_px / 2 * cells.columns / cells.width)
    opacity = cells.opacity(alpha)
    colors = cells.mean_color(rgb, alpha, opacity)
    colors *= np.float32(1 / OPAQUE)
    colors = _wavered(wash(colors, opacity, radius), radius, random)
    density = np.float32(parameters["edge"]) * _edges(colors, opacity, radius)
    for size, share in _FLOWS:
        density += np.float32(share * _FLOW * grain) * noise(opacity.shape, size * radius, random)
    paper = np.zeros(alpha.shape, dtype=np.float32)
    for size, share in _PAPER:
        paper += np.float32(share * _ROUGHNESS * grain) * noise(alpha.shape, look.px(size), random)
    picture = _on_paper(_pigmented(_as_paint(colors), density), paper)
    picture[alpha == 0] = 0
    return picture, alpha


def _wavered(colors: Plane, radius: float, random: np.random.Generator) -> Plane:
    """Let the edges of washes waver, as a hand and rough paper do."""
    shape, amount = colors.shape[:2], np.float32(_WAVER * radius)
    x = amount * noise(shape, _WAVER_GRAIN * radius, random) + np.arange(shape[1], dtype=np.float32)
    y = amount * noise(shape, _WAVER_GRAIN * radius, random)
    y += np.arange(shape[0], dtype=np.float32)[:, np.newaxis]
    moved = cv2.remap(colors, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.float32)


def _edges(colors: Plane, opacity: Plane, radius: float) -> Plane:
    """Return how strongly washes end at each cell; (h, w) from 0."""
    soft = np.asarray(cv2.GaussianBlur(opacity, (0, 0), _RIM * radius), dtype=np.float32)
    rim = np.clip(_steepness(soft), 0, 1)
    near = cv2.GaussianBlur(opacity, (0, 0), radius)  # beyond the subject no colour means anything
    ends = np.clip(_steepness(_luma(colors)) * near * near * _AT_EDGES, 0, 1)
    return np.asarray(ends + np.float32(_AT_RIM) * rim, dtype=np.float32)


def _steepness(plane: Plane) -> Plane:
    across, down = cv2.Sobel(plane, cv2.CV_32F, 1, 0), cv2.Sobel(plane, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(across, down), dtype=np.float32)


def _luma(colors: Plane) -> Plane:
    return np.asarray(cv2.transform(colors, _BT601), dtype=np.float32)


def _as_paint(colors: Plane) -> Plane:
    luma = _luma(colors)[..., np.newaxis]
    strong = np.clip(luma + (colors - luma) * _SATURATION, 0, 1)
    return np.asarray(1 - (1 - strong) * _LIGHTNESS, dtype=np.float32)


def _pigmented(colors: Plane, density: Plane) -> Plane:
    """Darken paint where there is more pigment than usual; white paper and full black stay."""
    darker = colors - (colors - colors * colors) * density[..., np.newaxis]
    return np.asarray(np.clip(darker, 0, 1), dtype=np.float32)


def _on_paper(painted: Plane, paper: Plane) -> Rgb:
    """Enlarge what was painted to the paper's size, and let the paper show."""
    height, width = paper.shape
    levels = cv2.convertScaleAbs(painted, alpha=OPAQUE)
    picture = np.asarray(cv2.resize(levels, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    for rows in bands(paper.shape):
        light = picture[rows] * np.float32(1 / OPAQUE)
        light -= (light - light * light + np.float32(_ON_WHITE)) * paper[rows][..., np.newaxis]
        picture[rows] = cv2.convertScaleAbs(np.clip(light, 0, 1), alpha=OPAQUE)
    return picture
