"""The obvious way with Pillow, NumPy and OpenCV, as the old service went it: what ours is measured against.

Each function does the job that its counterpart of ours does, on the same arrays, written as one writes it
first.  Where effects.md gives no definition, it is the usual recipe for the same look.
"""

import io
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from worker.arrays import OPAQUE, Alpha, Rgb
from worker.effects.popart import COLORS
from worker.palettes import FUR

_Effect = Callable[[Rgb, Alpha, float], tuple[Rgb, Alpha]]  #: px: a thousandth of the subject
_Wide = NDArray[np.float64]

_PALETTE_ROWS = 64  # the old service took all at once, 9.4 GB: no machine of ours would survive it


def decode(data: bytes) -> Rgb:
    """Decode a photo upright."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def network_input(rgb: Rgb, side_px: int) -> NDArray[np.float32]:
    """Reduce a photo to a square and normalise it; (3, side, side)."""
    small = np.asarray(Image.fromarray(rgb).resize((side_px, side_px), Image.Resampling.BILINEAR))
    normal = (small / 255.0 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return np.ascontiguousarray(normal.transpose(2, 0, 1), dtype=np.float32)


def enlarged(saliency: NDArray[np.float32], height: int, width: int) -> Alpha:
    """Bring a network's map to a photo's size."""
    large = Image.fromarray(saliency).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(np.asarray(large) * 255.0, dtype=np.uint8)


def foreground(rgb: Rgb, alpha: Alpha) -> Rgb:
    """Estimate the subject's colour by blur fusion at full size, as its paper's code does."""
    image, matte = rgb.astype(np.float32) / 255, alpha[..., np.newaxis].astype(np.float32) / 255
    subject = behind = image
    for window in ((90, 90), (6, 6)):
        weight = cv2.blur(matte, window)[..., np.newaxis]
        near = cv2.blur(subject * matte, window) / (weight + 1e-5)
        behind = cv2.blur(behind * (1 - matte), window) / (1 - weight + 1e-5)
        subject = np.clip(near + matte * (image - matte * near - (1 - matte) * behind), 0, 1)
    return np.asarray(subject * 255 + 0.5, dtype=np.uint8)


def png(rgb: Rgb, alpha: Alpha) -> bytes:
    """Encode a cut-out as a PNG."""
    return _saved(Image.fromarray(np.dstack((rgb, alpha))), "PNG", compress_level=1)


def matte(alpha: Alpha) -> bytes:
    """Encode a matte as a PNG."""
    return _saved(Image.fromarray(alpha), "PNG", compress_level=1)


def webp(rgb: Rgb, alpha: Alpha) -> bytes:
    """Encode a cut-out as a WebP, at Pillow's method."""
    return _saved(Image.fromarray(np.dstack((rgb, alpha))), "WEBP", quality=90)


def jpeg(rgb: Rgb, alpha: Alpha) -> bytes:
    """Encode a cut-out on white as a JPEG."""
    image = Image.new("RGB", alpha.shape[::-1], "#ffffff")
    image.paste(Image.fromarray(rgb), mask=Image.fromarray(alpha))
    return _saved(image, "JPEG", quality=92, subsampling=0)


def preview(rgb: Rgb, alpha: Alpha) -> bytes:
    """Encode a cut-out at 1024 px as a WebP."""
    image = Image.fromarray(np.dstack((rgb, alpha)))
    image.thumbnail((1024, 1024), Image.Resampling.LANCZOS)
    return _saved(image, "WEBP", quality=85)


def _saved(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _color(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    del px
    return rgb, alpha


def _black_white(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    grey = rgb / 255.0 @ np.array([0.18, 0.72, 0.10])
    ramp = np.clip((grey - 0.25) / 0.3, 0, 1)
    shadow, highlight = 0.92 * (1.1 * grey) ** 1.25, 1 - 0.95 * (1.05 * (1 - grey)) ** 0.75
    grey = np.clip(((1 - ramp) * shadow + ramp * highlight) * 1.12, 0, 1)
    grey = np.clip(grey + 0.9 * 4 * grey * (1 - grey) * (grey - _blurred(grey, 1.2 * px)), 0, 1)
    light = (grey > 0.75).astype(np.float64)  # noqa: PLR2004 - the definition's
    glow = 0.3 * _blurred(light, 7 * px) + 0.7 * _blurred(light, 2.5 * px)
    grey = np.clip(grey + 0.12 * glow * (1 - grey**2), 0, 1)
    random, (height, width) = np.random.default_rng(0), grey.shape
    coarse = cv2.resize(random.normal(size=(height // 2, width // 2)), (width, height))
    grain = 0.4 * 0.7 * random.normal(size=grey.shape) + 0.6 * 0.3 * coarse
    grey = np.clip(grey + 0.08 * grain * np.clip(1.2 - grey, 0.3, 1), 0, 1)
    return _of_grey(np.where(grey > 0.9, 0.95 * grey + 0.05, grey)), alpha  # noqa: PLR2004 - the definition's


def _popart(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    strong = np.clip((cv2.GaussianBlur(rgb, (0, 0), 2 * px) / 255.0 - 0.5) * 2.5 + 0.5, 0, 1)
    luma = (strong @ np.array([0.299, 0.587, 0.114]))[..., np.newaxis]
    poster = np.round(np.clip(luma + 2 * (strong - luma), 0, 1) * 2) / 2
    band = np.minimum(poster @ np.array([0.2126, 0.7152, 0.0722]) * 8, 7).astype(int)
    painted = COLORS[band]
    lead = np.sort(poster, axis=-1)
    is_strong = (lead[..., 2] - lead[..., 0] > 60 / 255) & (lead[..., 2] - lead[..., 1] > 30 / 255)
    for channel, color in enumerate((6, 7, 5)):
        painted[is_strong & (poster.argmax(axis=-1) == channel)] = COLORS[color]
    return painted, alpha


def _dithering(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    height, width = alpha.shape
    size = round(width / (2 * px)), round(height / (2 * px))
    grey: _Wide = np.asarray(cv2.resize(_grey(rgb), size, interpolation=cv2.INTER_AREA), np.float64) ** 0.45
    grey = np.clip(grey - 0.3 * np.asarray(cv2.Laplacian(grey, cv2.CV_64F), np.float64), 0, 1)
    levels = 0.7 * _blurred(grey, 5) + 0.15
    padded = np.pad(grey, ((0, 1), (1, 1)))
    for y in range(size[1]):
        for x in range(1, size[0] + 1):
            old = padded[y, x]
            padded[y, x] = new = float(old >= levels[y, x - 1])
            rest = (old - new) / 16
            padded[y, x + 1] += 7 * rest
            padded[y + 1, x - 1] += 3 * rest
            padded[y + 1, x] += 5 * rest
            padded[y + 1, x + 1] += rest
    dots = cv2.resize(padded[:-1, 1:-1], (width, height), interpolation=cv2.INTER_NEAREST)
    return _of_grey(np.asarray(dots, np.float64)), alpha


def _retro8bit(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    blocky = _blocks(np.dstack((rgb, alpha)), 8 * px)
    nearest = np.empty_like(rgb)
    for top in range(0, len(rgb), _PALETTE_ROWS):
        pixels = blocky[top : top + _PALETTE_ROWS, :, np.newaxis, :3].astype(np.float64)
        distance = ((pixels - FUR) ** 2).sum(axis=-1)  # pixels x palette, as field report 15 tells
        nearest[top : top + _PALETTE_ROWS] = FUR[distance.argmin(axis=-1)]
    return nearest, np.where(blocky[..., 3] > OPAQUE // 2, OPAQUE, 0).astype(np.uint8)


def _halftone(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    turn = np.sqrt(0.5) * 2 * np.pi / (6 * px)
    wave = (np.cos((x + y) * turn) + np.cos((x - y) * turn)) / 4 + 0.5
    grey = _blurred(_grey(rgb), 1.5 * px)
    return _of_grey(np.clip((grey - wave) * 6 * px + 0.5, 0, 1)), alpha


def _mosaic(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    tiles = _blocks(rgb, 20 * px)
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    tiles[((y % (20 * px)) < 2 * px) | ((x % (20 * px)) < 2 * px)] = 128
    return tiles, alpha


def _watercolor(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    return np.asarray(cv2.stylization(rgb, sigma_s=6 * px, sigma_r=0.45), dtype=np.uint8), alpha


def _sketch(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    grey = _grey(rgb)
    return _of_grey(np.clip(grey / (1e-3 + _blurred(grey, 6 * px)), 0, 1)), alpha


def _outline(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    reach = round(12 * px)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    cover = np.asarray(cv2.dilate(alpha, kernel), np.float64) / 255
    return _over(rgb, alpha, cover, OPAQUE)


def _shadow(rgb: Rgb, alpha: Alpha, px: float) -> tuple[Rgb, Alpha]:
    shade = Image.fromarray(alpha).filter(ImageFilter.GaussianBlur(12 * px))
    return _over(rgb, alpha, np.roll(np.asarray(shade), round(12 * px), axis=(0, 1)) / 255.0 * 0.35, 0)


#: By the catalogue's canonical name.
EFFECTS: Mapping[str, _Effect] = {
    "color": _color,
    "enhancedblackwhite": _black_white,
    "popart": _popart,
    "dithering": _dithering,
    "halftone": _halftone,
    "retro8bit": _retro8bit,
    "mosaic": _mosaic,
    "watercolor": _watercolor,
    "sketch": _sketch,
    "outline": _outline,
    "shadow": _shadow,
}


def _grey(rgb: Rgb) -> _Wide:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float64) / 255


def _blurred(plane: _Wide, sigma: float) -> _Wide:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), dtype=np.float64)


def _of_grey(grey: _Wide) -> Rgb:
    return np.repeat((grey * 255).round().astype(np.uint8)[..., np.newaxis], 3, axis=-1)


def _blocks(picture: NDArray[np.uint8], side_px: float) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    small = image.resize((round(image.width / side_px), round(image.height / side_px)), Image.Resampling.BOX)
    return np.array(small.resize(image.size, Image.Resampling.NEAREST))


def _over(rgb: Rgb, alpha: Alpha, cover: _Wide, level: int) -> tuple[Rgb, Alpha]:
    front = alpha / 255.0
    whole = front + cover * (1 - front)
    mixed = rgb * front[..., np.newaxis] + level * (cover * (1 - front))[..., np.newaxis]
    color = mixed / np.maximum(whole, 1e-6)[..., np.newaxis]
    return np.clip(color, 0, 255).astype(np.uint8), (whole * 255).round().astype(np.uint8)
