"""Whatever a camera or an editor writes comes out upright, in sRGB, 8 bits a channel, and nothing else."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.errors import (
    ImageCorruptError,
    ImageUnreadableError,
    TooManyPixelsError,
    UnprocessableError,
    UnsupportedImageError,
)
from tests.pictures import gradient, opened, photo, saved
from tests.profiles import display_p3_in_srgb, rgb_profile
from tests.test_photo_gate import chunk, exif, png_header
from worker.decode import decode, glimpse

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


# --- every way to store a pixel ------------------------------------------------------------------

WIDE = (gradient(96, 64).astype(np.uint16) << 8) + 99


def by_opencv(pixels) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow cannot write in colour."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def test_sixteen_bits_a_channel_become_the_nearest_eight() -> None:
    wide_alpha = np.dstack((WIDE, WIDE[..., :1]))
    colour, with_alpha = decode(by_opencv(WIDE)), decode(by_opencv(wide_alpha))
    expected = WIDE[..., ::-1] / 257  # OpenCV writes BGR
    assert np.abs(colour.rgb - expected).max() <= 1
    assert np.abs(with_alpha.rgb - expected).max() <= 1
    assert np.abs(with_alpha.alpha - WIDE[..., 0] / 257).max() <= 1
    assert np.abs(decode(by_opencv(WIDE[..., 0])).rgb[..., 0] - WIDE[..., 0] / 257).max() <= 0.5


def with_transparent(data: bytes, body: bytes) -> bytes:
    """Return a PNG with a tRNS chunk before its pixels."""
    at = data.index(b"IDAT") - 4
    return data[:at] + chunk(b"tRNS", body) + data[at:]


def test_one_transparent_level_is_transparent_in_every_depth_of_grey() -> None:
    half = np.where(np.arange(96) < 40, 0, 255).astype(np.uint8) * np.ones((64, 1), np.uint8)
    for stored, key in (
        (image(half), 0),
        (image(half).convert("1"), 0),
        (image(half.astype(np.uint16) * 200), 0),
        (image(half.astype(np.uint16) * 200), 255 * 200),
    ):
        decoded = decode(with_transparent(saved(stored, "PNG"), struct.pack(">H", key)))
        assert np.array_equal(decoded.alpha, half if key == 0 else 255 - half), (stored.mode, key)


def stored_png(width: int, depth: int, kind: int, rows: bytes, key: bytes) -> bytes:
    """Return a PNG of 32 equal rows, as stored, of which one colour is transparent."""
    header = struct.pack(">IIBBBBB", width, 32, depth, kind, 0, 0, 0)
    pixels = zlib.compress((b"\0" + rows) * 32)
    parts = chunk(b"IHDR", header) + chunk(b"tRNS", key) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize(("depth", "row", "key"), [(1, 0x55, 1), (2, 0x1B, 1), (2, 0x1B, 3), (4, 0x4A, 4)])
def test_a_transparent_level_of_few_bits_is_that_level_and_no_other(depth: int, row: int, key: int) -> None:
    decoded = decode(stored_png(32, depth, 0, bytes([row]) * (4 * depth), struct.pack(">H", key)))
    levels = [row >> shift & (2**depth - 1) for shift in range(8 - depth, -1, -depth)]
    expected = [0 if level == key else 255 for level in levels]
    assert decoded.alpha[5, : len(levels)].tolist() == expected
    assert decoded.rgb[5, : len(levels), 0].tolist() == [level * 255 // (2**depth - 1) for level in levels]


def test_a_transparent_colour_of_sixteen_bits_is_transparent() -> None:
    key, other = struct.pack(">3H", 32_000, 30_000, 65_535), struct.pack(">3H", 9000, 30_000, 65_535)
    decoded = decode(stored_png(32, 16, 2, (key + other) * 16, key))
    assert decoded.alpha[0, :4].tolist() == [0, 255, 0, 255]


def test_a_palettes_opacities_are_kept_each() -> None:
    stored = image((np.arange(96 * 64) % 4).reshape(64, 96).astype(np.uint8))
    stored.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    decoded = decode(saved(stored, "PNG", transparency=bytes([0, 80, 160])))
    assert list(decoded.alpha[0, :4]) == [0, 80, 160, 255]
    assert decoded.rgb[0, 1:4].tolist() == [[200, 0, 0], [0, 200, 0], [0, 0, 200]]


@pytest.mark.parametrize(("kind", "tolerance"), [("WEBP", 0), ("HEIF", 3)])
def test_opacity_is_kept_in_webp_and_heic(kind: str, tolerance: float) -> None:
    import pillow_heif  # noqa: PLC0415 - only to write the one case

    pillow_heif.register_heif_opener()
    alpha = gradient(96, 64)[..., 0]
    options = {"quality": 95} if kind == "HEIF" else {"lossless": True, "exact": True}
    decoded = decode(saved(image(np.dstack((UPRIGHT, alpha))), kind, **options))
    assert difference(decoded.rgb, UPRIGHT) <= tolerance
    assert difference(decoded.alpha, alpha) <= tolerance


def test_an_animation_whose_still_is_apart_gives_the_still() -> None:
    """An APNG may hold a picture for those who cannot animate; that one is the photo."""
    frames = [Image.new("RGB", (96, 64), colour) for colour in ("red", "blue")]
    data = saved(image(UPRIGHT), "PNG", save_all=True, default_image=True, append_images=frames)
    assert np.array_equal(decode(data).rgb, UPRIGHT)


def test_an_animated_webp_gives_its_first_frame_with_its_opacity() -> None:
    alpha = gradient(96, 64)[..., 0]
    first, second = image(np.dstack((UPRIGHT, alpha))), Image.new("RGBA", (96, 64), (1, 2, 3, 255))
    data = saved(first, "WEBP", save_all=True, append_images=[second], lossless=True, exact=True)
    decoded = decode(data)
    assert np.array_equal(decoded.alpha, alpha)
    assert np.array_equal(decoded.rgb, UPRIGHT)


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


# --- JPEG: the fast decoder and the lenient one ---------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}])
def test_the_fast_decoder_finds_what_pillow_finds(mode: str, options: dict) -> None:
    data = saved(Image.open(io.BytesIO(photo("cat"))).convert(mode), "JPEG", **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(decode(data).rgb, expected)


def test_a_flaw_that_costs_no_pixel_does_not_cost_the_photo() -> None:
    whole = photo("cat")
    at = whole.index(b"\xff\xda")
    flawed = whole[:at] + b"stray" + whole[at:]
    assert np.array_equal(decode(flawed).rgb, decode(whole).rgb)


@pytest.mark.parametrize("side_px", [0, 200])
def test_a_jpeg_that_says_it_ends_and_has_not_all_its_pixels_is_corrupt_and_not_grey(side_px: int) -> None:
    whole = photo("raccoon")
    ended = whole[: len(whole) // 2] + b"\xff\xd9"
    if side_px:
        assert glimpse(ended, side_px) is None
    with pytest.raises(ImageCorruptError):
        decode(ended)


def with_scans(count: int, between: bytes = b"") -> bytes:
    """Return a progressive JPEG whose last scan is told again and again."""
    whole = saved(Image.new("L", (640, 480), 99), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    before = whole.count(b"\xff\xda")
    return whole[:-2] + (between + last) * (count - before) + whole[-2:]


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded() -> None:
    assert decode(with_scans(32)).rgb.shape == (480, 640, 3)
    hidden = b"\xff\xfe\x00\x06\xff\xd9\xff\xd9"  # a comment that looks like the end
    for endless in (with_scans(33), with_scans(200_000), with_scans(33, hidden), with_scans(33)[:-2]):
        with pytest.raises(ImageCorruptError, match="32 scans"):
            decode(endless)


def test_what_a_phone_appends_does_not_count_as_scans() -> None:
    whole = photo("cat")
    assert np.array_equal(decode(whole + b"\x00\x02" + b"\xff\xda\x00\x02" * 100).rgb, decode(whole).rgb)
    comment = b"\xff\xfe\x00\xca" + b"\xff\xda" * 100
    assert np.array_equal(decode(whole[:2] + comment + whole[2:]).rgb, decode(whole).rgb)


@pytest.mark.parametrize("orientation", STORED)
def test_a_glimpse_is_upright_and_no_smaller_than_asked_for(orientation: int) -> None:
    with Image.open(io.BytesIO(photo("raccoon"))) as whole:
        data = saved(
            image(STORED[orientation](np.asarray(whole))), "JPEG", quality=95, exif=exif(orientation)
        )
    seen = glimpse(data, 200)
    assert seen is not None
    assert (seen.facts.width, seen.facts.height) == (1024, 768)
    height, width = seen.rgb.shape[:2]
    assert (200 <= height < 400, width * 3) == (True, height * 4)
    smaller = Image.fromarray(decode(data).rgb).resize((width, height), Image.Resampling.BOX)
    assert difference(seen.rgb, np.asarray(smaller)) < 4


def test_a_glimpse_has_the_photos_colours() -> None:
    with Image.open(io.BytesIO(photo("raccoon"))) as whole:
        data = saved(whole, "JPEG", icc_profile=rgb_profile("Display P3"))
        plain = saved(whole, "JPEG")
    found, expected = glimpse(data, 200).rgb, display_p3_in_srgb(glimpse(plain, 200).rgb)
    assert difference(found, expected) < 1


def test_there_is_no_glimpse_where_it_would_not_be_faster_or_the_photo_is_flawed() -> None:
    whole = photo("raccoon")
    png = saved(Image.open(io.BytesIO(whole)), "PNG")
    cmyk = saved(Image.open(io.BytesIO(whole)).convert("CMYK"), "JPEG")
    for data, side_px in ((png, 200), (cmyk, 200), (whole, 400), (whole[:100_000], 200)):
        assert glimpse(data, side_px) is None


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
