"""How long each stage takes on a 12 MP photo whose subject fills 40 % of it, beside the obvious way."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from bench import foreground, obvious
from bench.effort import Effort
from bench.load import Drive
from bench.photo import PHOTO
from bench.rows import Row
from bench.timings import in_turns, timed
from shared.catalogue import EFFECTS
from shared.recipes import EffectRequest, Recipe
from worker.arrays import OPAQUE, Alpha, Rgb
from worker.decode import decode, glimpse
from worker.effects import RENDERERS, Look, reach_px
from worker.encode import encode_matte, encode_preview, encode_result
from worker.foreground import estimate_foreground
from worker.matting import Matting
from worker.matting.saliency import enlarged, square
from worker.pipeline import render
from worker.subject import Frame

_COVERAGE, _RIM_PX = 0.4, 24.0
_NETWORK_PX = 1024
_ORDERED = ("color", "enhancedblackwhite", "popart", "dithering")
_WIDE_RIM_PX = 90.0
_WHOLE_MS, _INPUT_MS, _EFFECT_MS = 2000.0, 50.0, 400.0
_EFFECTS_MS = {"enhancedblackwhite": 250.0, "popart": 200.0, "dithering": 150.0, "retro8bit": 120.0}
_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True, slots=True)
class _Known:
    """An engine that costs nothing, because it was told the answer; a glimpse suffices it."""

    matte: Alpha
    name: str = "known"
    version: str = "1"
    checkpoint_sha256: str | None = None
    glimpse_side_px: int = _NETWORK_PX

    def alpha(self, rgb: Rgb) -> Matting:
        del rgb
        return Matting(alpha=self.matte, has_subject=True)

    def alpha_of_glimpse(self, small: Rgb, height: int, width: int) -> Matting:
        del small, height, width
        return Matting(alpha=self.matte, has_subject=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A stage done both ways."""

    what: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    at_most_ms: float | None = None
    ratio_at_most: float | None = None

    def row(self, rounds: int) -> Row:
        timings = in_turns(self.what, rounds, timed(self.ours), timed(self.theirs))
        return Row(
            what=self.what,
            unit="ms",
            ours=median(timings.ours) * 1000,
            theirs=median(timings.theirs) * 1000,
            at_most=self.at_most_ms,
            ratio_at_most=self.ratio_at_most,
        )


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Measure each stage in this process, both ways in turns."""
    del data, drive  # nothing is served and nothing is kept
    photo = PHOTO.read_bytes()
    rgb = decode(photo).rgb
    matte = matte_of(*rgb.shape[:2])
    cut_out = Frame.of(estimate_foreground(rgb, matte), matte)
    pairs = [
        *_decoding(photo),
        _upsampling(matte),
        *(_effect(name, cut_out) for name in EFFECTS if name != "color"),  # the cut-out as it is
        *_encoding(cut_out),
        _whole(photo, matte),
    ]
    furry = matte_of(*rgb.shape[:2], rim_px=_WIDE_RIM_PX)
    foregrounds = foreground.measure(rgb, (matte, furry), effort.pictures)
    sizes = [_png_size(name, cut_out) for name in _ORDERED]
    return [*foregrounds, *(pair.row(effort.pictures) for pair in pairs), *sizes]


def matte_of(height: int, width: int, *, rim_px: float = _RIM_PX) -> Alpha:
    """Return an ellipse of 40 % of the picture with a soft rim, (H, W)."""
    share = math.sqrt(_COVERAGE / math.pi)
    y, x = np.ogrid[:height, :width]
    radius = np.hypot(((x + 0.5) / width - 0.5) / share, ((y + 0.5) / height - 0.5) / share)
    opacity = np.clip((1 - radius) * share * height / rim_px + 0.5, 0, 1)
    return np.asarray((opacity * OPAQUE).round(), dtype=np.uint8)


def _decoding(photo: bytes) -> list[_Pair]:
    return [
        _Pair(what="decode", ours=lambda: decode(photo), theirs=lambda: obvious.decode(photo)),
        _Pair(
            what=f"decode to network input, {_NETWORK_PX} px",
            ours=lambda: _network_input(photo),
            theirs=lambda: obvious.network_input(obvious.decode(photo), _NETWORK_PX),
            at_most_ms=_INPUT_MS,
        ),
    ]


def _network_input(photo: bytes) -> NDArray[np.float32]:
    small = glimpse(photo, _NETWORK_PX)
    if small is None:
        raise ValueError(f"{PHOTO.name} cannot be decoded at a fraction of its size")
    resized = cv2.resize(small.rgb, (_NETWORK_PX, _NETWORK_PX), interpolation=cv2.INTER_AREA)
    planes = np.empty((3, _NETWORK_PX, _NETWORK_PX), dtype=np.float32)
    for plane, channel, mean, deviation in zip(planes, cv2.split(resized), _MEAN, _DEVIATION, strict=True):
        np.subtract(channel, np.float32(mean), out=plane)
        np.divide(plane, np.float32(deviation), out=plane)
    return planes


def _upsampling(matte: Alpha) -> _Pair:
    small = square(np.dstack((matte, matte, matte)), _NETWORK_PX)[0, :, :, 0] / OPAQUE
    plane = small.numpy()
    return _Pair(
        what="alpha to the photo's size",
        ours=lambda: enlarged(small, *matte.shape).numpy(),
        theirs=lambda: obvious.enlarged(plane, *matte.shape),
    )


def _effect(name: str, cut_out: Frame) -> _Pair:
    """Render in the part of the frame that the pipeline would render in."""
    look = Look(subject_px=cut_out.subject.longer_side, seed=1)
    reach = reach_px(EffectRequest(name=name), look)
    part = cut_out.work.grown(reach, cut_out.alpha.shape).slices
    rgb, alpha, parameters = cut_out.rgb[part], cut_out.alpha[part], EFFECTS[name].defaults()
    return _Pair(
        what=name,
        ours=lambda: RENDERERS[name](rgb, alpha, parameters, look),
        theirs=lambda: obvious.EFFECTS[name](rgb, alpha, look.px(1)),
        at_most_ms=_EFFECTS_MS.get(name, _EFFECT_MS),
    )


def _encoding(cut_out: Frame) -> list[_Pair]:
    rgb, alpha, recipe = cut_out.rgb, cut_out.alpha, Recipe()
    on_white = Recipe(format="jpeg", background="#ffffff")
    return [
        _Pair(
            what="PNG",
            ours=lambda: encode_result("color", rgb, alpha, recipe, None),
            theirs=lambda: obvious.png(rgb, alpha),
            ratio_at_most=1 / 6,
        ),
        _Pair(
            what="WebP",
            ours=lambda: encode_result("color", rgb, alpha, Recipe(format="webp"), None),
            theirs=lambda: obvious.webp(rgb, alpha),
        ),
        _Pair(
            what="JPEG on a background",
            ours=lambda: encode_result("color", rgb, alpha, on_white, None),
            theirs=lambda: obvious.jpeg(rgb, alpha),
        ),
        _Pair(what="matte", ours=lambda: encode_matte(alpha), theirs=lambda: obvious.matte(alpha)),
        _Pair(
            what="preview",
            ours=lambda: encode_preview(rgb, alpha, recipe),
            theirs=lambda: obvious.preview(rgb, alpha),
        ),
    ]


def _png_size(name: str, cut_out: Frame) -> Row:
    look = Look(subject_px=cut_out.subject.longer_side, seed=1)
    rgb, alpha = RENDERERS[name](cut_out.rgb, cut_out.alpha, EFFECTS[name].defaults(), look)
    ours, theirs = encode_result(name, rgb, alpha, Recipe(), None).data, obvious.png(rgb, alpha)
    return Row(
        what=f"PNG, size, {name}",
        unit="MB",
        ours=len(ours) / 1e6,
        theirs=len(theirs) / 1e6,
        ratio_at_most=1,
    )


def _whole(photo: bytes, matte: Alpha) -> _Pair:
    recipe = Recipe(effects=tuple(EffectRequest(name=name) for name in _ORDERED))
    return _Pair(
        what="everything but the network, four effects",
        ours=lambda: render(photo, recipe, _Known(matte), lambda _stage: None, lambda _artifact: None),
        theirs=lambda: _obvious_whole(photo, matte),
        at_most_ms=_WHOLE_MS,
    )


def _obvious_whole(photo: bytes, matte: Alpha) -> None:
    rgb = obvious.decode(photo)
    obvious.network_input(rgb, _NETWORK_PX)
    foreground = obvious.foreground(rgb, matte)
    px = Frame.of(foreground, matte).subject.longer_side / 1000
    pictures = [obvious.EFFECTS[name](foreground, matte, px) for name in _ORDERED]
    for picture in pictures:
        obvious.png(*picture)
    obvious.matte(matte)
    obvious.preview(*pictures[0])
