"""Decides from a photo's header whether it is taken, cheapest question first.

The file's name and the client's word decide nothing, and no pixel is decoded: a bomb costs as much as a
snapshot.  The API asks before it accepts, and the worker asks again before it decodes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

from PIL import PngImagePlugin
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from shared.errors import (
    ImageEmptyError,
    ImageTooSmallError,
    ImageUnreadableError,
    SideTooLongError,
    TooManyPixelsError,
    UnsupportedImageError,
)
from shared.photo_headers import orientation_of, png_exif, require_sane_jpeg, webp_header

#: Of the image part of a form; the API counts while it streams.
MAX_UPLOAD_BYTES = 25_000_000
MAX_PIXELS = 60_000_000
MAX_SIDE_PX = 12_000
MIN_SIDE_PX = 32

#: Of a profile or a text in a PNG, unpacked: some profiles have more than Pillow's own megabyte.
PngImagePlugin.MAX_TEXT_CHUNK = 8_000_000
PngImagePlugin.MAX_TEXT_MEMORY = 16_000_000

_SNIFFED_BYTES = 64
#: Brands of a HEIC file; an AVIF has the same container and none of these.
_HEVC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
#: Orientations that exchange width and height.
_TURNED = frozenset({5, 6, 7, 8})


class Kind(Enum):
    """The formats that are taken; an MPO is a JPEG with more frames behind it."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
    HEIC = "image/heic"


class _JpegWithoutExif(JpegImageFile):
    """A JPEG whose resolution is not looked for in its EXIF block: a damaged one would raise or warn."""

    def _read_dpi_from_exif(self) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFacts:
    """What a photo's header says."""

    kind: Kind
    width: int  #: oriented, px
    height: int  #: oriented, px
    orientation: int  #: EXIF, 1 to 8, still to be applied to the decoded pixels

    @property
    def content_type(self) -> str:
        """The media type, from the bytes."""
        return self.kind.value


def inspect_photo(file: BinaryIO, size_bytes: int) -> PhotoFacts:
    """Read what a photo is and refuse one that is not taken.

    Raises
    ------
    ImageEmptyError, UnsupportedImageError, ImageUnreadableError
        If there is no photo of a known kind with a readable header.
    TooManyPixelsError, SideTooLongError, ImageTooSmallError
        If its size is not taken.
    """
    if size_bytes == 0:
        raise ImageEmptyError("The image file has no bytes; expected a JPEG, PNG, WebP or HEIC photo.")
    file.seek(0)
    kind = _sniff(file.read(_SNIFFED_BYTES))
    try:
        width, height, orientation = _HEADERS[kind](file)
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise nearly anything on hostile headers, and each of those is the file's fault.
        raise ImageUnreadableError(f"The {kind.name} header is damaged or cut short.") from error
    if orientation in _TURNED:
        width, height = height, width
    _check_size(width, height)
    return PhotoFacts(kind=kind, width=width, height=height, orientation=orientation)


def open_photo(file: BinaryIO, kind: Kind) -> ImageFile:
    """Open a photo with the one decoder of its kind; pixels are decoded by ``load()``.

    The decoder's class is called itself because ``Image.open`` asks every decoder in turn, and judges the
    size by a limit of its own that is neither ours nor safe to change while threads run.
    """
    file.seek(0)
    return _OPENERS[kind](file)


def _sniff(head: bytes) -> Kind:
    if head.startswith(b"\xff\xd8\xff"):
        return Kind.JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Kind.PNG
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind.WEBP
    if head[4:8] == b"ftyp" and not _HEVC_BRANDS.isdisjoint(_brands(head)):
        return Kind.HEIC
    raise UnsupportedImageError("The file's bytes are not those of a JPEG, PNG, WebP or HEIC photo.")


def _brands(head: bytes) -> set[bytes]:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12]} | {head[at : at + 4] for at in range(16, end - 3, 4)}


def _check_size(width: int, height: int) -> None:
    found = f"The image has {width} x {height} pixels"
    if width * height > MAX_PIXELS:
        megapixels = width * height / 1e6
        raise TooManyPixelsError(
            f"{found}, {megapixels:.1f} million; at most {MAX_PIXELS // 10**6} are taken."
        )
    if max(width, height) > MAX_SIDE_PX:
        raise SideTooLongError(f"{found}; at most {MAX_SIDE_PX} a side are taken.")
    if min(width, height) < MIN_SIDE_PX:
        raise ImageTooSmallError(f"{found}; at least {MIN_SIDE_PX} a side are needed.")


# --- one reader a kind, giving stored width and height in pixels and the EXIF orientation ------------


def _jpeg_header(file: BinaryIO) -> tuple[int, int, int]:
    require_sane_jpeg(file)
    image = open_photo(file, Kind.JPEG)
    return *image.size, orientation_of(image.info.get("exif"))


def _png_header(file: BinaryIO) -> tuple[int, int, int]:
    orientation = orientation_of(png_exif(file))
    return *open_photo(file, Kind.PNG).size, orientation


def _webp_header(file: BinaryIO) -> tuple[int, int, int]:
    width, height, exif = webp_header(file)
    return width, height, orientation_of(exif)


def _heic_header(file: BinaryIO) -> tuple[int, int, int]:
    # libheif turns the picture itself; its EXIF orientation is a copy of that, not a second turn.
    return *open_photo(file, Kind.HEIC).size, 1


def _open_heic(file: BinaryIO) -> ImageFile:
    from pillow_heif import HeifImageFile  # noqa: PLC0415 - 3 MB that most processes never need

    image: ImageFile = HeifImageFile(file)  # type: ignore[no-untyped-call]
    return image


_HEADERS: dict[Kind, Callable[[BinaryIO], tuple[int, int, int]]] = {
    Kind.JPEG: _jpeg_header,
    Kind.PNG: _png_header,
    Kind.WEBP: _webp_header,
    Kind.HEIC: _heic_header,
}

_OPENERS: dict[Kind, Callable[[BinaryIO], ImageFile]] = {
    Kind.JPEG: _JpegWithoutExif,
    Kind.PNG: PngImageFile,
    Kind.WEBP: WebPImageFile,
    Kind.HEIC: _open_heic,
}
