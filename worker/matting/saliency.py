"""Between a photo and a network of one size: the photo is made square, its map is stretched and enlarged.

Both engines that run InSPyReNet go through here, so that they differ in the network alone.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from worker.arrays import OPAQUE, Rgb

#: A pixel is rather subject than not from here on, before the map is stretched.
_SUBJECT = 0.5
#: A subject covers at least this share of the map.
_LEAST_SHARE = 1e-4
#: A photo is made small in so many strips; they divide 384 and 1024.
_STRIPS = 4


def square(rgb: Rgb, side_px: int) -> Tensor:
    """Return a photo at the network's size, whatever its shape; (1, side, side, 3) uint8.

    It is made in strips, on all cores: the network waits for it.
    """
    image, (height, width) = Image.fromarray(rgb), rgb.shape[:2]
    strips = _STRIPS if height % _STRIPS == 0 else 1  # between two rows; elsewhere Pillow rounds otherwise

    def strip(number: int) -> NDArray[np.uint8]:
        part = 0, number * height // strips, width, (number + 1) * height // strips
        return np.asarray(image.resize((side_px, side_px // strips), Image.Resampling.BILINEAR, part))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "square") as threads:
        return torch.from_numpy(np.concatenate([*threads.map(strip, range(strips))]))[None]


def shows_subject(logits: Tensor) -> Tensor:
    """Return for each photo whether anything stands out; (B,) bool.

    Asked before the map is stretched: afterwards the likeliest pixel of an empty sheet is as opaque as a cat.
    """
    share = (logits.sigmoid() >= _SUBJECT).float().mean((1, 2))
    return share >= _LEAST_SHARE


def stretched(logits: Tensor) -> Tensor:
    """Return the saliency of each photo, stretched to [0, 1] by itself; (B, H, W)."""
    saliency = logits.sigmoid()
    low, high = saliency.amin((1, 2), keepdim=True), saliency.amax((1, 2), keepdim=True)
    return (saliency - low) / (high - low + 1e-8)


def enlarged(saliency: Tensor, height: int, width: int) -> Tensor:
    """Return one photo's saliency as opacity at the photo's size; (H, W) to (height, width) uint8."""
    large = F.interpolate(saliency[None, None], (height, width), mode="bilinear", align_corners=True)
    return large[0, 0].mul_(OPAQUE).to(torch.uint8)
