"""Pencil on paper: lines where the picture has edges, hatching where it is dark."""

from dataclasses import dataclass

import cv2
import numpy as np

from worker.arrays import OPAQUE, Alpha, Plane, Rgb, bands
from worker.effects.look import Look, Parameters
from worker.grain import noise, strokes
from worker.neighbourhoods import blur_within, opacity_of

#: Two Gaussians whose difference finds lines: deviation in line widths, ratio, share of the wider one.
_SIGMA, _RATIO, _SHARE = 0.7, 1.6, np.float32(0.98)
#: A difference counts relative to the light around it, so that dark fur is drawn as well as pale fur.
_LEAST, _RELATIVE = np.float32(0.15), np.float32(0.6)
#: From which difference a line is drawn, and how hard.
_FROM, _HARDNESS = np.float32(0.012), np.float32(16)
#: The subject's contour: depth in line widths, and strength.
_CONTOUR_SIGMA, _CONTOUR = 0.9, np.float32(0.9)
#: Hatching follows the tone over so many line widths.
_TONE_SIGMA = 3.0
#: Strokes of the hatching in line widths, and the paper's tooth, which breaks them and the lines.
_STROKE, _LENGTH, _TOOTH, _BREAK = 1.1, 33.0, 0.7, np.float32(0.1)
#: The pressure on lines, the darkness of graphite on them, and of all of it together.
_PRESSURE, _GRAPHITE, _BLACKEST = np.float32(0.85), np.float32(0.92), 0.06


@dataclass(frozen=True, slots=True)
class Hatching:
    """A layer of strokes in one direction."""

    angle_deg: float
    begins: float  #: at this darkness
    growth: float
    unevenness: float
    weight: float


_LAYERS = (Hatching(-52, 0.15, 1.3, 0.22, 0.75), Hatching(-20, 0.5, 1.4, 0.22, 0.7))


def sketch(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue.

    References
    ----------
    Winnemoeller, Kyprianidis and Olsen, "XDoG: An eXtended Difference-of-Gaussians Compendium including
    Advanced Image Stylization", Computers & Graphics 2012 (lines); Lu, Xu and Jia, "Combining Sketch and Tone
    for Pencil Drawing Production", NPAR 2012 (tone in a layer of its own).
    """
    line_px, shade = max(1.0, look.px(parameters["line_pm"])), np.float32(parameters["shade"])
    random = np.random.default_rng(look.seed)
    lines, darkness = _observed(rgb, alpha, line_px)
    tooth = noise(alpha.shape, _TOOTH * line_px, random)
    paper = np.ones(alpha.shape, dtype=np.float32)
    for layer in _LAYERS if shade else ():
        texture = strokes(alpha.shape, _STROKE * line_px, _LENGTH * line_px, layer.angle_deg, random)
        for rows in bands(alpha.shape):
            paper[rows] -= shade * _hatched(darkness[rows], texture[rows], tooth[rows], layer)
    drawn = _drawn(paper, lines, tooth)
    drawn[alpha == 0] = 0
    return np.asarray(cv2.merge([drawn, drawn, drawn]), dtype=np.uint8), alpha


def _observed(rgb: Rgb, alpha: Alpha, line_px: float) -> tuple[Plane, Plane]:
    """Return where lines are, and how dark it is around each pixel; both (H, W) in [0, 1]."""
    weights = opacity_of(alpha)
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    grey *= np.float32(1 / OPAQUE)
    darkness = 1 - blur_within(grey, weights, _TONE_SIGMA * line_px)
    narrow = blur_within(grey, weights, _SIGMA * line_px)
    wide = blur_within(grey, weights, _SIGMA * _RATIO * line_px)
    del grey
    lines = find_contour(weights, line_px)
    for rows in bands(alpha.shape):
        np.maximum(lines[rows], find_lines(narrow[rows], wide[rows]), out=lines[rows])
    return lines, darkness


def find_lines(narrow: Plane, wide: Plane) -> Plane:
    """Return how dark a line is, from two blurs of a grey; any shape, in [0, 1]."""
    difference = (narrow - _SHARE * wide) / (wide * _RELATIVE + _LEAST)
    return np.asarray(np.tanh(np.maximum(_FROM - difference, 0) * _HARDNESS), dtype=np.float32)


def find_contour(weights: Plane, line_px: float) -> Plane:
    """Return the line just inside the subject's rim; none where the photo's edge cuts it off."""
    sigma_px = _CONTOUR_SIGMA * line_px
    soft = cv2.GaussianBlur(weights, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    rim = np.asarray((weights - soft) * (2 * _CONTOUR), dtype=np.float32)
    return np.clip(rim, 0, _CONTOUR, out=rim)


def _hatched(darkness: Plane, texture: Plane, tooth: Plane, layer: Hatching) -> Plane:
    """Return how dark a layer of strokes is."""
    tone = (darkness - np.float32(layer.begins)) * np.float32(layer.growth)
    tone += np.float32(layer.unevenness) * texture * np.clip(2 * darkness, 0, 1)
    tone += _BREAK * (tooth - 1)
    return np.asarray(np.float32(layer.weight) * np.clip(tone, 0, 1), dtype=np.float32)


def _drawn(paper: Plane, lines: Plane, tooth: Plane) -> Alpha:
    """Draw the lines over the hatching; (H, W) uint8."""
    drawn = np.empty(paper.shape, dtype=np.uint8)
    for rows in bands(paper.shape):
        pressure = np.clip(_PRESSURE + _BREAK * tooth[rows], 0, 1) * _GRAPHITE
        light = np.clip(paper[rows] * (1 - lines[rows] * pressure), _BLACKEST, 1)
        drawn[rows] = cv2.convertScaleAbs(light, alpha=OPAQUE)
    return drawn
