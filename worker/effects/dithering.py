"""Black dots on white whose density is the tone: error diffusion with one sample a dot.

The definition is that of pictures that customers own already: a re-order has to look the same.
"""

import cv2
import numpy as np

from worker.arrays import OPAQUE, Alpha, Plane, Rgb
from worker.cells import Cells
from worker.effects.look import Look, Parameters
from worker.error_diffusion import diffuse
from worker.neighbourhoods import blur_within

_MIDDLE = 0.5
#: Share of the surroundings in an adaptive threshold, and how far they reach: standard deviation in cells.
_LOCAL, _SURROUNDINGS = 0.7, 5.0

_NEIGHBOURS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=np.float32)


def dithering(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue."""
    cells = Cells.over(alpha.shape, look.size_px(parameters, "cell"))
    opacity = cells.opacity(alpha)
    grey: Alpha = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    tones = find_tones(cells.mean(grey, alpha, opacity), opacity, parameters["gamma"], parameters["sharpen"])
    thresholds = find_thresholds(tones, opacity, is_adaptive=parameters["adaptive"])
    dots = diffuse(tones, thresholds, opacity > 0)
    shown = cells.spread(dots * np.uint8(OPAQUE))
    shown[alpha == 0] = 0
    return np.asarray(cv2.merge([shown, shown, shown]), dtype=np.uint8), alpha


def find_tones(grey: Plane, opacity: Plane, gamma: float, sharpen: float) -> Plane:
    """Lighten and sharpen a grey in [0, 255]; return (rows, columns) in [0, 1]."""
    tones = (grey / np.float32(OPAQUE)) ** np.float32(gamma)
    tones += np.float32(sharpen) * _laplacian(tones, opacity)
    return np.asarray(np.clip(tones, 0, 1), dtype=np.float32)


def find_thresholds(tones: Plane, opacity: Plane, *, is_adaptive: bool) -> Plane:
    """Return from which tone upward each cell is light; (rows, columns)."""
    if not is_adaptive:
        return np.full_like(tones, _MIDDLE)
    near = blur_within(tones, opacity, _SURROUNDINGS)
    return np.asarray(_LOCAL * near + (1 - _LOCAL) * _MIDDLE, dtype=np.float32)


def _laplacian(tones: Plane, opacity: Plane) -> Plane:
    """Return by how much each tone stands out of its four neighbours, each as far as it is opaque."""
    weight = cv2.filter2D(opacity, -1, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
    near = cv2.filter2D(tones * opacity, -1, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(tones * weight - near, dtype=np.float32)
