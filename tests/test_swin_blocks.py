"""A block of the backbone gives the same map a few tokens at a time as all at once, and holds less."""

import sys
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch.nn import functional

from worker.matting.layers import OneDnnLayers, TorchLayers
from worker.matting.swin import AREA, WINDOW, _block, cut_into_windows, tokens_at_once

CPU = torch.device("cpu")
CHANNELS, HEADS, SIDE = 16, 2, 31  # over the edge by five


@dataclass
class Watched:
    """Layers that write down how much each of them gives."""

    inner: OneDnnLayers = field(default_factory=lambda: OneDnnLayers(torch.float32))
    tokens: list[int] = field(default_factory=list)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def linear(self, weight, bias, activation="none"):
        layer = self.inner.linear(weight, bias, activation)

        def watched(x, plus=None):
            self.tokens.append(x.shape[1])
            return layer(x, plus)

        return watched


def weights_of(name: str) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    shapes = {"attn.qkv": (3 * CHANNELS, CHANNELS), "attn.proj": (CHANNELS, CHANNELS)}
    shapes |= {"mlp.fc1": (4 * CHANNELS, CHANNELS), "mlp.fc2": (CHANNELS, 4 * CHANNELS)}
    weights = {f"{name}.attn.position": torch.randn(HEADS, AREA, AREA, generator=random)}
    for part, (outputs, inputs) in shapes.items():
        weights[f"{name}.{part}.weight"] = torch.randn(outputs, inputs, generator=random) / inputs**0.5
        weights[f"{name}.{part}.bias"] = torch.randn(outputs, generator=random)
    for norm in ("norm1", "norm2"):
        weights[f"{name}.{norm}.weight"] = 1 + torch.randn(CHANNELS, generator=random) / 10
        weights[f"{name}.{norm}.bias"] = torch.randn(CHANNELS, generator=random) / 10
    return weights


def block(layers, shift: int, at_once: int):
    windows = cut_into_windows(SIDE, shift, CPU, at_once)
    made = _block(weights_of("b"), "b", layers, windows, is_shifted=shift > 0)
    return replace(made, tokens_at_once=at_once)


def literally(x: torch.Tensor, shift: int) -> torch.Tensor:
    """Return what the paper's block makes of one map: pad, roll, cut, attend, put together, map."""
    w = {name.removeprefix("b."): tensor for name, tensor in weights_of("b").items()}
    padded = -(-SIDE // WINDOW) * WINDOW

    def linear(part, y):
        return functional.linear(y, w[f"{part}.weight"], w[f"{part}.bias"])

    def norm(part, y):
        return functional.layer_norm(y, (CHANNELS,), w[f"{part}.weight"], w[f"{part}.bias"])

    y = functional.pad(
        norm("norm1", x).view(SIDE, SIDE, CHANNELS), (0, 0, 0, padded - SIDE, 0, padded - SIDE)
    )
    region = torch.zeros(padded, padded)
    if shift:
        y = y.roll((-shift, -shift), (0, 1))
        edge = torch.tensor([0] * (padded - WINDOW) + [1] * (WINDOW - shift) + [2] * shift)
        region = (3 * edge[:, None] + edge[None, :]).float()

    def cut(z):
        across = padded // WINDOW
        z = z.view(across, WINDOW, across, WINDOW, -1).transpose(1, 2)
        return z.reshape(across * across, AREA, -1)

    apart = cut(region[..., None]) != cut(region[..., None]).transpose(1, 2)
    q, k, v = linear("attn.qkv", cut(y)).view(-1, AREA, 3, HEADS, CHANNELS // HEADS).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(2, 3) * (CHANNELS // HEADS) ** -0.5 + w["attn.position"] - 100.0 * apart[:, None]
    seen = linear("attn.proj", (scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, AREA, CHANNELS))
    across = padded // WINDOW
    seen = seen.view(across, across, WINDOW, WINDOW, CHANNELS).transpose(1, 2).reshape(padded, padded, -1)
    x = x + seen.roll((shift, shift), (0, 1))[:SIDE, :SIDE].reshape(-1, CHANNELS)
    return x + linear("mlp.fc2", functional.gelu(linear("mlp.fc1", norm("norm2", x))))


@pytest.mark.parametrize("shift", [0, WINDOW // 2])
@pytest.mark.parametrize("at_once", [AREA, 2 * AREA, 5 * AREA, sys.maxsize])
@pytest.mark.parametrize("layers", [OneDnnLayers(torch.float32), TorchLayers(torch.float32, CPU)])
@torch.inference_mode()
def test_a_block_of_any_grain_is_the_papers(shift: int, at_once: int, layers) -> None:
    maps = torch.randn(2, SIDE * SIDE, CHANNELS, generator=torch.Generator().manual_seed(1))
    expected = torch.stack([literally(x, shift) for x in maps])
    block(layers, shift, at_once)(maps)
    assert expected.std() > 0.5
    assert (maps - expected).abs().max() < 2e-5


@torch.inference_mode()
def test_what_blocks_add_up_is_not_rounded_to_what_they_multiply_in() -> None:
    """Rounded two dozen times, it was on some random weights farther off than the package's own bfloat16."""
    maps = 100 * torch.randn(1, SIDE * SIDE, CHANNELS, generator=torch.Generator().manual_seed(1))
    expected = literally(maps[0], 0)
    block(TorchLayers(torch.bfloat16, CPU), 0, sys.maxsize)(maps)
    assert (maps[0] - expected).abs().mean() < 0.02  # bfloat16 itself is 0.11 off, on average


@pytest.mark.parametrize("shift", [0, WINDOW // 2])
@pytest.mark.parametrize("at_once", [1, 3 * AREA, sys.maxsize])
def test_every_token_is_in_one_window(shift: int, at_once: int) -> None:
    windows = cut_into_windows(SIDE, shift, CPU, at_once)
    assert sorted(torch.cat([w.tokens for w in windows]).tolist()) == list(range(SIDE * SIDE))
    assert max(len(w.tokens) for w in windows) <= max(AREA, at_once)


def test_on_a_cpu_what_is_between_is_held_for_a_few_tokens_only() -> None:
    layers = Watched()
    block(layers, WINDOW // 2, 2 * AREA)(torch.randn(1, SIDE * SIDE, CHANNELS))
    assert 0 < max(layers.tokens) <= 2 * AREA
    assert sum(layers.tokens) == 4 * SIDE * SIDE  # and nothing is calculated for padding


@pytest.mark.parametrize(("channels", "dtype"), [(128, torch.float32), (1024, torch.bfloat16)])
def test_as_many_tokens_at_once_as_lie_in_the_cache(channels: int, dtype: torch.dtype) -> None:
    held = tokens_at_once(channels, OneDnnLayers(dtype)) * 4 * channels * dtype.itemsize
    assert held == 8 << 20


def test_a_gpu_is_given_all_tokens_at_once() -> None:
    assert tokens_at_once(128, TorchLayers(torch.float16, torch.device("cuda"))) > 1024**2
