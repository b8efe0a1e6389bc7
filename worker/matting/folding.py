"""From the published checkpoint's tensors to the fewer ones that the network calculates with.

Batch norms become part of the convolution before them, the tables of relative positions are looked up
once, gammas and both attentions of a pair become one weight.  Everything is exact but for rounding.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from worker.matting.published import Shape, shapes
from worker.matting.swin import AREA, DEPTHS, WINDOW

_EPSILON = 1e-5
_CONTEXTS = ("context1", "context2", "context3", "context4", "context5")
_BRANCHES = ("branch1", "branch2", "branch3")

Weights = dict[str, Tensor]


def fold(published: Mapping[str, Tensor]) -> Weights:
    """Return the tensors that ``build_inspyrenet`` asks for, float32, from the published 1625."""
    return (
        _fold_backbone(published) | _fold_convolutions(published) | _fold_pairs(published) | _rest(published)
    )


def _fold_backbone(published: Mapping[str, Tensor]) -> Weights:
    """Pass on what is not a constant, with each block's table looked up."""
    folded = {
        name: tensor
        for name, tensor in published.items()
        if name.startswith("backbone.") and "relative_position" not in name
    }
    index = relative_position_index().flatten()
    for level, depth in enumerate(DEPTHS):
        for i in range(depth):
            name = f"backbone.layers.{level}.blocks.{i}.attn"
            table = published[f"{name}.relative_position_bias_table"]  # (23 * 23, heads)
            position = table.index_select(0, index).view(AREA, AREA, -1).permute(2, 0, 1)
            folded[f"{name}.position"] = position.contiguous()  # (heads, AREA, AREA)
    return folded


def relative_position_index() -> Tensor:
    """Return which row of the table is about each pair of tokens in a window; (AREA, AREA)."""
    y, x = torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")
    y, x = y.flatten(), x.flatten()
    down, across = y[:, None] - y[None, :], x[:, None] - x[None, :]
    return (down + WINDOW - 1) * (2 * WINDOW - 1) + across + WINDOW - 1


def _fold_convolutions(published: Mapping[str, Tensor]) -> Weights:
    folded = {}
    for name in published:
        if name.endswith(".conv.weight") and "attn." not in name:
            layer = name.removesuffix(".conv.weight")
            folded[f"{layer}.weight"], folded[f"{layer}.bias"] = _without_norm(published, layer)
    return folded


def _without_norm(published: Mapping[str, Tensor], layer: str) -> tuple[Tensor, Tensor]:
    """Return kernel and bias that do what a convolution and the batch norm behind it do together."""
    kernel = published[f"{layer}.conv.weight"].double()
    if f"{layer}.bn.weight" not in published:
        return kernel.float(), torch.zeros(len(kernel))
    gamma, beta, mean, variance = (
        published[f"{layer}.bn.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / (variance + _EPSILON).sqrt()
    return (kernel * scale.view(-1, 1, 1, 1)).float(), (beta - mean * scale).float()


def _fold_pairs(published: Mapping[str, Tensor]) -> Weights:
    """Fold both attentions of each pair, and the doubling of what they are added to.

    The published network adds x + gamma * attention(x) of both.  Here the convolution before the pair gives
    2 x, which is added once; values are weighed after the attention, because both are linear.
    """
    pairs = {f"{c}.{b}": f"{c}.{b}.conv2" for c in _CONTEXTS for b in _BRANCHES} | {
        "decoder": "decoder.conv1"
    }
    folded = {}
    for name, before in pairs.items():
        weight, bias = _without_norm(published, before)
        folded[f"{before}.weight"], folded[f"{before}.bias"] = 2 * weight, 2 * bias
        asked = [
            _without_norm(published, f"{name}.{axis}.{part}_conv")
            for axis in ("Hattn", "Wattn")
            for part in ("query", "key")
        ]
        folded[f"{name}.asked.weight"] = torch.cat([w.flatten(1) for w, _ in asked]) / 2  # (4 * 8, 64)
        folded[f"{name}.asked.bias"] = torch.cat([b for _, b in asked])
        values = [_value(published, f"{name}.{axis}") for axis in ("Hattn", "Wattn")]
        folded[f"{name}.value.weight"] = torch.cat([w for w, _ in values], 1) / 2  # (64, 2 * 64)
        folded[f"{name}.value.bias"] = sum((b for _, b in values), torch.zeros(1))
    return folded


def _value(published: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    weight, bias = _without_norm(published, f"{name}.value_conv")
    gamma = published[f"{name}.gamma"]
    return gamma * weight.flatten(1), gamma * bias  # an attention's weights add up to 1


def _rest(published: Mapping[str, Tensor]) -> Weights:
    return {name: tensor for name, tensor in published.items() if name.endswith("threshold")}


def folded_shapes() -> dict[str, Shape]:
    """Name every tensor that ``fold`` gives, with its shape."""
    folded: dict[str, Shape] = {}
    for name, shape in shapes():
        layer, _, part = name.rpartition(".")
        if part == "relative_position_bias_table":
            folded[f"{layer}.position"] = (shape[-1], AREA, AREA)
        elif name.endswith("Hattn.gamma"):
            folded |= _folded_pair(layer.removesuffix(".Hattn"))
        elif name.endswith(".conv.weight") and "attn." not in name:
            layer = layer.removesuffix(".conv")
            folded |= {f"{layer}.weight": shape, f"{layer}.bias": shape[:1]}
        elif part.endswith("threshold") or (name.startswith("backbone.") and "relative_position" not in name):
            folded[name] = shape
    return folded


def _folded_pair(name: str) -> dict[str, Shape]:
    asked, values = 4 * 8, 64
    return {
        f"{name}.asked.weight": (asked, 64),
        f"{name}.asked.bias": (asked,),
        f"{name}.value.weight": (values, 2 * 64),
        f"{name}.value.bias": (values,),
    }
