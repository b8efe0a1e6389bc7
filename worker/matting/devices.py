"""Where a network runs and how precisely: what was asked for or nothing, and float32 until more is proven."""

import logging

import torch

from worker.matting import DeviceMissingError
from worker.matting.layers import Layers, OneDnnLayers, TorchLayers
from worker.matting.weights import Verified, name_of

log = logging.getLogger(__name__)


def choose_device(device: str) -> torch.device:
    """Return the device that was asked for; ``auto`` is CUDA if it is there.

    Raises
    ------
    DeviceMissingError
        If CUDA was asked for and is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceMissingError(
            "CUTOUT_DEVICE is cuda, and torch finds no CUDA device here. A worker never falls back to the "
            "CPU: mend the driver, or set CUTOUT_DEVICE=cpu."
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        _have_float32_be_float32()
    return torch.device(device)


def _have_float32_be_float32() -> None:
    """Forbid CUDA to round float32 to 10 bits before it multiplies, as cuDNN does unless it is told."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def precisions(device: torch.device) -> tuple[torch.dtype, ...]:
    """Return what a device multiplies in, the fastest first; float32 is the last.

    On CUDA bfloat16 stands before float16, which is as fast and nearer but ends at 65504.
    """
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return *((torch.bfloat16,) if has_bfloat16 else ()), torch.float16, torch.float32
    return (torch.bfloat16, torch.float32) if _cpu_multiplies_bfloat16() else (torch.float32,)


def choose_precision(device: torch.device, verified: Verified) -> torch.dtype:
    """Return what ``model verify`` has found good for this checkpoint, and fastest, on such a device."""
    offered = precisions(device)
    seconds = {
        precision: found.get("median_s", 0.0)  # where none was taken, the order stands
        for precision in offered
        if (found := verified.get(name_of(precision), {})).get("device") == device.type
    }
    if not seconds and len(offered) > 1:
        wanted = {"precision": "float32", "wanted": name_of(offered[0]), "do": "./cutout model verify"}
        log.warning("engine.unverified", extra=wanted)
    return min(seconds, key=lambda precision: seconds[precision], default=torch.float32)


def _cpu_multiplies_bfloat16() -> bool:
    """Whether a CPU has instructions for it: with AVX-512 alone oneDNN converts, and is slow."""
    has_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    multiplies = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return has_avx512 and multiplies and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def layers_for(device: torch.device, precision: torch.dtype) -> Layers:
    """Return the kernels of a device."""
    return TorchLayers(precision, device) if device.type == "cuda" else OneDnnLayers(precision)
