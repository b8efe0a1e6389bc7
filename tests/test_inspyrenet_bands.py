"""Context attention gives the same map a few rows at a time as all at once; the whole is never held."""

from dataclasses import replace

import pytest
import torch

from worker.matting.inspyrenet import _joined, _Maker
from worker.matting.layers import OneDnnLayers, TorchLayers

BEFORE = torch.Size([24, 24])
AFTER = torch.Size([48, 48])

#: Parts of the attention: outputs, inputs, side of the kernel.
PARTS = {
    "conv_query.0": (64, 128, 3),
    "conv_query.1": (64, 64, 3),
    "conv_key.0": (64, 128, 1),
    "conv_key.1": (64, 64, 1),
    "conv_value.0": (64, 128, 1),
    "conv_value.1": (64, 64, 1),
    "conv_out1": (64, 64, 3),
    "conv_out2": (64, 192, 3),
    "conv_out3": (64, 64, 3),
    "conv_out4": (1, 64, 1),
}
MEETS_CONTEXTS = ("conv_key.0", "conv_value.0")


def made_for(layers, seen: float = 1.0):
    """Return an attention of random weights; those that contexts meet first are scaled."""
    random, weights = torch.Generator().manual_seed(0), {"a.threshold": torch.tensor([0.5])}
    for part, (outputs, inputs, side) in PARTS.items():
        kernel = torch.randn(outputs, inputs, side, side, generator=random)
        weights[f"a.{part}.weight"] = (
            kernel / (inputs * side * side) ** 0.5 * (seen if part in MEETS_CONTEXTS else 1)
        )
        weights[f"a.{part}.bias"] = torch.randn(outputs, generator=random) / 10
    return _Maker(weights, layers).sica("a")


@pytest.fixture(scope="module")
def sica():
    return made_for(OneDnnLayers(torch.float32))


def random_maps(side: int) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(2, 128, side, side, generator=random).to(memory_format=torch.channels_last)
    return x, (torch.randn(2, 1, 12, 12, generator=random), torch.randn(2, 1, 12, 12, generator=random))


@pytest.mark.parametrize("size", [BEFORE, AFTER], ids=["as it is", "enlarged"])
@pytest.mark.parametrize("rows", [1, 7, 16])
def test_bands_of_any_height_join_into_the_map(sica, size: torch.Size, rows: int) -> None:
    x, above = random_maps(BEFORE[0])
    whole = list(sica(x, size, above))
    bands = list(replace(sica, band_px=rows * size[1])(x, size, above))
    assert (len(whole), len(bands)) == (1, -(-size[0] // rows))
    for found, expected in zip(_joined(iter(bands)), whole[0], strict=True):
        assert expected.std() > 0.05
        assert (found - expected).abs().max() < 1e-5


def test_contexts_are_the_sum_over_the_memory_read_as_it_lies(sica) -> None:
    x, above = random_maps(BEFORE[0])
    certainty = sica._certainty(*above, AFTER)
    large = torch.nn.functional.interpolate(x, AFTER, mode="bilinear").contiguous()
    expected = torch.bmm(certainty.flatten(2), large.view(2, -1, 128))
    found = sica._contexts(x, certainty, AFTER)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_contexts_larger_than_float16_holds_are_looked_at_all_the_same(precision) -> None:
    """At 1024 they are sums over a million pixels: more than 65504, by weights as small in return."""
    cpu, (x, above) = torch.device("cpu"), random_maps(BEFORE[0])
    x = 1000 * x.abs()  # contexts of some 3e5
    found, expected = (_looked(TorchLayers(p, cpu), x, above) for p in (precision, torch.float32))
    assert found.isfinite().all()
    assert (found - expected).abs().mean() < 0.02 * expected.std()


def _looked(layers, x: torch.Tensor, above) -> torch.Tensor:
    sica = made_for(layers, seen=1e-6)
    contexts = sica._contexts(x, sica._certainty(*above, AFTER), AFTER)
    assert contexts.abs().max() > torch.finfo(torch.float16).max
    likeness = sica._likeness((x / 1000).to(layers.dtype), contexts)
    return sica._seen(likeness, contexts).float()
