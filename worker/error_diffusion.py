"""Floyd and Steinberg's error diffusion, exactly, a diagonal at a time.

A cell waits for its left neighbour and three above it; those that lie on a line two columns back a row wait
for nobody among themselves, and are decided at once.
"""

import numpy as np
from numpy.typing import NDArray

from worker.arrays import Plane

_STEP = 2  #: columns between neighbours on a diagonal
_LEAST_COLUMNS = _STEP + 1


def diffuse(tones: Plane, thresholds: Plane, is_open: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Decide which cells are light, so that every neighbourhood keeps its mean tone.

    Parameters
    ----------
    tones, thresholds
        (rows, columns) float32 in [0, 1]; a cell is light from its threshold upward.
    is_open
        (rows, columns): the others are skipped; they stay dark, and errors end there.

    Returns
    -------
    NDArray[np.bool_]
        (rows, columns), a new array.

    References
    ----------
    Floyd and Steinberg, "An Adaptive Algorithm for Spatial Greyscale", Proceedings of the Society for
    Information Display 1976.
    """
    rows, columns = tones.shape
    narrow = max(0, _LEAST_COLUMNS - columns)
    tones, thresholds, weights = (
        np.pad(plane, ((0, 0), (0, narrow))).ravel() for plane in (tones, thresholds, np.float32(is_open))
    )
    light = np.zeros(tones.shape, dtype=np.bool_)
    # Errors of the last three diagonals by row, from row -1 on: nothing comes from outside.
    last, second, third = (np.zeros(rows + 1, dtype=np.float32) for _ in range(3))
    width = columns + narrow
    for number in range(width + _STEP * (rows - 1)):
        first, end = max(0, -(-(number - width + 1) // _STEP)), min(rows, number // _STEP + 1)
        here, above = slice(first + 1, end + 1), slice(first, end)
        cells = slice(
            number + first * (width - _STEP), number + (end - 1) * (width - _STEP) + 1, width - _STEP
        )
        values = third[above] + 5 * second[above] + 3 * last[above] + 7 * last[here]
        values /= 16
        values += tones[cells]
        is_light = values >= thresholds[cells]
        light[cells] = is_light
        values -= is_light
        values *= weights[cells]
        last, second, third = third, last, second
        last[:] = 0
        last[here] = values
    return light.reshape(rows, width)[:, :columns] & is_open
