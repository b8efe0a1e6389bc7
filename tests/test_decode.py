"""Whatever a camera or an editor writes comes out upright, in sRGB, 8 bits a channel, and nothing else."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from shared.errors import (
    ImageCorruptError,
    ImageUnreadableError,
    TooManyPixelsError,
    UnprocessableError,
    UnsupportedImageError,
)
from tests.pictures import gradient, opened, photo, saved
from tests.test_photo_gate import chunk, exif, png_header
from worker.decode import decode

UPRIGHT = gradient(96, 64)

#: What a camera that was held so stored, for each orientation, from the upright picture.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: np.rot90,
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def image(pixels) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels))


def difference(found, expected) -> float:
    return float(np.abs(found.astype(float) - expected.astype(float)).mean())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "HEIF"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_comes_out_upright_however_the_camera_was_held_field_report_11(kind, orientation) -> None:
    import pillow_heif  # noqa: PLC0415 - only to write the one case

    pillow_heif.register_heif_opener()
    stored = image(STORED[orientation](UPRIGHT))
    decoded = decode(saved(stored, kind, quality=95, exif=exif(orientation)))
    assert decoded.rgb.shape == UPRIGHT.shape == (decoded.facts.height, decoded.facts.width, 3)
    assert difference(decoded.rgb, UPRIGHT) < 4


def test_opacity_is_turned_with_the_colours() -> None:
    alpha = gradient(96, 64)[..., 0]
    rgba = np.dstack((UPRIGHT, alpha))
    decoded = decode(saved(image(STORED[6](rgba)), "PNG", exif=exif(6)))
    assert np.array_equal(decoded.alpha, alpha)
    assert np.array_equal(decoded.rgb, UPRIGHT)


def test_an_mpo_gives_its_first_frame_field_report_13() -> None:
    second = Image.new("RGB", (96, 64))
    decoded = decode(saved(image(UPRIGHT), "MPO", quality=95, save_all=True, append_images=[second]))
    assert difference(decoded.rgb, UPRIGHT) < 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    second = Image.new("RGB", (96, 64), (1, 2, 3))
    data = saved(image(UPRIGHT), kind, save_all=True, append_images=[second], lossless=True)
    assert np.array_equal(decode(data).rgb, UPRIGHT)


def test_every_mode_becomes_eight_bit_rgb() -> None:
    rgb, grey = image(UPRIGHT), image(UPRIGHT).convert("L")
    wide = image(np.asarray(grey).astype(np.uint16) * 257)
    as_rgb = np.asarray(grey.convert("RGB"))
    for stored, expected, tolerance in [
        (rgb, UPRIGHT, 0),
        (grey, as_rgb, 0),
        (wide, as_rgb, 0),
        (rgb.quantize(256), UPRIGHT, 6),
        (grey.convert("1", dither=Image.Dither.NONE), (as_rgb > 127) * 255, 0),
    ]:
        decoded = decode(saved(stored, "PNG"))
        assert (decoded.rgb.dtype, decoded.alpha) == (np.uint8, None)
        assert difference(decoded.rgb, expected) <= tolerance, stored.mode


def test_cmyk_comes_out_in_its_colours_and_not_in_their_negative() -> None:
    decoded = decode(saved(image(UPRIGHT).convert("CMYK"), "JPEG", quality=95))
    assert difference(decoded.rgb, UPRIGHT) < 4


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_opacity_is_kept_apart_from_colour_in_every_mode_that_has_it(mode: str) -> None:
    alpha = np.where(np.arange(96) < 40, 0, 255).astype(np.uint8) * np.ones((64, 1), np.uint8)
    if mode == "P":
        stored, options = image(np.where(alpha > 0, 7, 3).astype(np.uint8)), {"transparency": 3}
        stored.putpalette([v for i in range(256) for v in (i, 0, 255 - i)])
    else:
        stored, options = image(np.dstack((UPRIGHT, alpha))).convert(mode), {}
    decoded = decode(saved(stored, "PNG", **options))
    assert decoded.rgb.shape == UPRIGHT.shape
    assert np.array_equal(decoded.alpha, alpha)


def test_a_transparent_colour_of_an_opaque_png_is_transparent() -> None:
    stored = Image.new("RGB", (64, 48), (10, 20, 30))
    stored.paste((200, 100, 50), (0, 0, 32, 48))
    alpha = decode(saved(stored, "PNG", transparency=(10, 20, 30))).alpha
    assert alpha is not None
    assert (alpha[:, :32].min(), alpha[:, 32:].max()) == (255, 0)


def swapped_primaries_profile() -> bytes:
    """Return a profile in which red and green have changed places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_colours_are_converted_by_the_photos_own_profile() -> None:
    decoded = decode(saved(image(UPRIGHT), "PNG", icc_profile=swapped_primaries_profile()))
    assert difference(decoded.rgb, UPRIGHT[..., [1, 0, 2]]) < 3


def test_a_profile_of_srgb_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(saved(image(UPRIGHT), "PNG", icc_profile=srgb)).rgb, UPRIGHT)


def test_a_grey_photo_with_an_rgb_profile_or_a_broken_one_is_still_decoded() -> None:
    grey = image(UPRIGHT).convert("L")
    for profile in (swapped_primaries_profile(), b"no profile at all" * 20):
        decoded = decode(saved(grey, "PNG", icc_profile=profile))
        assert np.array_equal(decoded.rgb, np.asarray(grey.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_pixels_that_are_cut_short_are_the_photos_fault_field_report_14(kind: str) -> None:
    import pillow_heif  # noqa: PLC0415 - only to write the one case

    pillow_heif.register_heif_opener()
    whole = saved(Image.open(io.BytesIO(photo("cat"))), kind)
    with pytest.raises(ImageCorruptError):
        decode(whole[: len(whole) * 2 // 3])


def test_a_png_with_hardly_a_pixel_is_corrupt_and_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(ImageCorruptError):
        decode(png_header(640, 480))
    with pytest.raises(TooManyPixelsError):
        decode(png_header(100_000, 100_000))


def test_what_stands_behind_the_picture_is_passed_over() -> None:
    whole = photo("cat")
    assert np.array_equal(decode(whole + b"<html>" * 1000).rgb, decode(whole).rgb)


def test_a_decompression_bomb_in_a_comment_is_refused_not_unpacked() -> None:
    import zlib  # noqa: PLC0415 - only for the bomb

    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000)))
    whole = saved(image(UPRIGHT), "PNG")
    with pytest.raises(ImageUnreadableError):
        decode(whole[:33] + bomb + whole[33:])


def test_facts_of_the_file_come_with_the_pixels() -> None:
    data = photo("raccoon")
    decoded = decode(data)
    assert decoded.public == {
        "width": 1024,
        "height": 768,
        "bytes": len(data),
        "content_type": "image/jpeg",
        "sha256": decoded.sha256,
    }
    assert np.array_equal(decoded.rgb, opened(data))


SMALL = [saved(image(gradient(40, 36)), kind) for kind in ("JPEG", "PNG", "WEBP")]


@settings(max_examples=200)
@given(st.sampled_from(SMALL), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6))
def test_no_damage_leads_to_anything_but_a_picture_or_the_photos_fault(data: bytes, damage: list) -> None:
    damaged = bytearray(data)
    for at, value in damage:
        damaged[4 + at % (len(damaged) - 4)] = value
    try:
        decoded = decode(bytes(damaged))
    except (UnprocessableError, UnsupportedImageError):
        return
    assert decoded.rgb.shape == (decoded.facts.height, decoded.facts.width, 3)
