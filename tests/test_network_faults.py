"""Numbers that are none, or a device without memory, are told apart from a photo without a subject."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.errors import InternalError, OutOfMemoryError
from worker.matting.network_faults import once_more_without_memory
from worker.matting.transparent_background import TransparentBackground

SIDE_PX = 384
RGB = np.zeros((40, 60, 3), np.uint8)
MAP = torch.ones(1, 1, SIDE_PX, SIDE_PX)
FULL = torch.OutOfMemoryError("CUDA out of memory")


class Package:
    """The package's network, which gives what it is told to, or raises it."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)

    def forward_inspyre(self, _image):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"saliency": [answer]}


def wrapped(*answers) -> TransparentBackground:
    network = Package(*answers)
    return TransparentBackground(network=network, side_px=SIDE_PX, device="cpu", checkpoint_sha256=None)


def test_numbers_of_the_packages_that_are_none_are_not_a_photo_without_a_subject() -> None:
    with pytest.raises(InternalError, match="numbers that are none"):
        wrapped(MAP * torch.nan).alpha(RGB)


def test_the_package_is_asked_once_more_by_a_device_without_memory_and_stays_usable() -> None:
    assert wrapped(FULL, MAP).alpha(RGB).has_subject
    hopeless = wrapped(FULL, FULL, MAP)
    with pytest.raises(OutOfMemoryError):
        hopeless.alpha(RGB)
    assert replace(hopeless).alpha(RGB).has_subject


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDA error: out of memory",
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 17179869184 bytes.",
    ],
)
def test_what_a_device_or_its_libraries_say_without_memory_is_no_bug_of_ours(said: str) -> None:
    def ask() -> None:
        raise RuntimeError(said)

    with pytest.raises(OutOfMemoryError):
        once_more_without_memory(ask)


def test_what_the_cpu_itself_says_without_memory_is_no_bug_of_ours() -> None:
    with pytest.raises(OutOfMemoryError):
        once_more_without_memory(lambda: torch.empty(2**60, dtype=torch.uint8))


def test_any_other_error_of_a_device_stays_what_it_is_and_is_not_tried_again() -> None:
    answers = [RuntimeError("The size of tensor a (4) must match the size of tensor b (5)"), None]

    def ask() -> None:
        if answer := answers.pop(0):
            raise answer

    with pytest.raises(RuntimeError, match="must match the size"):
        once_more_without_memory(ask)
    assert answers == [None]
