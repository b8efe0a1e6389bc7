"""Turns finished pictures into files that hold the picture and, for print, its resolution: nothing else.

PNG gives back exactly the pixels it was given.  The rest trades pixels for size, as said beside each.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
from PIL import Image

from shared.errors import InvalidValueError
from shared.recipes import Recipe
from worker.arrays import Alpha, Rgb
from worker.png import encode_png
from worker.subject import over, shrink

PREVIEW_MAX_BYTES = 200_000
PREVIEW_MAX_SIDE_PX = 1024

#: No difference is seen at arm's length; method 0 is four times as fast as 4 for a quarter more bytes.
_WEBP_QUALITY, _WEBP_METHOD = 90, 0
#: Of a picture of so much detail, from 16 megapixels on, that method 0 overflows a table of the format's.
_WEBP_METHOD_OF_DETAIL = 2
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
    colour, opacity = _laid(rgb, alpha, recipe)
    data = _ENCODERS[recipe.format](colour, opacity, dpi)
    return _artifact(name, f"image/{recipe.format}", colour, data)


def encode_matte(alpha: Alpha) -> Artifact:
    """Encode the whole photo's matte, (H, W), as an 8-bit grey PNG."""
    return _artifact("matte", "image/png", alpha, encode_png(alpha))


def encode_preview(rgb: Rgb, alpha: Alpha, recipe: Recipe) -> Artifact:
    """Encode a picture small enough for a phone on a bad line; quality gives way first, then size."""
    side_px = PREVIEW_MAX_SIDE_PX
    while True:
        colour, opacity = _laid(*shrink(rgb, alpha, side_px), recipe)
        for quality in _PREVIEW_QUALITIES:
            data = _webp(colour, opacity, None, quality)
            if len(data) <= PREVIEW_MAX_BYTES:
                return _artifact("preview", "image/webp", colour, data)
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


def _laid(rgb: Rgb, alpha: Alpha, recipe: Recipe) -> tuple[Rgb, Alpha | None]:
    """Return a picture as it is shown: as it is, or opaque on the recipe's background."""
    background = recipe.background_rgb
    return (rgb, alpha) if background is None else (over(rgb, alpha, background), None)


def _webp(colour: Rgb, alpha: Alpha | None, _dpi: float | None, quality: int = _WEBP_QUALITY) -> bytes:
    """Encode a WebP, which has nowhere to keep a resolution."""
    image = Image.fromarray(colour if alpha is None else cv2.merge([colour, alpha]))
    # Not exact: hidden colours become what costs and bleeds least, and no decoder shows them.
    options = {"quality": quality, "alpha_quality": 100, "exact": False}
    try:
        return _saved(image, "WEBP", method=_WEBP_METHOD, **options)
    except ValueError:
        return _saved(image, "WEBP", method=_WEBP_METHOD_OF_DETAIL, **options)


def _jpeg(colour: Rgb, _alpha: Alpha | None, dpi: float | None) -> bytes:
    options = {} if dpi is None else {"dpi": (max(1, round(dpi)),) * 2}
    image = Image.fromarray(colour)
    return _saved(image, "JPEG", quality=_JPEG_QUALITY, subsampling=_JPEG_SUBSAMPLING, **options)


_ENCODERS: Mapping[str, Callable[[Rgb, Alpha | None, float | None], bytes]] = {
    "png": encode_png,
    "webp": _webp,
    "jpeg": _jpeg,
}


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _artifact(name: str, content_type: str, picture: Rgb | Alpha, data: bytes) -> Artifact:
    height, width = picture.shape[:2]
    return Artifact(name=name, content_type=content_type, width=width, height=height, data=data)
