"""Linear maps and convolutions whose weights are laid out once, for one device and one precision.

On the CPU they are oneDNN's fused kernels on prepacked weights, which torch itself reaches only through its
compiler; elsewhere they are torch's own.  Whatever they keep is a copy: one bias that lay in a mapped file
would keep all of it in memory.  Maps are (B, C, H, W) in channels-last memory, so that a map and
its tokens (B, H * W, C) are the same bytes.
"""

import sys
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Layer(Protocol):
    """A prepared linear map or convolution."""

    def __call__(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """Return activation(weight * x + bias + plus)."""
        ...


class Layers(Protocol):
    """Prepares weights for a device; activations are ``none``, ``relu`` and, of linear maps, ``gelu``."""

    @property
    def device(self) -> torch.device:
        """Where everything is calculated."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and activations."""
        ...

    @property
    def bytes_at_once(self) -> int:
        """How large a part of a map is best worked on at once."""
        ...

    def in_float32(self) -> "Layers":
        """Return layers of the same device for what no reduced precision can hold."""
        ...

    def put(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return a copy on the device, in a dtype or else the layers' own."""
        ...

    def linear(self, weight: Tensor, bias: Tensor | None, activation: str = "none") -> Layer:
        """Prepare a weight of (outputs, inputs)."""
        ...

    def conv(
        self,
        weight: Tensor,
        bias: Tensor | None,
        activation: str = "none",
        *,
        stride: int = 1,
        dilation: int = 1,
    ) -> Layer:
        """Prepare a kernel of (outputs, inputs, height, width); zeros around keep the size at stride 1."""
        ...


@dataclass(frozen=True, slots=True)
class OneDnnLayers:
    """Kernels of oneDNN on the CPU, for parts so small that the allocator hands their memory out again."""

    dtype: torch.dtype
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    bytes_at_once: int = 8 << 20

    def in_float32(self) -> Layers:
        """Implement ``Layers``."""
        return replace(self, dtype=torch.float32)

    def put(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Implement ``Layers``."""
        return tensor.to(dtype or self.dtype, copy=True)

    def linear(self, weight: Tensor, bias: Tensor | None, activation: str = "none") -> Layer:
        """Implement ``Layers``."""
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(self.dtype).contiguous(), None)
        return _OneDnnLinear(packed, None if bias is None else self.put(bias), activation)

    def conv(
        self,
        weight: Tensor,
        bias: Tensor | None,
        activation: str = "none",
        *,
        stride: int = 1,
        dilation: int = 1,
    ) -> Layer:
        """Implement ``Layers``."""
        padding = _padding(weight, stride, dilation)
        steps, gaps = [stride] * 2, [dilation] * 2
        pack = torch.ops.mkldnn._reorder_convolution_weight
        packed = pack(weight.to(self.dtype).contiguous(), padding, steps, gaps, 1, None)
        shape = (padding, steps, gaps, 1)
        return _OneDnnConv(packed, None if bias is None else self.put(bias), activation, shape)


@dataclass(frozen=True, slots=True)
class _OneDnnLinear:
    weight: Tensor
    bias: Tensor | None
    activation: str

    def __call__(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        multiply = torch.ops.mkldnn._linear_pointwise
        if plus is not None:
            return activated(multiply.binary(x, plus, self.weight, self.bias, "add"), self.activation)
        if self.activation == "gelu" and x.dtype == torch.float32:
            # What was multiplied lies in the cache still, where torch's own is faster than oneDNN's.
            return torch.ops.aten.gelu_(multiply(x, self.weight, self.bias, "none", [], "none"))
        return multiply(x, self.weight, self.bias, self.activation, [], "none")


@dataclass(frozen=True, slots=True)
class _OneDnnConv:
    weight: Tensor
    bias: Tensor | None
    activation: str
    shape: tuple[list[int], list[int], list[int], int]  #: padding, stride, dilation, groups

    def __call__(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        convolve = torch.ops.mkldnn._convolution_pointwise
        if plus is None:
            return convolve(x, self.weight, self.bias, *self.shape, self.activation, [], "")
        unary = None if self.activation == "none" else self.activation
        return convolve.binary(x, plus, self.weight, self.bias, *self.shape, "add", None, unary, [], "")


@dataclass(frozen=True, slots=True)
class TorchLayers:
    """Kernels of torch, on any device: cuBLAS and cuDNN on CUDA, which whole maps keep busy."""

    dtype: torch.dtype
    device: torch.device
    bytes_at_once: int = sys.maxsize

    def in_float32(self) -> Layers:
        """Implement ``Layers``."""
        return replace(self, dtype=torch.float32)

    def put(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Implement ``Layers``."""
        return tensor.to(self.device, dtype or self.dtype, copy=True)

    def linear(self, weight: Tensor, bias: Tensor | None, activation: str = "none") -> Layer:
        """Implement ``Layers``."""
        return _TorchLinear(self.put(weight), None if bias is None else self.put(bias), activation)

    def conv(
        self,
        weight: Tensor,
        bias: Tensor | None,
        activation: str = "none",
        *,
        stride: int = 1,
        dilation: int = 1,
    ) -> Layer:
        """Implement ``Layers``."""
        kernel = self.put(weight).contiguous(memory_format=torch.channels_last)
        shape = (stride, _padding(weight, stride, dilation), dilation)
        return _TorchConv(kernel, None if bias is None else self.put(bias), activation, shape)


@dataclass(frozen=True, slots=True)
class _TorchLinear:
    weight: Tensor
    bias: Tensor | None
    activation: str

    def __call__(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        return activated(y if plus is None else y + plus, self.activation)


@dataclass(frozen=True, slots=True)
class _TorchConv:
    weight: Tensor
    bias: Tensor | None
    activation: str
    shape: tuple[int, list[int], int]  #: stride, padding, dilation

    def __call__(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        y = F.conv2d(x, self.weight, self.bias, *self.shape)
        return activated(y if plus is None else y + plus, self.activation)


def added(layer: Layer, x: Tensor, to: Tensor) -> Tensor:
    """Return what a layer gives, plus what may be float32 though the layer is not: then so is the sum."""
    return layer(x, plus=to) if x.dtype == to.dtype else layer(x) + to


def activated(x: Tensor, activation: str) -> Tensor:
    """Apply an activation by its name."""
    if activation == "none":
        return x
    return F.relu_(x) if activation == "relu" else F.gelu(x)


def _padding(weight: Tensor, stride: int, dilation: int) -> list[int]:
    return [0, 0] if stride > 1 else [side // 2 * dilation for side in weight.shape[2:]]
