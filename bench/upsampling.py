"""Whether enlarging by two pays after the convolutions of 3 x 3 that follow it, instead of before them.

Enlarged bilinearly, four neighbouring pixels are four sums of the same 3 x 3 pixels: so is what a kernel of
3 x 3 makes of them, and four kernels on the small map, interleaved, give the large one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from bench.effort import Effort
from bench.load import Drive
from bench.rows import Row
from bench.timings import in_turns, timed
from worker.matting.devices import precisions
from worker.matting.layers import OneDnnLayers
from worker.matting.weights import name_of

_CHANNELS, _CONVOLUTIONS, _SIDES_PX = 64, 2, (512, 1024)
#: What a tap of three sees of three pixels of the small map; (parity of the pixel, tap, pixel).
_SEEN = torch.tensor(
    [
        [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0.75, 0.25]],
        [[0.25, 0.75, 0], [0, 0.75, 0.25], [0, 0.25, 0.75]],
    ]
)
_SPOILT_PX = 2  #: along the border, where zeros lie around the large map or around the small one

Convolve = Callable[[Tensor], list[Tensor]]


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Measure the widest map of a context attention, from half its size to two convolutions of it."""
    del data, drive  # nothing is kept, nothing is served
    torch.manual_seed(0)
    return [
        row
        for precision in precisions(torch.device("cpu"))
        for side_px in _SIDES_PX
        for row in _rows(side_px, precision, effort.pictures)
    ]


@torch.inference_mode()
def _rows(side_px: int, precision: torch.dtype, rounds: int) -> Sequence[Row]:
    layers, what = OneDnnLayers(precision), f"{side_px} x {side_px}, {name_of(precision)}"
    kernels = [torch.randn(_CHANNELS, _CHANNELS, 3, 3) / 24 for _ in range(_CONVOLUTIONS)]
    half = torch.randn(1, _CHANNELS, side_px // 2, side_px // 2).to(precision)
    x = half.contiguous(memory_format=torch.channels_last)
    before, after = _enlarged_before(kernels, layers), _enlarged_after(kernels, layers)
    inside = slice(_SPOILT_PX, -_SPOILT_PX)
    differences = [
        (one - other)[:, :, inside, inside].abs().max().item()
        for one, other in zip(before(x), after(x), strict=True)
    ]
    turns = in_turns(what, rounds, timed(lambda: before(x)), timed(lambda: after(x)))
    ours_ms, theirs_ms = median(turns.ours) * 1000, median(turns.theirs) * 1000
    return [
        Row(what=f"enlarge and convolve, {what}", unit="ms", ours=ours_ms, theirs=theirs_ms),
        Row(what=f"largest difference, {what}", unit="", ours=max(differences)),
    ]


def _enlarged_before(kernels: Sequence[Tensor], layers: OneDnnLayers) -> Convolve:
    prepared = [layers.conv(kernel, None, "relu") for kernel in kernels]

    def convolve(x: Tensor) -> list[Tensor]:
        large = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return [conv(large) for conv in prepared]

    return convolve


def _enlarged_after(kernels: Sequence[Tensor], layers: OneDnnLayers) -> Convolve:
    prepared = [layers.conv(_four(kernel), None, "relu") for kernel in kernels]
    return lambda x: [functional.pixel_shuffle(conv(x), 2) for conv in prepared]


def _four(kernel: Tensor) -> Tensor:
    """Return a kernel for each of four neighbours; (O, C, 3, 3) to (4 * O, C, 3, 3)."""
    return torch.einsum("pka,qlb,ockl->opqcab", _SEEN, _SEEN, kernel).flatten(0, 2)
