"""The subject's own colour where it is mixed with the background, found on the network's device.

What ``worker.foreground`` does at the mixed pixels is done at all of them here: a device with thousands of
lanes would lose by looking for some.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worker.arrays import OPAQUE, Alpha, Rgb, check
from worker.explained_pixels import TRUST
from worker.foreground import NEARLY, SMALL_SIDE_PX, apart, is_small, surroundings
from worker.mixed_pixels import ALIKE

#: No round uses what the same round found beside a pixel, as it may where pixels are looked at in turn.
_ROUNDS, _SMALL_ROUNDS = 10, 20
#: At so many sizes, the largest, neighbours are not asked.
_LARGE = 2
#: Rows of the photo's own size that are in memory as float32 at a time; an even number.
_BAND_ROWS = 512


@torch.inference_mode()
def estimate_foreground_on(device: torch.device, rgb: Rgb, alpha: Alpha) -> Rgb:
    """Return the colour of the subject alone; as ``worker.foreground.estimate_foreground``.

    Raises
    ------
    torch.OutOfMemoryError
        If the device has too little memory.
    """
    check(rgb, alpha)
    foreground = np.zeros(rgb.shape, np.uint8)
    if alpha.any():
        part = surroundings(alpha).slices
        image, matte = (_put(device, p[part]) for p in (rgb, alpha))
        torch.from_numpy(foreground)[part].copy_(_subject(image, matte))
    return foreground


def _put(device: torch.device, pixels: Rgb | Alpha) -> Tensor:
    """Return pixels on a device; a copy: torch takes none that run backwards."""
    return torch.from_numpy(np.array(pixels, order="C")).to(device)


def _subject(image: Tensor, matte: Tensor) -> Tensor:
    """Return the subject's colour; (H, W, 3) and (H, W) to (H, W, 3), all uint8."""
    if is_small(*matte.shape):
        found = _rounded(_near(image, matte, _means(image, matte), _LARGE))
    else:
        found = _explained_by_half(image, matte)
    found = torch.where((matte == OPAQUE)[..., None], image, found)
    return found * (matte > 0)[..., None]


def _explained_by_half(image: Tensor, matte: Tensor) -> Tensor:
    """Return the subject's colour as the colours found at half the size explain it; (H, W, 3) uint8."""
    near = _near(image[::2, ::2], matte[::2, ::2], _means(image, matte), 1)
    found = torch.empty_like(image)
    for top in range(0, len(matte), _BAND_ROWS):
        rows, halves = slice(top, top + _BAND_ROWS), slice(top // 2, (top + _BAND_ROWS) // 2)
        explained = _explained(image[rows], matte[rows], _twice(near[:, :, halves], matte[rows]))
        found[rows] = _rounded(explained)
    return found


def _rounded(near: Tensor) -> Tensor:
    """Return the subject's colour of both; (2, 3, H, W) in [0, 1] to (H, W, 3) uint8."""
    return near[0].mul_(OPAQUE).round_().to(torch.uint8).permute(1, 2, 0)


def _means(image: Tensor, matte: Tensor) -> Tensor:
    """Return the mean colours of subject and background; (2, 3, 1, 1) in [0, 1]."""
    if not is_small(*matte.shape):
        image, matte = image[::2, ::2], matte[::2, ::2]
    parts = torch.stack([matte.float(), OPAQUE - matte.float()]) / OPAQUE  # (2, h, w)
    chosen = (parts >= NEARLY * parts.amax((1, 2), keepdim=True)).float()
    count = chosen.sum((1, 2))
    means = torch.einsum("khw,hwc->kc", chosen, image.float() / OPAQUE) / count[:, None]
    most, rest = ((chosen * parts).sum((1, 2)) / count).tolist()
    moved = torch.from_numpy(apart(most, 1 - rest)).to(means.device)
    return (means + moved[:, None] * (means[0] - means[1]))[..., None, None]


def _near(image: Tensor, matte: Tensor, means: Tensor, depth: int) -> Tensor:
    """Return both colours near every pixel, found at half the size first; (2, 3, H, W) in [0, 1]."""
    if max(matte.shape) == 1:
        return _solved(image, matte, means)
    near = _twice(_near(image[::2, ::2], matte[::2, ::2], means, depth + 1), matte)
    is_large = depth < _LARGE and max(matte.shape) > SMALL_SIDE_PX
    return _explained(image, matte, near) if is_large else _solved(image, matte, near)


def _twice(near: Tensor, matte: Tensor) -> Tensor:
    """Return colours at twice the size, as large as a matte."""
    height, width = matte.shape
    return near.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :height, :width]


def _explained(image: Tensor, matte: Tensor, near: Tensor) -> Tensor:
    """Return both colours as they explain each pixel by itself."""
    image, parts = _planes(image), _parts(matte)
    rest = image - (parts * near).sum(0)
    return (near + parts / (parts.square().sum(0) + TRUST) * rest).clamp_(0, 1)


def _solved(image: Tensor, matte: Tensor, near: Tensor) -> Tensor:
    """Return both colours closer to explaining each pixel and to being like its neighbours'."""
    image, parts = _planes(image), _parts(matte)
    alike = torch.stack([(parts[0] - beside[0]).abs() + float(ALIKE) for beside in _beside(parts)])
    total = alike.sum(0)
    weights, shares = alike / total, parts / (parts.square().sum(0) + total)
    for _ in range(_SMALL_ROUNDS if max(matte.shape) <= SMALL_SIDE_PX else _ROUNDS):
        near = sum((w * beside for w, beside in zip(weights, _beside(near), strict=True)), start=near * 0)
        near = (near + shares * (image - (parts * near).sum(0))).clamp_(0, 1)
    return near


def _planes(image: Tensor) -> Tensor:
    """Return (H, W, 3) uint8 as (3, H, W) in [0, 1]."""
    return image.permute(2, 0, 1).float() / OPAQUE


def _parts(matte: Tensor) -> Tensor:
    """Return how opaque each pixel is and how transparent; (2, 1, H, W)."""
    opacity = matte.float() / OPAQUE
    return torch.stack([opacity, 1 - opacity])[:, None]


def _beside(planes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what lies left, right, above and below; the edge is its own neighbour."""
    around = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    return around[..., 1:-1, :-2], around[..., 1:-1, 2:], around[..., :-2, 1:-1], around[..., 2:, 1:-1]
