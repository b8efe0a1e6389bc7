"""Between a photo and a network of one size: the photo is made square, its map is stretched and enlarged.

Both engines that run InSPyReNet go through here, so that they differ in the network alone.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from worker.arrays import OPAQUE, Rgb

#: A pixel is rather subject than not from here on, before the map is stretched.
_SUBJECT = 0.5
#: A subject covers at least this share of the map.
_LEAST_SHARE = 1e-4


def square(rgb: Rgb, side_px: int) -> Tensor:
    """Return a photo at the network's size, whatever its shape; (1, side, side, 3) uint8."""
    small = Image.fromarray(rgb).resize((side_px, side_px), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small))[None]


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
