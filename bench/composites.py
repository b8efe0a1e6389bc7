"""Photographs put together from two others, so that the true opacity of every pixel is known."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.arrays import OPAQUE, Alpha, Rgb

_PHOTOS = Path(__file__).resolve().parent.parent / "tests" / "photos"
#: Subject and background; in the last both have the same colours.
PAIRS = (("cat", "raccoon"), ("raccoon", "coffee"), ("coffee", "astronaut"), ("raccoon", "raccoon"))
_HAIRS, _FINER = 2500, 2
#: Of a camera's sensor, in levels, and of its file.
_NOISE, _QUALITY = 4.0, 90
_DOUBT = 0.05  #: deviation of an engine's opacity where it is least sure, as a share


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """A subject before a background."""

    what: str
    rgb: Rgb  #: (H, W, 3)
    alpha: Alpha  #: (H, W), the truth


def composites(height: int, width: int) -> Iterator[Composite]:
    """Yield a hairy subject and a smooth one for each pair of photos."""
    for outline, alpha in (("hair", hairy(height, width)), ("rim", smooth(height, width))):
        for subject, behind in PAIRS:
            layers = _texture(subject, height, width), _texture(behind, height, width)[::-1, ::-1]
            yield Composite(what=f"{outline}, {subject} on {behind}", rgb=_photo(*layers, alpha), alpha=alpha)


def as_seen(alpha: Alpha, side_px: int, blur_px: float) -> Alpha:
    """Return what an engine that looks at so few pixels a side would make of a true matte, enlarged."""
    height, width = alpha.shape
    small = cv2.resize(alpha, (side_px, side_px), interpolation=cv2.INTER_AREA).astype(np.float32) / OPAQUE
    if blur_px:
        small = np.asarray(cv2.GaussianBlur(small, (0, 0), blur_px), dtype=np.float32)
    doubt = np.random.default_rng(0).normal(0, _DOUBT, small.shape) * 4 * small * (1 - small)
    large = cv2.resize(np.clip(small + doubt, 0, 1), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(large * OPAQUE), dtype=np.uint8)


def is_mixed(matte: Alpha) -> NDArray[np.bool_]:
    """Return which pixels are near an edge of a matte, (H, W)."""
    between = ((matte > 2) & (matte < OPAQUE - 2)).astype(np.uint8)  # noqa: PLR2004 - rounding, not opacity
    return cv2.dilate(between, np.ones((9, 9), np.uint8)).astype(np.bool_)


def smooth(height: int, width: int) -> Alpha:
    """Return an ellipse whose rim is three pixels wide."""
    y, x = np.ogrid[:height, :width]
    radius = np.hypot((x - width / 2) / (width * 0.3), (y - height / 2) / (height * 0.33))
    return np.asarray(np.rint(np.clip((1 - radius) * height * 0.11 + 0.5, 0, 1) * OPAQUE), dtype=np.uint8)


def hairy(height: int, width: int) -> Alpha:
    """Return an ellipse with thousands of hairs, about a pixel wide, bent each its own way."""
    random = np.random.default_rng(1)
    large = np.zeros((height * _FINER, width * _FINER), np.uint8)
    centre = np.array([width, height]) * _FINER / 2
    axes = np.array([width * 0.27, height * 0.3]) * _FINER
    cv2.ellipse(large, centre.astype(int).tolist(), axes.astype(int).tolist(), 0, 0, 360, OPAQUE, -1)
    for _ in range(_HAIRS):
        hair = _hair(centre, axes, len(large), random)
        points = (hair * 16).astype(np.int32)  # 4 bits of them are behind the point
        cv2.polylines(
            large, [points], isClosed=False, color=random.uniform(150, OPAQUE), lineType=cv2.LINE_AA, shift=4
        )
    return np.asarray(cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _hair(
    centre: NDArray[np.float64], axes: NDArray[np.float64], height: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return points along a hair that starts just inside the ellipse; (n, 2)."""
    at, turn = random.uniform(0, 2 * np.pi), random.normal(0, 0.4)
    root = centre + axes * (np.cos(at), np.sin(at)) * 0.97
    way = np.array([np.cos(at + turn), np.sin(at + turn)])
    aside = np.array([-way[1], way[0]]) * random.normal(0, 0.5)
    along = np.linspace(0, random.uniform(0.01, 0.06) * height, 8)[:, np.newaxis]
    return np.asarray(root + along * way + along**2 / along[-1] * aside)


def _texture(name: str, height: int, width: int) -> NDArray[np.float32]:
    """Return a photo cut to a size."""
    picture = cv2.imread(str(_PHOTOS / f"{name}.jpg"))
    if picture is None:
        raise FileNotFoundError(f"{name}.jpg is not in {_PHOTOS}")
    scale = max(height / picture.shape[0], width / picture.shape[1])
    size = round(picture.shape[1] * scale + 0.5), round(picture.shape[0] * scale + 0.5)
    filled = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    return filled[:height, :width, ::-1].astype(np.float32)


def _photo(subject: NDArray[np.float32], behind: NDArray[np.float32], alpha: Alpha) -> Rgb:
    """Return both layers as a camera would have taken them."""
    opacity = alpha[..., np.newaxis].astype(np.float32) / OPAQUE
    light = opacity * subject + (1 - opacity) * behind
    light += np.random.default_rng(5).normal(0, _NOISE, light.shape).astype(np.float32)
    taken = np.rint(np.clip(light, 0, OPAQUE)).astype(np.uint8)
    _, file = cv2.imencode(".jpg", taken[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return np.asarray(Image.open(io.BytesIO(file.tobytes())))
