"""What goes wrong in a network and is not the photo's fault: wrong numbers, no memory, no device left."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from shared.errors import DeviceLostError, InternalError, OutOfMemoryError

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

#: How CUDA, its libraries and the CPU's allocator say it, beside torch's own for CUDA; libraries find none
#: left to begin with, too.
_WITHOUT_MEMORY = (
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDA error: out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)


#: How CUDA and its libraries say whatever else is wrong.  After most of it each later call fails likewise;
#: what does not last costs a start of the process.
_LOST = ("CUDA error", "CUDA driver error", "CUDNN_STATUS_EXECUTION_FAILED")


def require_finite(logits: Tensor) -> None:
    """Raise ``InternalError`` unless what a network gave is numbers."""
    if not logits.isfinite().all():
        raise InternalError(
            "The network gave numbers that are none; its weights or its precision are at fault."
        )


def once_more_without_memory(ask: Callable[[], Answer]) -> Answer:
    """Try again once with whatever the device's allocator holds back; then the delivery is refused.

    Raises
    ------
    OutOfMemoryError
        If that was not enough.
    DeviceLostError
        If a call failed that says that later ones will, too; it is not tried again.
    """
    try:
        return _twice_without_memory(ask)
    except RuntimeError as error:
        if not isinstance(error, torch.AcceleratorError) and not any(said in str(error) for said in _LOST):
            raise
        raise DeviceLostError("The device answers no call of this process any more.") from error


def _twice_without_memory(ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except RuntimeError as error:
        if not _is_without_memory(error):
            raise
    log.warning("engine.out_of_memory")
    torch.cuda.empty_cache()  # here and no sooner: the error held what the first try had made
    try:
        return ask()
    except RuntimeError as error:
        if not _is_without_memory(error):
            raise
        torch.cuda.empty_cache()
        raise OutOfMemoryError("The device has too little memory for one photo.") from error


def _is_without_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(said in str(error) for said in _WITHOUT_MEMORY)
