"""Where a network runs and how precisely: what was asked for or nothing, and float32 until more is proven."""

import logging

import torch

from worker.matting.layers import Layers, OneDnnLayers, TorchLayers
from worker.matting.weights import Verified, name_of

log = logging.getLogger(__name__)


class DeviceMissingError(Exception):
    """The device that was asked for is not there."""


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
    return torch.device(device)


def precisions(device: torch.device) -> tuple[torch.dtype, ...]:
    """Return what a device multiplies in, the fastest first; float32 is the last."""
    if device.type == "cuda":
        return torch.float16, torch.float32
    return (torch.bfloat16, torch.float32) if _cpu_multiplies_bfloat16() else (torch.float32,)


def choose_precision(device: torch.device, verified: Verified) -> torch.dtype:
    """Return the fastest precision that ``model verify`` has found good for this checkpoint."""
    fastest, *_ = precisions(device)
    if fastest is torch.float32 or name_of(fastest) in verified:
        return fastest
    wanted = {"precision": "float32", "wanted": name_of(fastest), "do": "./cutout model verify"}
    log.warning("engine.unverified", extra=wanted)
    return torch.float32


def _cpu_multiplies_bfloat16() -> bool:
    """Whether bfloat16 is calculated with, not only converted from."""
    flags = torch.backends.cpu.get_cpu_capability()
    return flags.startswith("AVX512") and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def layers_for(device: torch.device, precision: torch.dtype) -> Layers:
    """Return the kernels of a device."""
    return TorchLayers(precision, device) if device.type == "cuda" else OneDnnLayers(precision)
