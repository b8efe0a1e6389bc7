"""Flat layers of a colour that lie beneath a cut-out."""

import cv2
import numpy as np

from worker.arrays import OPAQUE, Alpha, Rgb


def lay_beneath(rgb: Rgb, alpha: Alpha, color: tuple[int, int, int], cover: Alpha) -> tuple[Rgb, Alpha]:
    """Put a colour beneath a cut-out.

    Parameters
    ----------
    rgb, alpha
        (H, W, 3) straight and (H, W), uint8.
    color
        0 to 255 a channel.
    cover
        (H, W) uint8: opacity of the layer.

    Returns
    -------
    tuple[Rgb, Alpha]
        Both together, new arrays, RGB 0 where nothing is.

    References
    ----------
    Porter and Duff, "Compositing Digital Images", SIGGRAPH 1984, eq. for *over*.
    """
    seen = np.asarray(cv2.multiply(cover, OPAQUE - alpha, scale=1 / OPAQUE), dtype=np.uint8)
    opacity = alpha + seen
    together = rgb.copy()
    together[alpha == 0] = 0
    together[(alpha == 0) & (opacity > 0)] = color
    is_mixed = (alpha > 0) & (seen > 0)
    front, behind = alpha[is_mixed].astype(np.float32), seen[is_mixed].astype(np.float32)
    share = (front / (front + behind))[:, np.newaxis]  # (n, 1)
    together[is_mixed] = np.rint(rgb[is_mixed] * share + np.array(color, dtype=np.float32) * (1 - share))
    return together, opacity
