"""No picture that leaves holds anything of the photo's file but its pixels: not where, when, or with what."""

import io
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from shared.recipes import EffectRequest, Recipe
from tests.pictures import gradient, photo, saved
from tests.profiles import rgb_profile
from worker.matting.disc import DiscModel
from worker.pipeline import Artifact, render

SECRET = b"Zz7-secret-of-the-customer"
WORD = SECRET.decode()
XMP = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/">' + SECRET + b"</x:xmpmeta>"
PROFILE = rgb_profile(WORD)
#: What a file may consist of; for JPEG the markers, without the restarts inside a scan.
ALLOWED = {
    "image/png": {b"IHDR", b"pHYs", b"IDAT", b"IEND"},
    "image/webp": {b"VP8X", b"ALPH", b"VP8 "},
    "image/jpeg": {0xD8, 0xE0, 0xDB, 0xC0, 0xC4, 0xDA, 0xD9},
}


def exif() -> bytes:
    """Return a block with a place, a camera, a comment and a thumbnail."""
    block = Image.Exif()
    block[0x010F] = block[0x9286] = WORD
    block.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 24.0), 29: WORD})
    whole = block.tobytes()
    thumbnail = saved(Image.fromarray(gradient(64, 48)), "JPEG", comment=SECRET)
    return whole + thumbnail


def jpeg() -> bytes:
    data = saved(whole(), "JPEG", exif=exif(), xmp=XMP, comment=SECRET, icc_profile=PROFILE)
    iptc = b"\xff\xed" + struct.pack(">H", len(SECRET) + 16) + b"Photoshop 3.0\0" + SECRET
    return data[:2] + iptc + data[2:] + SECRET


def mpo() -> bytes:
    second = Image.new("RGB", (64, 48))
    return saved(whole(), "MPO", save_all=True, append_images=[second], exif=exif()) + SECRET


def png() -> bytes:
    info = PngInfo()
    info.add_text("Comment", WORD)
    info.add_text("Author", WORD, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return saved(whole(), "PNG", pnginfo=info, exif=exif(), icc_profile=PROFILE) + SECRET


def webp() -> bytes:
    return saved(whole(), "WEBP", exif=exif(), xmp=XMP, icc_profile=PROFILE) + SECRET


def heic() -> bytes:
    import pillow_heif  # noqa: PLC0415 - only to write the one case

    pillow_heif.register_heif_opener()
    return saved(whole(), "HEIF", exif=exif(), xmp=XMP, icc_profile=PROFILE) + SECRET


def whole() -> Image.Image:
    return Image.open(io.BytesIO(photo("cat")))


PHOTOS = {"JPEG": jpeg, "MPO": mpo, "PNG": png, "WebP": webp, "HEIC": heic}


def parts(artifact: Artifact) -> Iterator[bytes | int]:
    """Yield the kind of each part that a file consists of, up to its very last byte."""
    reader = {"image/png": png_parts, "image/webp": webp_parts, "image/jpeg": jpeg_parts}
    return reader[artifact.content_type](artifact.data)


def png_parts(data: bytes) -> Iterator[bytes]:
    at = 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind
        at += 12 + size


def webp_parts(data: bytes) -> Iterator[bytes]:
    assert struct.unpack_from("<I", data, 4) == (len(data) - 8,)
    at = 12
    while at < len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        yield kind
        at += 8 + size + size % 2


def jpeg_parts(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        assert data[at] == 0xFF
        yield data[at + 1]
        if data[at + 1] in {0xD8, 0xD9}:
            at += 2
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        while data[at] != 0xFF or data[at + 1] in {0, *range(0xD0, 0xD8)}:
            at += 1


@pytest.mark.parametrize("form", ["png", "webp", "jpeg"])
@pytest.mark.parametrize("kind", PHOTOS)
def test_no_picture_holds_anything_but_pixels_and_a_resolution(kind: str, form: str) -> None:
    data, pictures = PHOTOS[kind](), []
    assert data.count(SECRET) >= 2
    effects = tuple(EffectRequest(name=name) for name in ("color", "enhancedblackwhite"))
    recipe = Recipe(
        effects=effects,
        format=form,
        background="#ffffff" if form == "jpeg" else "transparent",
        print_width_mm=100,
        print_height_mm=100,
    )
    rendered = render(data, recipe, DiscModel(), str, pictures.append)
    assert {picture.name for picture in pictures} == {"color", "enhancedblackwhite", "matte", "preview"}
    for picture in pictures:
        assert set(parts(picture)) <= ALLOWED[picture.content_type], picture.name
        for trace in (SECRET, b"Exif\0\0", b"xpacket", b"ICC_PROFILE", b"Photoshop"):
            assert trace not in picture.data, (picture.name, trace)
    assert WORD not in repr(rendered)


def test_the_parts_are_found_where_there_are_any() -> None:
    """Else the promise above would be kept by looking away."""
    for kind, content_type, part in (
        ("JPEG", "image/jpeg", 0xE1),
        ("PNG", "image/png", b"eXIf"),
        ("WebP", "image/webp", b"EXIF"),
    ):
        data = PHOTOS[kind]().removesuffix(SECRET)
        picture = Artifact(name="x", content_type=content_type, width=1, height=1, data=data)
        assert part in set(parts(picture))


def test_a_preview_over_a_background_has_no_room_for_more_either() -> None:
    pictures: list[Artifact] = []
    render(webp(), Recipe(background="#112233"), DiscModel(), str, pictures.append)
    assert set(parts(pictures[-1])) == {b"VP8 "}
    assert np.asarray(Image.open(io.BytesIO(pictures[-1].data))).shape == (300, 451, 3)
