"""Black-and-white film: Tri-X's curve, fine detail, a glow around highlights, grain.

The definition is that of pictures that customers own already: a re-order has to look the same.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Plane, Rgb, bands
from worker.effects.look import Look, Parameters
from worker.grain import noise
from worker.neighbourhoods import blur_within, opacity_of

_GREY_OF_RGB = np.array([[0.18, 0.72, 0.10]], dtype=np.float32)
_LEVELS = 1 << 16

_DETAIL_SIGMA = 1.2  # this and the sigmas below: px on a subject of 1000 px
_GLOW_FROM = 0.75
_GLOWS = ((7.0, 0.3), (2.5, 0.7))  # sigma, share

_FINE_GRAIN, _COARSE_GRAIN = 0.4 * 0.7, 0.6 * 0.3
_LIFT_FROM, _LIFT = 0.9, 0.05


def enhanced_black_white(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue."""
    grey = develop(rgb, parameters["contrast"])
    weights = opacity_of(alpha)
    _add_detail(grey, weights, parameters["edge"], look.px(_DETAIL_SIGMA))
    _add_glow(grey, weights, parameters["halation"], look)
    del weights
    _add_grain(grey, parameters["grain"], max(1.0, look.px(parameters["grain_size_pm"])), look.seed)
    return _printed(grey, alpha), alpha


def film_curve(grey: NDArray[np.float32], contrast: float) -> NDArray[np.float32]:
    """Return how light film renders a grey; any shape, both in [0, 1]."""
    shadow = 0.92 * (1.1 * grey) ** 1.25
    highlight = 1 - 0.95 * (1.05 * (1 - grey)) ** 0.75
    ramp = np.clip((grey - 0.25) / (0.55 - 0.25), 0, 1)
    mixed = (shadow + ramp * (highlight - shadow)) * contrast
    return np.asarray(np.clip(mixed, 0, 1), dtype=np.float32)


@lru_cache(maxsize=4)
def _curve(contrast: float) -> NDArray[np.float32]:
    """Return the curve at each of the levels; its powers cost more than all else does in a small picture."""
    return film_curve(np.linspace(0, 1, _LEVELS, dtype=np.float32), contrast)


def develop(rgb: Rgb, contrast: float) -> Plane:
    """Return the grey of a photo on film, (H, W) in [0, 1]."""
    curve = _curve(contrast)
    grey = np.empty(rgb.shape[:2], dtype=np.float32)
    weights = _GREY_OF_RGB * np.float32((_LEVELS - 1) / OPAQUE)
    for band in bands(rgb.shape):
        levels = cv2.transform(rgb[band].astype(np.float32), weights)
        grey[band] = cv2.LUT(np.rint(levels).astype(np.uint16), curve)
    return grey


def _add_detail(grey: Plane, weights: Plane, edge: float, sigma_px: float) -> None:
    if not edge:
        return
    detail = blur_within(grey, weights, sigma_px)
    np.subtract(grey, detail, out=detail)
    detail *= np.float32(4 * edge)
    detail *= grey
    detail *= 1 - grey
    grey += detail
    np.clip(grey, 0, 1, out=grey)


def _add_glow(grey: Plane, weights: Plane, halation: float, look: Look) -> None:
    if not halation:
        return
    light = (grey > _GLOW_FROM).astype(np.float32)
    glow = np.zeros_like(grey)
    for sigma, share in _GLOWS:
        part = blur_within(light, weights, look.px(sigma))
        part *= np.float32(share * halation)
        glow += part
    del light, part
    glow *= 1 - grey * grey
    grey += glow
    np.clip(grey, 0, 1, out=grey)


def _add_grain(grey: Plane, strength: float, grain_px: float, seed: int) -> None:
    if not strength:
        return
    random = np.random.default_rng(seed)
    grain = noise(grey.shape, grain_px, random)
    grain *= np.float32(_FINE_GRAIN)
    coarse = noise(grey.shape, 2 * grain_px, random)
    coarse *= np.float32(_COARSE_GRAIN)
    grain += coarse
    del coarse
    grain *= np.float32(strength)
    grain *= np.clip(np.float32(1.2) - grey, 0.3, 1)
    grey += grain
    np.clip(grey, 0, 1, out=grey)


def _printed(grey: Plane, alpha: Alpha) -> Rgb:
    """Lighten the highlights and bring the grey to 8 bits; 0 where there is no subject."""
    lifted = grey * np.float32(1 - _LIFT)
    lifted += np.float32(_LIFT)
    np.copyto(grey, lifted, where=grey > _LIFT_FROM)
    del lifted
    levels = cv2.convertScaleAbs(grey, alpha=OPAQUE)
    levels[alpha == 0] = 0
    return np.asarray(cv2.merge([levels, levels, levels]), dtype=np.uint8)
