"""Turns a photo's bytes into pixels: first frame, upright, sRGB, 8 bits a channel.

Everything else in the file (EXIF, GPS, comments, further frames) ends here.
"""

import hashlib
import io
import logging
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from shared.errors import ImageCorruptError
from shared.photo_gate import PhotoFacts, inspect_photo, open_photo
from worker.arrays import Alpha, Rgb

log = logging.getLogger(__name__)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WIDE_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
#: Modes in which a colour profile's own colours are stored; any other is converted first.
_PROFILE_MODES = frozenset({"L", "RGB", "CMYK"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A decoded photo."""

    rgb: Rgb  #: (H, W, 3), upright, sRGB, 0 to 255, straight
    alpha: Alpha | None  #: (H, W), 0 to 255, if the file has one
    facts: PhotoFacts
    bytes: int
    sha256: str  #: of the file

    @property
    def seed(self) -> int:
        """Seed of everything random about this photo's results, so that they come out the same again."""
        return int(self.sha256[:16], 16)

    @property
    def public(self) -> dict[str, object]:
        """What a client is told about the photo."""
        facts = self.facts
        return {
            "width": facts.width,
            "height": facts.height,
            "bytes": self.bytes,
            "content_type": facts.content_type,
            "sha256": self.sha256,
        }


def decode(data: bytes) -> Photo:
    """Decode a photo.

    Raises
    ------
    UnprocessableError
        Whatever the gate raises, if the header is not taken.
    ImageCorruptError
        If the pixels behind a good header cannot be decoded.
    """
    facts = inspect_photo(io.BytesIO(data), len(data))
    base, alpha = _split(_load(data, facts))
    base = _upright(_to_srgb(base, base.info.get("icc_profile")), facts)
    opacity = None if alpha is None else np.asarray(_upright(alpha, facts))
    return Photo(
        rgb=np.asarray(base),
        alpha=opacity,
        facts=facts,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _load(data: bytes, facts: PhotoFacts) -> Image.Image:
    try:
        image = open_photo(io.BytesIO(data), facts.kind)
        image.load()
        if sorted(image.size) != sorted((facts.width, facts.height)):
            raise ValueError(f"{image.size} pixels behind a header of {facts.width} x {facts.height}")  # noqa: TRY301 - one more way to be damaged
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise nearly anything on damaged pixels, and each of those is the file's fault.
        raise ImageCorruptError(
            f"The pixels of the {facts.kind.name} are damaged or cut short; upload the photo again."
        ) from error
    return image


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Separate opacity from colour, and bring colour to 8 bits in a mode that its profile may describe."""
    if image.mode in _WIDE_MODES:
        return _narrow(image), None
    if not image.has_transparency_data:
        return image if image.mode in _PROFILE_MODES else _converted(image, "RGB"), None
    with_alpha = image if image.mode in {"LA", "RGBA"} else _converted(image, "RGBA")
    base = with_alpha.convert("L" if with_alpha.mode == "LA" else "RGB")
    return base, with_alpha.getchannel("A")


def _converted(image: Image.Image, mode: str) -> Image.Image:
    converted = image.convert(mode)
    if image.mode == "1" and "icc_profile" in converted.info:
        del converted.info["icc_profile"]  # of greys that are now RGB
    return converted


def _narrow(image: Image.Image) -> Image.Image:
    wide = np.asarray(image).astype(np.float32)
    wide /= 65535 / 255
    return Image.fromarray(np.clip(wide + 0.5, 0, 255).astype(np.uint8))


def _to_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """Convert to sRGB by the photo's own profile; one that cannot be used is passed over, and logged."""
    if icc_profile:
        try:
            return _by_profile(image, icc_profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            log.info("photo.profile_unusable", extra={"reason": str(error), "mode": image.mode})
    return image.convert("RGB")


def _by_profile(image: Image.Image, icc_profile: bytes) -> Image.Image:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
    if image.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(profile):
        return image
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        image.mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    return _changed(ImageCms.applyTransform(image, transform, inPlace=image.mode == "RGB"), image)


def _changed(result: Image.Image | None, image: Image.Image) -> Image.Image:
    return image if result is None else result  # in place, the transform returns nothing


def _upright(image: Image.Image, facts: PhotoFacts) -> Image.Image:
    turn = _TURNS.get(facts.orientation)
    return image if turn is None else image.transpose(turn)
