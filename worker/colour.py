"""Brings a picture's colours to sRGB, by the profile that came with it, in strips and on every core."""

import io
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from worker.arrays import OPAQUE, Rgb

log = logging.getLogger(__name__)

#: Pixels that are converted at once: Pillow holds three more copies of them meanwhile.
_STRIP_PX = 2_000_000
#: Colours along each side of the cube on which a profile is compared with sRGB.
_PROBED = 9

_Stored = NDArray[np.uint8]  #: (H, W) grey, (H, W, 3) RGB or (H, W, 4) CMYK, 255 the most ink


def to_srgb(stored: _Stored, icc_profile: bytes | None) -> Rgb:
    """Return a picture in sRGB; a profile that cannot be used is passed over, and logged.

    Parameters
    ----------
    stored
        (H, W) grey, (H, W, 3) RGB or (H, W, 4) CMYK, 0 to 255.
    icc_profile
        What the stored numbers mean; without one, grey and RGB are taken for sRGB.
    """
    mode = _mode(stored)
    if icc_profile:
        try:
            if mode != "RGB" or not _is_srgb(icc_profile):
                return _in_strips(stored, lambda strip: _converted(strip, mode, icc_profile))
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            log.info("photo.profile_unusable", extra={"reason": str(error), "mode": mode})
    return _without_profile(stored, mode)


def _mode(stored: _Stored) -> str:
    channels = 1 if stored.ndim == 2 else stored.shape[2]  # noqa: PLR2004 - two dimensions are a grey picture
    return {1: "L", 3: "RGB", 4: "CMYK"}[channels]


def _is_srgb(icc_profile: bytes) -> bool:
    """Whether a profile changes no colour: found by trying, for names promise what they like."""
    levels = np.linspace(0, OPAQUE, _PROBED).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    return bool((cv2.absdiff(cube, _converted(cube, "RGB", icc_profile)) <= 1).all())


def _converted(strip: _Stored, mode: str, icc_profile: bytes) -> Rgb:
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(icc_profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    return np.asarray(ImageCms.applyTransform(Image.fromarray(strip, mode), transform))


def _without_profile(stored: _Stored, mode: str) -> Rgb:
    if mode == "RGB":
        return stored
    if mode == "L":
        return np.asarray(cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    return _in_strips(stored, lambda strip: np.asarray(Image.fromarray(strip, mode).convert("RGB")))


def _in_strips(stored: _Stored, convert: Callable[[_Stored], Rgb]) -> Rgb:
    """Convert strips of rows side by side; each on its own, so that nothing is shared between threads."""
    height, width = stored.shape[:2]
    result = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PX // width)

    def one(top: int) -> None:
        result[top : top + rows] = convert(stored[top : top + rows])

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "colour") as threads:
        list(threads.map(one, range(0, height, rows)))
    return result
