"""The names and shapes of the published checkpoint's 1625 tensors: anything else is not InSPyReNet."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from shared.checkpoints import CheckpointError
from worker.matting.swin import AREA, CHANNELS, DEPTHS, HEADS, PATCH_PX, WINDOW

_SHOWN = 3

Shape = tuple[int, ...]


def require_shapes(file: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Shape]) -> None:
    """Raise ``CheckpointError`` unless every tensor of a file is there, of its shape, and no other is."""
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = [n for n in {**expected, **found} if expected.get(n) != found.get(n)]
    if wrong:
        shown = "; ".join(f"{n} is {found.get(n)}, expected {expected.get(n)}" for n in wrong[:_SHOWN])
        raise CheckpointError(
            f"{file} does not hold the weights of InSPyReNet: {len(wrong)} tensors differ: {shown}."
        )


def shapes() -> Iterator[tuple[str, Shape]]:
    """Name every tensor with its shape."""
    yield from _backbone()
    for i, channels in enumerate((CHANNELS[0], *CHANNELS), start=1):
        yield from _encoder(f"context{i}", channels)
    yield from _conv("decoder.conv1", 64, 192, 3, 3)
    for i in (2, 3, 4):
        yield from _conv(f"decoder.conv{i}", 64, 64, 3, 3)
    yield "decoder.conv5.conv.weight", (1, 64, 3, 3)
    yield from _pair("decoder")
    for level, channels in enumerate((64, 128, 128)):
        yield from _sica(f"attention{level}", channels, has_laplacian=level < 2)  # noqa: PLR2004 - see shapes


def _backbone() -> Iterator[tuple[str, Shape]]:
    yield from _affine("backbone.patch_embed.proj", (CHANNELS[0], 3, PATCH_PX, PATCH_PX))
    yield from _affine("backbone.patch_embed.norm", (CHANNELS[0],))
    for level, (channels, depth, heads) in enumerate(zip(CHANNELS, DEPTHS, HEADS, strict=True)):
        for i in range(depth):
            yield from _block(f"backbone.layers.{level}.blocks.{i}", channels, heads)
        if level + 1 < len(DEPTHS):
            yield f"backbone.layers.{level}.downsample.reduction.weight", (2 * channels, 4 * channels)
            yield from _affine(f"backbone.layers.{level}.downsample.norm", (4 * channels,))
        yield from _affine(f"backbone.norm{level}", (channels,))


def _block(name: str, channels: int, heads: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.attn.relative_position_bias_table", ((2 * WINDOW - 1) ** 2, heads)
    yield f"{name}.attn.relative_position_index", (AREA, AREA)
    yield from _affine(f"{name}.norm1", (channels,))
    yield from _affine(f"{name}.attn.qkv", (3 * channels, channels))
    yield from _affine(f"{name}.attn.proj", (channels, channels))
    yield from _affine(f"{name}.norm2", (channels,))
    yield from _affine(f"{name}.mlp.fc1", (4 * channels, channels))
    yield from _affine(f"{name}.mlp.fc2", (channels, 4 * channels))


def _encoder(name: str, channels: int) -> Iterator[tuple[str, Shape]]:
    yield from _conv(f"{name}.branch0", 64, channels, 1, 1)
    for i, reach in ((1, 3), (2, 5), (3, 7)):
        branch = f"{name}.branch{i}"
        yield from _conv(f"{branch}.conv0", 64, channels, 1, 1)
        yield from _conv(f"{branch}.conv1", 64, 64, 1, reach)
        yield from _conv(f"{branch}.conv2", 64, 64, reach, 1)
        yield from _conv(f"{branch}.conv3", 64, 64, 3, 3)
        yield from _pair(branch)
    yield from _conv(f"{name}.conv_cat", 64, 256, 3, 3)
    yield from _conv(f"{name}.conv_res", 64, channels, 1, 1)


def _pair(name: str) -> Iterator[tuple[str, Shape]]:
    for axis in ("Hattn", "Wattn"):
        yield f"{name}.{axis}.gamma", (1,)
        for part, outputs in (("query", 8), ("key", 8), ("value", 64)):
            yield from _conv(f"{name}.{axis}.{part}_conv", outputs, 64, 1, 1)


def _sica(name: str, channels: int, *, has_laplacian: bool) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.threshold", (1,)
    if has_laplacian:
        yield f"{name}.lthreshold", (1,)
    for part, side in (("query", 3), ("key", 1), ("value", 1)):
        yield from _conv(f"{name}.conv_{part}.0", 64, channels, side, side)
        yield from _conv(f"{name}.conv_{part}.1", 64, 64, side, side)
    yield from _conv(f"{name}.conv_out1", 64, 64, 3, 3)
    yield from _conv(f"{name}.conv_out2", 64, channels + 64, 3, 3)
    yield from _conv(f"{name}.conv_out3", 64, 64, 3, 3)
    yield from _conv(f"{name}.conv_out4", 1, 64, 1, 1)


def _conv(name: str, outputs: int, *inputs: int) -> Iterator[tuple[str, Shape]]:
    """A convolution without bias, and the batch norm behind it."""
    yield f"{name}.conv.weight", (outputs, *inputs)
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.bn.{part}", (outputs,)
    yield f"{name}.bn.num_batches_tracked", ()


def _affine(name: str, weight: Shape) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", weight
    yield f"{name}.bias", weight[:1]
