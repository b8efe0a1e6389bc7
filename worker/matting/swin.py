"""Swin-B, the backbone: what a photo looks like at five scales, seen through shifted windows.

Queries, keys and values are calculated token by token and only then put into windows, so that the padding of
windows costs nothing but its place in the attention.  A block sees a few windows and then maps a few tokens
at a time, in place: what is between lies in the cache, in memory that was there before.

References
----------
Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV 2021.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.matting.layers import Layer, Layers, added

WINDOW = 12  #: tokens along a window's side
AREA = WINDOW * WINDOW  #: tokens in a window
PATCH_PX = 4
DEPTHS = (2, 2, 18, 2)
HEADS = (4, 8, 16, 32)
CHANNELS = (128, 256, 512, 1024)

#: The widest of what is between a block's maps, in channels of the block.
_WIDEST = 4

_MASKED = -100.0
#: Which of a shifted window's tokens are neighbours: all, or those on the same side of the seam that lies
#: across (bottom windows) and along (right windows).
_KINDS = ((False, False), (False, True), (True, False), (True, True))


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows that are worked on at once, like ones next to each other; at the map's edge some is padding."""

    runs: tuple[tuple[int, int, int], ...]  #: kind, first place, last place + 1
    tokens: Tensor  #: (n,) which tokens stand there
    places: Tensor | None  #: (n,) where each of them stands; none: in order, all over


Cut = tuple[Windows, ...]  #: a whole map


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer norm over the last dimension, in float32; what it gives is for layers of a precision."""

    weight: Tensor
    bias: Tensor
    dtype: torch.dtype

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias).to(self.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Attention within windows, then two linear maps; both are added to what came in."""

    norm1: Norm
    qkv: Layer
    padding_qkv: Tensor  #: (3 * C,) what the padding's zeros become
    position: Tensor  #: (1 or 4 kinds, heads, AREA, AREA)
    proj: Layer
    norm2: Norm
    fc1: Layer
    fc2: Layer
    windows: Cut
    tokens_at_once: int

    def __call__(self, x: Tensor) -> Tensor:
        """Return (B, tokens, C), in the memory of what came in."""
        for windows in self.windows:
            some = x.index_select(1, windows.tokens)
            x.index_copy_(1, windows.tokens, added(self.proj, self._attend(self.norm1(some), windows), some))
        for first in range(0, x.shape[1], self.tokens_at_once):
            some = x[:, first : first + self.tokens_at_once]
            some.copy_(added(self.fc2, self.fc1(self.norm2(some)), some))
        return x

    def _attend(self, x: Tensor, windows: Windows) -> Tensor:  # (B, n, C) -> (B, n, C)
        qkv = self.qkv(x)
        if windows.places is not None:
            padded = self.padding_qkv.repeat(len(x), windows.runs[-1][-1], 1)
            qkv = padded.index_copy_(1, windows.places, qkv)
        parts = [attention(qkv[:, first:last], self.position[kind]) for kind, first, last in windows.runs]
        seen = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        return seen if windows.places is None else seen.index_select(1, windows.places)


def attention(windows: Tensor, position: Tensor) -> Tensor:
    """Attend within windows of one kind; (B, n * AREA, 3 * C) -> (B, n * AREA, C)."""
    batch, places, width = windows.shape
    parts = windows.reshape(-1, AREA, 3, len(position), width // (3 * len(position)))
    query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B * n, heads, AREA, C / heads) each
    seen = F.scaled_dot_product_attention(query, key, value, attn_mask=position[None])
    return seen.transpose(1, 2).reshape(batch, places, width // 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Blocks at one scale."""

    side: int
    blocks: tuple[Block, ...]
    norm: Norm
    merge_norm: Norm | None
    merge: Layer | None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what this scale looks like, and the next scale's tokens."""
        for block in self.blocks:
            x = block(x)
        if self.merge is None or self.merge_norm is None:
            return self.norm(x), x
        batch, _, channels = x.shape
        quads = x.view(batch, self.side // 2, 2, self.side // 2, 2, channels)
        quads = quads.permute(0, 1, 3, 4, 2, 5).reshape(batch, -1, 4 * channels)
        return self.norm(x), self.merge(self.merge_norm(quads)).float()


@dataclass(frozen=True, slots=True, kw_only=True)
class Swin:
    """The backbone for photos of one size."""

    embed: Layer
    embed_norm: Norm
    stages: tuple[Stage, ...]

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Return maps at strides 4, 4, 8, 16, 32 of an image of (B, 3, S, S)."""
        x = self.embed_norm(_tokens(self.embed(image)).float())  # (B, (S / 4)^2, 128)
        maps, x = [_map(x, self.stages[0].side)], x.to(torch.float32, copy=True)  # blocks work in place
        for stage in self.stages:
            seen, x = stage(x)
            maps.append(_map(seen, stage.side))
        return maps


def _tokens(x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, H * W, C)
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _map(x: Tensor, side: int) -> Tensor:  # (B, H * W, C) -> (B, C, H, W)
    return x.view(len(x), side, side, -1).permute(0, 3, 1, 2)


def build_swin(weights: Mapping[str, Tensor], layers: Layers, side_px: int) -> Swin:
    """Prepare the backbone for square photos; weights as ``folding.fold`` gives them."""
    return Swin(
        embed=layers.conv(
            weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=PATCH_PX
        ),
        embed_norm=_norm(weights, "patch_embed.norm", layers),
        stages=tuple(
            _stage(weights, layers, level, side_px // PATCH_PX >> level) for level in range(len(DEPTHS))
        ),
    )


def _stage(weights: Mapping[str, Tensor], layers: Layers, level: int, side: int) -> Stage:
    at_once = tokens_at_once(CHANNELS[level], layers)
    shifts = [cut_into_windows(side, shift, layers.device, at_once) for shift in (0, WINDOW // 2)]
    name, is_last = f"layers.{level}", level == len(DEPTHS) - 1
    return Stage(
        side=side,
        blocks=tuple(
            _block(weights, f"{name}.blocks.{i}", layers, shifts[i % 2], is_shifted=bool(i % 2))
            for i in range(DEPTHS[level])
        ),
        norm=_norm(weights, f"norm{level}", layers),
        merge_norm=None if is_last else _norm(weights, f"{name}.downsample.norm", layers),
        merge=None if is_last else layers.linear(weights[f"{name}.downsample.reduction.weight"], None),
    )


def tokens_at_once(channels: int, layers: Layers) -> int:
    """Return of how many tokens a block holds what is between its maps."""
    return max(AREA, layers.bytes_at_once // (_WIDEST * channels * layers.dtype.itemsize))


def _block(
    weights: Mapping[str, Tensor], name: str, layers: Layers, windows: Cut, *, is_shifted: bool
) -> Block:
    def linear(part: str, activation: str = "none") -> Layer:
        return layers.linear(weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"], activation)

    position = weights[f"{name}.attn.position"].to(layers.device, torch.float32)  # (heads, AREA, AREA)
    masks = seam_masks().to(layers.device) if is_shifted else torch.zeros(1, device=layers.device)
    return Block(
        norm1=_norm(weights, f"{name}.norm1", layers),
        qkv=linear("attn.qkv"),
        padding_qkv=layers.put(weights[f"{name}.attn.qkv.bias"]),
        position=(position + masks.view(-1, 1, *masks.shape[1:] or (1, 1))).to(layers.dtype),
        proj=linear("attn.proj"),
        norm2=_norm(weights, f"{name}.norm2", layers),
        fc1=linear("mlp.fc1", "gelu"),
        fc2=linear("mlp.fc2"),
        windows=windows,
        tokens_at_once=tokens_at_once(len(weights[f"{name}.norm1.weight"]), layers),
    )


def _norm(weights: Mapping[str, Tensor], name: str, layers: Layers) -> Norm:
    weight, bias = (layers.put(weights[f"{name}.{part}"], torch.float32) for part in ("weight", "bias"))
    return Norm(weight, bias, layers.dtype)


def seam_masks() -> Tensor:
    """Return what is added to the attention of each kind of shifted window; (4, AREA, AREA)."""
    half = torch.arange(WINDOW) >= WINDOW // 2
    masks = []
    for is_bottom, is_right in _KINDS:
        region = (half & is_bottom)[:, None] * 2 + (half & is_right)[None, :] * 1  # (WINDOW, WINDOW)
        apart = region.view(-1, 1) != region.view(1, -1)
        masks.append(apart * _MASKED)
    return torch.stack(masks)


def cut_into_windows(side: int, shift: int, device: torch.device, at_once: int) -> Cut:
    """Cut a (side, side) map into windows, of which the last reach over its edge; so many tokens at once."""
    across = -(-side // WINDOW)
    padded = across * WINDOW
    token = torch.full((padded, padded), -1)
    token[:side, :side] = torch.arange(side * side).view(side, side)
    token = token.roll((-shift, -shift), (0, 1))
    cut = token.view(across, WINDOW, across, WINDOW).transpose(1, 2).reshape(across * across, AREA)
    edge = (torch.arange(across) == across - 1) & (shift > 0)
    kinds = (edge[:, None] * 2 + edge[None, :] * 1).flatten()  # (windows,)
    order, count = kinds.argsort(stable=True), max(1, at_once // AREA)
    parts = zip(kinds[order].split(count), cut[order].split(count), strict=True)
    return tuple(_windows(some.tolist(), tokens.flatten(), device) for some, tokens in parts)


def _windows(kinds: list[int], tokens: Tensor, device: torch.device) -> Windows:  # (places,), -1 for padding
    places = torch.nonzero(tokens >= 0).flatten()
    where = None if len(places) == len(tokens) else places.to(device)
    return Windows(tuple(_runs(kinds)), tokens[places].to(device), where)


def _runs(kinds: list[int]) -> Iterator[tuple[int, int, int]]:
    first = 0
    for kind, same in groupby(kinds):
        yield kind, first, (first := first + AREA * len(list(same)))
