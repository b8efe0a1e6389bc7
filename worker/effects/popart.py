"""A poster in eight strong colours that follow the light, and the hue where it is strong.

The definition is that of pictures that customers own already: a re-order has to look the same.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.arrays import OPAQUE, Alpha, Rgb, channels_of
from worker.effects.look import Look, Parameters
from worker.neighbourhoods import smooth_within

#: CSS's DeepPink, SpringGreen, Orange, BlueViolet, Yellow, DeepSkyBlue, OrangeRed, LimeGreen: by luma, from
#: black upward.
COLORS = np.array(
    [
        (255, 20, 147),
        (0, 255, 127),
        (255, 165, 0),
        (138, 43, 226),
        (255, 255, 0),
        (0, 191, 255),
        (255, 69, 0),
        (50, 205, 50),
    ],
    dtype=np.uint8,
)
#: What strong reds, greens and blues become, the darker and the lighter of each.
_STRONG = ((6, 2), (7, 1), (3, 5))
#: Strong is a colour whose channels differ by more than the one, and whose first leads by the other.
_DIFFERENT, _LEAD = 60, 30
#: Light is a colour with more than this mean.
_LIGHT = OPAQUE / 3

_BT601 = np.array([0.299, 0.587, 0.114])
_BT709 = np.array([0.2126, 0.7152, 0.0722])
_MID_GREY = OPAQUE / 2


def popart(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``; parameters are those of the catalogue."""
    smooth = smooth_within(rgb, alpha, look.px(parameters["smoothing_pm"]))
    levels = parameters["levels"]
    codes = posterise(strengthen(smooth, parameters["contrast"], parameters["saturation"]), levels)
    poster = np.asarray(cv2.LUT(cv2.merge([codes, codes, codes]), color_table(levels)), dtype=np.uint8)
    poster[alpha == 0] = 0
    return poster, alpha


def strengthen(rgb: Rgb, contrast: float, saturation: float) -> Rgb:
    """Raise contrast about mid grey, then saturation about luma, each clipped; (H, W, 3) uint8."""
    levels = np.arange(OPAQUE + 1)
    curve = np.clip((levels - _MID_GREY) * contrast + _MID_GREY, 0, OPAQUE).round().astype(np.uint8)
    mix = saturation * np.eye(3) + (1 - saturation) * _BT601
    return np.asarray(cv2.transform(cv2.LUT(rgb, curve), mix), dtype=np.uint8)


def posterise(rgb: Rgb, levels: int) -> NDArray[np.uint8]:
    """Round each channel to a number of levels; return the triple of them as one code, (H, W) uint8."""
    steps = np.rint(np.arange(OPAQUE + 1) / OPAQUE * (levels - 1)).astype(np.uint8)
    red, green, blue = (cv2.LUT(channel, steps) for channel in channels_of(rgb))
    code = np.multiply(red, levels, dtype=np.uint8)
    code += green
    code *= np.uint8(levels)
    code += blue
    return np.asarray(code)


def color_table(levels: int) -> NDArray[np.uint8]:
    """Return the colour of each code, (1, 256, 3) as ``cv2.LUT`` wants it."""
    codes = np.arange(levels**3)
    channels = np.stack([codes // levels**2, codes // levels % levels, codes % levels], axis=-1)
    table = np.zeros((1, OPAQUE + 1, 3), dtype=np.uint8)
    table[0, : len(codes)] = COLORS[choose(np.rint(channels * OPAQUE / (levels - 1)))]
    return table


def choose(posterised: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return which of the colours stands for each posterised one; (N, 3) of 0 to 255 becomes (N,)."""
    luma = posterised @ _BT709
    bands = len(COLORS)
    chosen: NDArray[np.intp] = (luma * bands / (OPAQUE + 1)).astype(np.intp)
    least, middle, most = np.sort(posterised, axis=1).T
    is_strong = (most - least > _DIFFERENT) & (most - middle >= _LEAD)
    is_light = posterised.mean(axis=1) > _LIGHT
    for channel, (dark, light) in enumerate(_STRONG):
        leads = is_strong & (posterised.argmax(axis=1) == channel)
        chosen[leads] = np.where(is_light[leads], light, dark)
    return chosen
