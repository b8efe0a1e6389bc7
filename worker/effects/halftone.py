"""Newspaper dots: screens of round dots that grow with the ink, black or in four process colours.

A tone is first averaged over about a dot, then compared with the screen pixel by pixel, as a camera's screen
did: dots stay round in flat parts and sharp along edges.
"""

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Plane, Rgb, bands, channels_of
from worker.effects.look import Look, Parameters
from worker.neighbourhoods import smooth_within

#: Standard deviation of the average over a dot, in cells.
_AVERAGED = 0.25
_LEAST_CELL_PX = 2.0
_SAMPLES = 64

#: Inks on white paper, sRGB: process cyan, magenta, yellow, and black.
_INKS = np.array([(0, 158, 224), (230, 0, 126), (255, 236, 0), (28, 26, 27)], dtype=np.uint8)
#: What a pixel lets pass by how much of it is covered, by ink and channel.
_PASSING = np.linspace(np.full_like(_INKS, OPAQUE), _INKS, OPAQUE + 1, axis=-1).round().astype(np.uint8)
#: Angles of the four screens beside that of black, as printers turn them so that no pattern is seen.
_TURNS = (-30.0, 30.0, -45.0, 0.0)
#: Share of the grey that black takes over from the three colours.
_UNDERCOLOR = 0.8


def halftone(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue.

    References
    ----------
    Ulichney, *Digital Halftoning*, MIT Press 1987, chapter 5 (clustered dots, and the angles of screens).
    """
    cell_px = max(_LEAST_CELL_PX, look.size_px(parameters, "cell"))
    smooth = smooth_within(rgb, alpha, _AVERAGED * cell_px)
    if parameters["mode"] == "mono":
        printed = _print_mono(smooth, Screen(alpha.shape, cell_px, parameters["angle_deg"]))
    else:
        screens = [Screen(alpha.shape, cell_px, parameters["angle_deg"] + turn) for turn in _TURNS]
        printed = _print_process(smooth, screens)
    printed[alpha == 0] = 0
    return printed, alpha


class Screen:
    """A screen of round dots over a picture, its middle on the picture's."""

    def __init__(self, shape: tuple[int, ...], cell_px: float, angle_deg: float) -> None:
        along, across = _wave(shape, cell_px, angle_deg), _wave(shape, cell_px, angle_deg + 90)
        self._down = np.hstack((along[0], across[0]))  # (H, 4)
        self._right = np.vstack((along[1], across[1]))  # (4, W)
        self._steepness = cell_px / math.pi  # so that a dot's edge is a pixel wide
        self._cuts = _cuts(self._steepness)

    def coverage(self, ink: Alpha, rows: slice) -> Alpha:
        """Return how much of each pixel a dot covers, for a band of rows of ink; both (rows, W) uint8."""
        # Not by @: NumPy's BLAS and OpenCV have threads of their own, which fight over the same cores.
        nothing = np.zeros((0, 0), dtype=np.float32)
        cover = np.asarray(cv2.gemm(self._down[rows], self._right, 1, nothing, 0), dtype=np.float32)
        cover -= cv2.LUT(ink, self._cuts)
        cover *= np.float32(self._steepness * OPAQUE)
        cover += np.float32(OPAQUE / 2)
        np.maximum(cover, 0, out=cover)
        return np.asarray(cv2.convertScaleAbs(cover), dtype=np.uint8)


def _wave(shape: tuple[int, ...], cell_px: float, angle_deg: float) -> tuple[Plane, Plane]:
    """Return a wave over the picture as a product, (H, 2) @ (2, W), of amplitude 1/2."""
    turns, angle = 2 * math.pi / cell_px, math.radians(angle_deg)
    down, right = (
        turns * share * (np.arange(side) - (side - 1) / 2)
        for share, side in ((math.sin(angle), shape[0]), (math.cos(angle), shape[1]))
    )
    return (
        np.stack((np.cos(down), -np.sin(down)), axis=1).astype(np.float32) * np.float32(0.5),
        np.stack((np.cos(right), np.sin(right))).astype(np.float32),
    )


@lru_cache(maxsize=4)
def _cuts(steepness: float) -> NDArray[np.float32]:
    """Return at which height to cut the waves for each ink, so that dots cover as much as it says."""
    wave = np.cos((np.arange(_SAMPLES) + 0.5) / _SAMPLES * math.pi)
    heights = np.add.outer(wave, wave).ravel() / 2
    cuts = np.linspace(1 + 0.5 / steepness, -1 - 0.5 / steepness, OPAQUE + 1)
    covers = [np.clip((heights - cut) * steepness + 0.5, 0, 1).mean() for cut in cuts]
    return np.interp(np.linspace(0, 1, OPAQUE + 1), covers, cuts).astype(np.float32)


def _print_mono(smooth: Rgb, screen: Screen) -> Rgb:
    ink = OPAQUE - np.asarray(cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    paper = np.empty_like(ink)
    for rows in bands(ink.shape):
        np.subtract(OPAQUE, screen.coverage(ink[rows], rows), out=paper[rows])
    return np.asarray(cv2.merge([paper, paper, paper]), dtype=np.uint8)


def _print_process(smooth: Rgb, screens: list[Screen]) -> Rgb:
    printed = np.empty_like(smooth)
    for rows in bands(smooth.shape):
        light = [np.full(smooth[rows].shape[:2], OPAQUE, dtype=np.uint8) for _ in range(3)]
        for ink, screen, passing in zip(separate(smooth[rows]), screens, _PASSING, strict=True):
            cover = screen.coverage(ink, rows)
            for channel, passed in zip(light, passing, strict=True):
                cv2.multiply(channel, cv2.LUT(cover, passed), channel, 1 / OPAQUE)
        printed[rows] = cv2.merge(light)
    return printed


def separate(rgb: Rgb) -> list[Alpha]:
    """Return how much cyan, magenta, yellow and black a colour needs; each (H, W) uint8."""
    inks = channels_of(OPAQUE - rgb)
    grey = cv2.min(cv2.min(inks[0], inks[1]), inks[2])
    black: Alpha = np.asarray(cv2.convertScaleAbs(grey, alpha=_UNDERCOLOR), dtype=np.uint8)
    colors = [cv2.divide(ink - black, OPAQUE - black, scale=OPAQUE) for ink in inks]
    return [np.asarray(ink, dtype=np.uint8) for ink in (*colors, black)]
