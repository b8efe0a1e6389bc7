"""InSPyReNet in one file: saliency built up over an image pyramid, each level adding what the last lacks.

Inference only.  The map of every photo is stretched by itself, never over a batch.

References
----------
Kim et al., "Revisiting Image Pyramid Structure for High Resolution Salient Object Detection", ACCV 2022.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.matting.layers import Layer, Layers
from worker.matting.swin import Swin, build_swin

DEPTH = 64  #: channels of the decoder
_QUERIES = DEPTH // 8

#: Of the photos that the backbone was trained on; RGB in [0, 255].
_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_DEVIATION = (0.229 * 255, 0.224 * 255, 0.225 * 255)

_GAUSSIAN_SIDE, _GAUSSIAN_SIGMA = 7, 1.0

#: Of the widest maps at most so many pixels are calculated at once: in float32, 64 MB of features ...
_BAND_PX = 1 << 18
#: ... and of features at most so many parts of the layers' size: smaller bands have too much spoilt at edges.
_PARTS_A_BAND = 2
#: Convolutions of 3 x 3 that follow each other in a context attention.
_SPOILT_ROWS = 5
_CHANNELS_AT_ONCE = 4

_Band = tuple[Tensor, Tensor]  #: features (B, 64, rows, W) and Laplacian (B, 1, rows, W)


@dataclass(frozen=True, slots=True, kw_only=True)
class AxialPair:
    """Two attentions among the columns of a map, added to the map.

    The paper attends along height and along width.  The published network reads its maps, which are square,
    so that both attend along width, with height and channels as features; so does this.
    """

    asked: Layer  #: queries and keys of both
    value: Layer  #: values of both, weighed: what is seen of them is only added up

    def __call__(self, x: Tensor) -> Tensor:  # (B, 64, H, W)
        batch, channels, height, width = x.shape
        tokens = x.permute(0, 2, 3, 1)  # (B, H, W, 64)
        asked = self.asked(tokens).view(batch, height, width, 4, _QUERIES)
        query, key = (
            asked.permute(3, 0, 2, 1, 4).reshape(2, 2, batch, width, -1).unbind(1)
        )  # (2, B, W, H * 8)
        attention = (query @ key.transpose(-1, -2)).softmax(-1)  # (2, B, W, W)
        value = self.value(tokens).view(batch, height, width, 2, channels)
        columns = value.permute(0, 3, 2, 1, 4).reshape(batch, 2 * width, -1)  # (B, 2 * W, H * 64)
        seen = attention.permute(1, 2, 0, 3).reshape(batch, width, -1) @ columns  # (B, W, H * 64)
        return (tokens + seen.view(batch, width, height, channels).transpose(1, 2)).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A branch of parallel axial attention: a wide cross, attention, a dilated square."""

    conv0: Layer
    conv1: Layer
    conv2: Layer
    pair: AxialPair
    conv3: Layer

    def __call__(self, x: Tensor) -> Tensor:
        return self.conv3(self.pair(self.conv2(self.conv1(self.conv0(x)))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """PAA-e: brings one scale of the backbone to 64 channels."""

    branch0: Layer
    branches: tuple[Branch, ...]
    conv_cat: Layer
    conv_res: Layer

    def __call__(self, x: Tensor) -> Tensor:
        parts = [self.branch0(x), *(branch(x) for branch in self.branches)]
        return self.conv_cat(torch.cat(parts, 1), plus=self.conv_res(x))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """PAA-d: the first, smallest saliency map, from the three deepest scales."""

    conv1: Layer
    pair: AxialPair
    convs: tuple[Layer, ...]
    out: Layer

    def __call__(self, scales: list[Tensor]) -> tuple[Tensor, Tensor]:
        size = scales[0].shape[2:]
        larger = [F.interpolate(x, size, mode="bilinear", align_corners=True) for x in scales[:0:-1]]
        x = self.pair(self.conv1(torch.cat([*larger, scales[0]], 1)))
        for conv in self.convs:
            x = conv(x)
        return x, self.out(x).float()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sica:
    """Scale-invariant context attention: the Laplacian of the next level of the pyramid.

    Every pixel attends to three or five contexts: what foreground, background and the uncertain look like.
    """

    query: tuple[Layer, Layer]
    key: tuple[Layer, Layer]  #: float32, as contexts are
    value: tuple[Layer, Layer]  #: likewise
    out1: tuple[Tensor, Tensor]  #: kernel and bias
    out2_x: Layer
    out2_context: Layer
    out3: Layer
    out4: Layer
    threshold: Tensor
    laplacian_threshold: Tensor  #: unused where there is no Laplacian from above
    band_px: int

    def __call__(self, x: Tensor, size: torch.Size, above: tuple[Tensor, Tensor | None]) -> Iterator[_Band]:
        """Enlarge features to a size and look at what lies above; return features and Laplacian, in bands."""
        contexts = self._contexts(x, self._certainty(*above, size), size)  # (B, 3 or 5, C)
        for rows in _bands(size, self.band_px):
            yield self._band(x, size, contexts, rows)

    def _band(self, x: Tensor, size: torch.Size, contexts: Tensor, rows: range) -> _Band:
        """Return some rows; what zeros at a band's edges have spoilt is calculated besides and cut off."""
        first, last = max(0, rows.start - _SPOILT_ROWS), min(size[0], rows.stop + _SPOILT_ROWS)
        x = _enlarged_rows(x, size, first, last)
        seen = self._seen(self._likeness(x, contexts), contexts)
        x = self.out3(self.out2_context(seen, plus=self.out2_x(x)))
        kept = slice(rows.start - first, rows.stop - first)
        return x[:, :, kept], self.out4(x)[:, :, kept].float()

    def _certainty(self, saliency: Tensor, laplacian: Tensor | None, size: torch.Size) -> Tensor:
        """Return how much each pixel is of each context; (B, 3 or 5, H, W) float32."""
        above = _enlarge(saliency, size).sigmoid() - self.threshold
        parts = [above.clamp(0, 1), (-above).clamp(0, 1), self.threshold - above.abs()]
        if laplacian is not None:
            above = _enlarge(laplacian, size).sigmoid() - self.laplacian_threshold
            parts += [above.clamp(0, 1), (-above).clamp(0, 1)]
        return torch.cat(parts, 1)

    def _contexts(self, x: Tensor, certainty: Tensor, size: torch.Size) -> Tensor:
        """Add up features by certainty; (B, 3 or 5, C) float32: sums over a million pixels, beyond float16.

        The published network reads the memory of (C, H, W) as if it were (H * W, C), and was trained so.
        Every channel then gives as many rows of C, and a few channels at a time will do.
        """
        batch, channels = x.shape[:2]
        certainties = certainty.flatten(2).chunk(channels // _CHANNELS_AT_ONCE, 2)
        contexts = certainty.new_zeros(batch, certainty.shape[1], channels)
        for part, some in zip(x.split(_CHANNELS_AT_ONCE, 1), certainties, strict=True):
            planes = _enlarge(part.float().contiguous(), size)
            contexts.baddbmm_(some, planes.view(batch, -1, channels))
        return contexts

    def _likeness(self, x: Tensor, contexts: Tensor) -> Tensor:
        """Return how much each pixel attends to each context; (B, 3 or 5, H, W)."""
        batch, _, height, width = x.shape
        key = _mapped(self.key, contexts).to(x.dtype)  # (B, 3 or 5, 64)
        query = self.query[1](self.query[0](x)).permute(0, 2, 3, 1).flatten(1, 2)  # (B, H * W, 64)
        likeness = (query @ key.transpose(1, 2)).float() * DEPTH**-0.5
        return likeness.softmax(-1).to(x.dtype).transpose(1, 2).view(batch, -1, height, width)

    def _seen(self, likeness: Tensor, contexts: Tensor) -> Tensor:
        """Return the first convolution of what each pixel attends to.

        What pixels attend to has as many dimensions as there are contexts, not 64: the kernel is multiplied
        by the values first, and convolves the likeness.
        """
        kernel, bias = self.out1
        values = _mapped(self.value, contexts)  # (B, 3 or 5, 64)
        kernels = torch.einsum("ocyx,bkc->bokyx", kernel, values).to(likeness.dtype)  # (B, 64, 3 or 5, 3, 3)
        seen = [F.conv2d(m[None], k, bias, padding=1) for m, k in zip(likeness, kernels, strict=True)]
        return F.relu_(torch.cat(seen) if len(seen) > 1 else seen[0])


def _mapped(layers: tuple[Layer, Layer], contexts: Tensor) -> Tensor:
    return layers[1](layers[0](contexts))


def _enlarge(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


def _enlarged_rows(x: Tensor, size: torch.Size, first: int, last: int) -> Tensor:
    """Return some rows of an enlargement, by a whole factor, without the rest of it."""
    factor = size[0] // x.shape[2]
    top, bottom = max(0, first // factor - 1), min(x.shape[2], -(-last // factor) + 1)
    large = _enlarge(x[:, :, top:bottom], torch.Size([(bottom - top) * factor, size[1]]))
    return large[:, :, first - top * factor : last - top * factor]


def _bands(size: torch.Size, band_px: int) -> Iterator[range]:
    """Return the rows of a map a few at a time, so that few of the widest maps are in memory at once."""
    height = max(1, band_px // size[1])
    for top in range(0, size[0], height):
        yield range(top, min(top + height, size[0]))


def _joined(bands: Iterator[_Band]) -> _Band:
    features, laplacians = zip(*bands, strict=True)
    if len(features) == 1:
        return features[0], laplacians[0]
    return torch.cat(features, 2), torch.cat(laplacians, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class InSPyReNet:
    """The network for square photos of one side."""

    side_px: int
    layers: Layers
    backbone: Swin
    encoders: tuple[Encoder, ...]
    decoder: Decoder
    sica2: Sica
    sica1: Sica
    sica0: Sica
    gaussian: Tensor  #: (1, 1, 7, 7)

    @torch.inference_mode()
    def __call__(self, rgb: Tensor) -> Tensor:
        """Return the logits of saliency, not yet stretched, of photos.

        Parameters
        ----------
        rgb
            (B, side, side, 3) uint8 on any device.

        Returns
        -------
        Tensor
            (B, side, side) float32 on the network's device.
        """
        # Kernels round otherwise for other shapes, in bfloat16 by 2 of 255 on random weights; and no batch
        # has been measured yet that is faster.
        return torch.cat([self.together(photo) for photo in rgb.split(1)])

    @torch.inference_mode()
    def together(self, rgb: Tensor) -> Tensor:
        """Return what photos give that are calculated as one batch: in float32 the same, but for rounding."""
        x1, x2, x3, x4, x5 = self.backbone(self._normalised(rgb))
        x1, x2 = self.encoders[0](x1), self.encoders[1](x2)
        x3, x4, x5 = self.encoders[2](x3), self.encoders[3](x4), self.encoders[4](x5)
        f3, d3 = self.decoder([x3, x4, x5])

        quarter, half, whole = (torch.Size([self.side_px // by] * 2) for by in (4, 2, 1))
        f2, p2 = _joined(self.sica2(torch.cat([x2, _enlarge(f3, quarter)], 1), quarter, (d3, None)))
        d2 = self._expanded(d3) + p2

        f1, p1 = _joined(self.sica1(torch.cat([x1, f2], 1), half, (d2, p2)))
        d1 = self._expanded(d2) + p1

        p0 = torch.cat([laplacian for _, laplacian in self.sica0(f1, whole, (d1, p1))], 2)
        d0 = self._expanded(d1) + p0
        return d0[:, 0]

    def _normalised(self, rgb: Tensor) -> Tensor:  # (B, S, S, 3) uint8 -> (B, 3, S, S)
        device = self.layers.device
        image = rgb.to(device).float()
        image = (image - torch.tensor(_MEAN, device=device)) / torch.tensor(_DEVIATION, device=device)
        return image.to(self.layers.dtype).permute(0, 3, 1, 2)

    def _expanded(self, x: Tensor) -> Tensor:
        """Expand a level of the pyramid to twice its side: zeros in between, then a Gaussian.

        References
        ----------
        Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Trans. Comm. 1983.
        """
        batch, _, height, width = x.shape
        spread = x.new_zeros(batch, 1, 2 * height, 2 * width)
        spread[:, :, ::2, ::2] = x
        reach = _GAUSSIAN_SIDE // 2
        return F.conv2d(F.pad(spread, [reach] * 4, mode="reflect"), 4 * self.gaussian)


def build_inspyrenet(weights: Mapping[str, Tensor], layers: Layers, side_px: int) -> InSPyReNet:
    """Prepare the network; weights as ``folding.fold`` gives them."""
    backbone = {k.removeprefix("backbone."): v for k, v in weights.items() if k.startswith("backbone.")}
    make = _Maker(weights, layers)
    return InSPyReNet(
        side_px=side_px,
        layers=layers,
        backbone=build_swin(backbone, layers, side_px),
        encoders=tuple(make.encoder(f"context{i}") for i in range(1, 6)),
        decoder=make.decoder("decoder"),
        sica2=make.sica("attention2"),
        sica1=make.sica("attention1"),
        sica0=make.sica("attention0"),
        gaussian=_gaussian().to(layers.device),
    )


@dataclass(frozen=True, slots=True)
class _Maker:
    """Prepares the parts by their published names."""

    weights: Mapping[str, Tensor]
    layers: Layers

    def conv(self, name: str, activation: str = "none", dilation: int = 1) -> Layer:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return self.layers.conv(weight, bias, activation, dilation=dilation)

    def linear(self, name: str, activation: str = "none") -> Layer:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return self.layers.linear(weight.flatten(1), bias, activation)

    def linear_twice(self, name: str) -> tuple[Layer, Layer]:
        return self.linear(f"{name}.0", "relu"), self.linear(f"{name}.1", "relu")

    def pair(self, name: str) -> AxialPair:
        weight, bias = self.weights[f"{name}.value.weight"], self.weights[f"{name}.value.bias"]
        one_each = torch.cat(weight.flatten(1).chunk(2, 1))  # (2 * 64, 64)
        # What attends adds up to 1: a bias of one is the bias of what is seen.
        value = self.layers.linear(one_each, F.pad(bias, [0, len(bias)]))
        return AxialPair(asked=self.linear(f"{name}.asked"), value=value)

    def encoder(self, name: str) -> Encoder:
        return Encoder(
            branch0=self.conv(f"{name}.branch0"),
            branches=tuple(self.branch(f"{name}.branch{i}", reach=2 * i + 1) for i in (1, 2, 3)),
            conv_cat=self.conv(f"{name}.conv_cat", "relu"),
            conv_res=self.conv(f"{name}.conv_res"),
        )

    def branch(self, name: str, reach: int) -> Branch:
        return Branch(
            conv0=self.conv(f"{name}.conv0"),
            conv1=self.conv(f"{name}.conv1"),
            conv2=self.conv(f"{name}.conv2"),
            pair=self.pair(name),
            conv3=self.conv(f"{name}.conv3", dilation=reach),
        )

    def decoder(self, name: str) -> Decoder:
        return Decoder(
            conv1=self.conv(f"{name}.conv1"),
            pair=self.pair(name),
            convs=tuple(self.conv(f"{name}.conv{i}") for i in (2, 3, 4)),
            out=self.conv(f"{name}.conv5"),
        )

    def sica(self, name: str) -> Sica:
        exact = replace(self, layers=self.layers.in_float32())
        out2, bias2 = self.weights[f"{name}.conv_out2.weight"], self.weights[f"{name}.conv_out2.bias"]
        features = out2.shape[1] - DEPTH
        kernel, bias = self.weights[f"{name}.conv_out1.weight"], self.weights[f"{name}.conv_out1.bias"]
        threshold = self.weights[f"{name}.threshold"]
        laplacian = self.weights.get(f"{name}.lthreshold", threshold)
        band_bytes = _PARTS_A_BAND * self.layers.bytes_at_once
        return Sica(
            query=(self.conv(f"{name}.conv_query.0", "relu"), self.conv(f"{name}.conv_query.1", "relu")),
            key=exact.linear_twice(f"{name}.conv_key"),
            value=exact.linear_twice(f"{name}.conv_value"),
            out1=(exact.layers.put(kernel), self.layers.put(bias)),
            out2_x=self.layers.conv(out2[:, :features], None),
            out2_context=self.layers.conv(out2[:, features:], bias2, "relu"),
            out3=self.conv(f"{name}.conv_out3", "relu"),
            out4=self.conv(f"{name}.conv_out4"),
            threshold=exact.layers.put(threshold),
            laplacian_threshold=exact.layers.put(laplacian),
            band_px=min(_BAND_PX, band_bytes // (DEPTH * self.layers.dtype.itemsize)),
        )


def _gaussian() -> Tensor:
    """Return the kernel of the pyramid; (1, 1, 7, 7), adds up to 1."""
    distance = torch.arange(_GAUSSIAN_SIDE, dtype=torch.float64) - _GAUSSIAN_SIDE // 2
    row = torch.exp(-(distance**2) / (2 * _GAUSSIAN_SIGMA**2))
    row /= row.sum()
    return (row[:, None] * row[None, :]).float()[None, None]
