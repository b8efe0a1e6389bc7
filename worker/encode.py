"""Turns finished pictures into files that hold the picture and, for print, its resolution: nothing else.

PNG gives back exactly the pixels it was given.  The rest trades pixels for size, as said beside each.
"""

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from shared.errors import InvalidValueError
from shared.recipes import Recipe
from worker.arrays import Alpha, Rgb
from worker.subject import over, shrink

PREVIEW_MAX_BYTES = 200_000
PREVIEW_MAX_SIDE_PX = 1024

#: Level 6 takes three times as long to save an eighth of the bytes (measured on photos).
_PNG_LEVEL = 1
#: No difference is seen at arm's length; method 0 is four times as fast as 4 for a quarter more bytes.
_WEBP_QUALITY, _WEBP_METHOD = 90, 0
#: 4:4:4, because a subject on a flat colour has the sharp coloured edges that subsampling spoils.
_JPEG_QUALITY, _JPEG_SUBSAMPLING = 92, 0
_PREVIEW_QUALITIES = (85, 75, 60, 45, 30, 15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A finished file."""

    name: str
    content_type: str
    width: int
    height: int
    data: bytes

    def facts(self) -> dict[str, Any]:
        """What is recorded about the file."""
        return {
            "content_type": self.content_type,
            "width": self.width,
            "height": self.height,
            "bytes": len(self.data),
            "sha256": hashlib.sha256(self.data).hexdigest(),
        }


def encode_result(name: str, rgb: Rgb, alpha: Alpha, recipe: Recipe, dpi: float | None) -> Artifact:
    """Encode an effect's picture, (H, W, 3) straight and (H, W), as the recipe says."""
    image, options = _image(rgb, alpha, recipe), {} if dpi is None else {"dpi": (dpi, dpi)}
    if recipe.format == "png":
        data = _saved(image, "PNG", compress_level=_PNG_LEVEL, **options)
    elif recipe.format == "webp":
        data = _webp(image, _WEBP_QUALITY, _WEBP_METHOD)  # it has nowhere to keep a resolution
    else:
        data = _saved(image, "JPEG", quality=_JPEG_QUALITY, subsampling=_JPEG_SUBSAMPLING, **options)
    return _artifact(name, image, f"image/{recipe.format}", data)


def encode_matte(alpha: Alpha) -> Artifact:
    """Encode the whole photo's matte, (H, W), as an 8-bit grey PNG."""
    image = Image.fromarray(np.ascontiguousarray(alpha))
    return _artifact("matte", image, "image/png", _saved(image, "PNG", compress_level=_PNG_LEVEL))


def encode_preview(rgb: Rgb, alpha: Alpha, recipe: Recipe) -> Artifact:
    """Encode a picture small enough for a phone on a bad line; quality gives way first, then size."""
    side_px = PREVIEW_MAX_SIDE_PX
    while True:
        image = _image(*shrink(rgb, alpha, side_px), recipe)
        for quality in _PREVIEW_QUALITIES:
            data = _webp(image, quality, _WEBP_METHOD)
            if len(data) <= PREVIEW_MAX_BYTES:
                return _artifact("preview", image, "image/webp", data)
        side_px //= 2


def require_encodable(recipe: Recipe) -> None:
    """Refuse a recipe whose format cannot hold what it asks for.

    Raises
    ------
    InvalidValueError
        If a JPEG is asked for without a background.
    """
    if recipe.format == "jpeg" and recipe.background_rgb is None:
        raise InvalidValueError(
            "A JPEG cannot be transparent; give a background colour, or ask for png or webp."
        )


def _image(rgb: Rgb, alpha: Alpha, recipe: Recipe) -> Image.Image:
    background = recipe.background_rgb
    if background is None:
        return Image.fromarray(np.dstack((rgb, alpha)))
    return Image.fromarray(over(rgb, alpha, background))


def _webp(image: Image.Image, quality: int, method: int) -> bytes:
    # Not exact: hidden colours become what costs and bleeds least, and no decoder shows them.
    return _saved(image, "WEBP", quality=quality, method=method, alpha_quality=100, exact=False)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _artifact(name: str, image: Image.Image, content_type: str, data: bytes) -> Artifact:
    return Artifact(name=name, content_type=content_type, width=image.width, height=image.height, data=data)
