"""Palettes of a few colours, and the nearest of them to any colour by a look into a table.

A table of every colour at 5 bits a channel has 32,768 entries whatever the picture's size; pixels times
colours would be gigabytes (field report 15).
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import Rgb

#: Greys, a ramp from brown to cream, pinks, ambers, blues, greens: what fur, noses, tongues, eyes and collars
#: are made of.
FUR = np.array(
    [
        *[(16, 16, 20), (54, 54, 60), (98, 98, 104), (146, 146, 150), (198, 198, 200), (252, 252, 252)],
        *[(44, 26, 18), (76, 46, 28), (110, 68, 40), (146, 94, 56), (180, 126, 80), (208, 160, 112)],
        *[(192, 160, 140), (230, 196, 152), (246, 226, 194)],
        *[(184, 36, 40), (146, 66, 74), (206, 112, 116), (242, 176, 172)],
        *[(156, 62, 18), (200, 92, 22), (234, 140, 42), (252, 200, 96)],
        *[(24, 36, 82), (44, 84, 150), (92, 142, 204), (168, 206, 240)],
        *[(26, 60, 34), (60, 104, 46), (116, 148, 66), (134, 128, 58), (176, 196, 110)],
    ],
    dtype=np.uint8,
)
_BITS = 5
_SIDE = 1 << _BITS
_SHIFT = 8 - _BITS
#: Rounds of k-means, the move of a centre that is none, and how many samples say enough.
_ROUNDS, _NO_MOVE, _SAMPLES = 20, 0.5, 10_000


def nearest(colors: Rgb, palette: NDArray[np.uint8]) -> Rgb:
    """Return the palette's nearest colour to each, by distance in sRGB; any shape (..., 3)."""
    indices = _table(palette)
    red, green, blue = np.moveaxis(colors >> _SHIFT, -1, 0).astype(np.intp)
    return np.asarray(palette[indices[(red << 2 * _BITS) + (green << _BITS) + blue]])


def learn(colors: Rgb, count: int, seed: int) -> NDArray[np.uint8]:
    """Return the colours that together are nearest to those given.

    Parameters
    ----------
    colors
        (N, 3), at least one.
    count
        How many are wanted; fewer are returned where there are not so many different ones.
    seed
        Where randomness starts.

    Returns
    -------
    NDArray[np.uint8]
        (count, 3), sorted.

    References
    ----------
    Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.
    """
    samples = colors[:: -(-len(colors) // _SAMPLES)]
    different = np.unique(samples, axis=0)
    if len(different) <= count:
        return different
    cv2.setRNGSeed(seed % (1 << 31))  # of this thread
    until = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, _ROUNDS, _NO_MOVE)
    labels = np.empty((len(samples), 1), dtype=np.int32)
    _, _, centres = cv2.kmeans(samples.astype(np.float32), count, labels, until, 1, cv2.KMEANS_PP_CENTERS)
    return np.unique(np.rint(centres).astype(np.uint8), axis=0)


def _table(palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _fur_table() if palette is FUR else _made_table(palette)


@cache
def _fur_table() -> NDArray[np.uint8]:
    return _made_table(FUR)


def _made_table(palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the index of the nearest colour to the middle of each of the table's bins."""
    middles = (np.arange(_SIDE) << _SHIFT) + (1 << _SHIFT) / 2 - 0.5
    middles = middles.astype(np.float32)
    best = np.full((_SIDE, _SIDE, _SIDE), np.inf, dtype=np.float32)
    indices = np.zeros(best.shape, dtype=np.uint8)
    for index, color in enumerate(palette):
        red, green, blue = ((middles - level) ** 2 for level in color.astype(np.float32))
        distance = np.add.outer(np.add.outer(red, green), blue)
        is_nearer = distance < best
        best[is_nearer] = distance[is_nearer]
        indices[is_nearer] = index
    return indices.ravel()
