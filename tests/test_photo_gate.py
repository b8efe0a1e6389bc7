"""A photo is taken or refused by its header alone, and every refusal has a slug and names the numbers."""

import io
import random
import struct
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from shared.errors import (
    ImageEmptyError,
    ImageTooSmallError,
    ImageUnreadableError,
    SideTooLongError,
    TooManyPixelsError,
    UnprocessableError,
    UnsupportedImageError,
)
from shared.photo_gate import Kind, PhotoFacts, inspect_photo
from shared.photo_headers import HeaderError
from tests.pictures import photo, saved


def inspect(data: bytes) -> PhotoFacts:
    return inspect_photo(io.BytesIO(data), len(data))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and has hardly a pixel."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def webp_header(width: int, height: int) -> bytes:
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_header(width: int, height: int) -> bytes:
    small = saved(Image.new("L", (32, 32)), "JPEG")
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + struct.pack(">HH", height, width) + small[at + 4 :]


HEADERS = [png_header, webp_header, jpeg_header]


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def upright(width: int = 64, height: int = 48) -> Image.Image:
    return Image.new("RGB", (width, height), (90, 120, 30))


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp"), ("HEIF", "image/heic")],
)
def test_each_kind_is_known_by_its_bytes_field_report_12(kind: str, content_type: str) -> None:
    import pillow_heif  # noqa: PLC0415 - only to write the one case

    pillow_heif.register_heif_opener()
    facts = inspect(saved(upright(), kind))
    assert (facts.content_type, facts.width, facts.height, facts.orientation) == (content_type, 64, 48, 1)


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"lossless": False}, {"lossless": True, "exif": exif(1)}]
)
def test_every_way_to_begin_a_webp_is_read(options: dict) -> None:
    facts = inspect(saved(upright(65, 47), "WEBP", **options))
    assert (facts.width, facts.height) == (65, 47)


def test_a_webp_orientation_behind_a_part_of_odd_length_is_found() -> None:
    """Such a part is followed by a byte that belongs to none."""
    data = saved(upright(), "WEBP", lossless=True, exif=exif(6))
    at = data.index(b"EXIF")
    odd = data[:at] + b"XTRA" + (3).to_bytes(4, "little") + b"odd\0" + data[at:]
    assert inspect(odd).orientation == 6


def test_an_iphone_portrait_which_is_two_frames_in_an_mpo_is_a_jpeg_field_report_13() -> None:
    data = saved(upright(), "MPO", save_all=True, append_images=[upright(16, 16)])
    assert inspect(data) == PhotoFacts(kind=Kind.JPEG, width=64, height=48, orientation=1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_the_oriented_one_field_report_11(kind: str, orientation: int) -> None:
    import pillow_heif  # noqa: PLC0415 - only to write the one case

    pillow_heif.register_heif_opener()
    facts = inspect(saved(upright(), kind, exif=exif(orientation)))
    is_turned = orientation >= 5
    assert (facts.width, facts.height) == ((48, 64) if is_turned else (64, 48))
    assert facts.orientation == (1 if kind == "HEIF" else orientation)


def test_a_png_orientation_behind_the_pixels_is_found_without_decoding_them() -> None:
    plain = png_header(64, 48)  # whose pixels could not be decoded
    late = plain[:-12] + chunk(b"eXIf", exif(6).removeprefix(b"Exif\0\0")) + plain[-12:]
    assert (inspect(late).width, inspect(late).height) == (48, 64)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize(("width", "height"), [(5712, 4284), (8160, 6120), (10_000, 6000), (12_000, 5000)])
def test_photos_of_24_and_50_megapixel_phones_are_taken_field_report_10(header, width, height) -> None:
    facts = inspect(header(width, height))
    assert (facts.width, facts.height) == (width, height)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize(
    ("width", "height", "error", "numbers"),
    [
        (10_000, 6001, TooManyPixelsError, ["10000 x 6001", "60.0", "60"]),
        (10_000, 6100, TooManyPixelsError, ["10000 x 6100", "61.0", "60"]),
        (16_000, 16_000, TooManyPixelsError, ["16000 x 16000", "256.0"]),
        (12_001, 40, SideTooLongError, ["12001 x 40", "12000"]),
        (40, 12_001, SideTooLongError, ["40 x 12001", "12000"]),
        (31, 400, ImageTooSmallError, ["31 x 400", "32"]),
        (400, 1, ImageTooSmallError, ["400 x 1", "32"]),
    ],
)
def test_a_size_that_is_not_taken_is_refused_with_its_numbers(header, width, height, error, numbers) -> None:
    with pytest.raises(error) as raised:
        inspect(header(width, height))
    assert all(number in raised.value.detail for number in numbers)


def test_an_animation_counts_as_its_first_frame() -> None:
    frames = [upright(), upright()]
    for kind in ("PNG", "WEBP"):
        assert inspect(saved(frames[0], kind, save_all=True, append_images=frames[1:])).width == 64


def test_an_empty_file_is_told_from_a_wrong_one() -> None:
    with pytest.raises(ImageEmptyError):
        inspect(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7 and so on",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a" + bytes(50),
        b"II*\0" + bytes(50),
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(30),
        b"\xff",
    ],
)
def test_other_kinds_are_refused_whatever_they_are_called(data: bytes) -> None:
    with pytest.raises(UnsupportedImageError):
        inspect(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kept_bytes", [12, 16, 20, 24])
def test_a_header_that_is_cut_short_is_unreadable_field_report_14(kind: str, kept_bytes: int) -> None:
    with pytest.raises(ImageUnreadableError):
        inspect(saved(upright(), kind)[:kept_bytes])


@pytest.mark.parametrize(
    "block", [b"Exif\0\0", b"Exif\0\0MM", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0junkjunkjunk"]
)
def test_a_damaged_exif_block_does_not_cost_the_photo(block: bytes) -> None:
    plain = saved(upright(), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    assert inspect(plain[:2] + segment + plain[2:]).orientation == 1


def test_a_png_of_endless_chunks_is_unreadable_and_soon() -> None:
    data = png_header(64, 48)
    with pytest.raises(ImageUnreadableError):
        inspect(data[:33] + chunk(b"abCd", b"") * 20_000 + data[33:])


@pytest.mark.parametrize("piece", [b"\xff", b"\0", b"\xff\xfe\0\2", b"\xff\xd0", b"\xff\xe1\0\0"])
def test_a_jpeg_that_never_comes_to_its_pixels_is_unreadable_and_soon(piece: bytes) -> None:
    whole = saved(upright(), "JPEG")
    before = b"\xff\xd8\xff\xe0\0\2"
    assert inspect(before + piece * 100 + whole[2:]).width == 64
    with pytest.raises(ImageUnreadableError) as raised:
        inspect(before + piece * 10_001 + whole[2:])
    assert isinstance(raised.value.__cause__, HeaderError)  # before Pillow was asked


def test_a_png_in_an_idat_a_row_is_read_however_high_it_is() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 12_000, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"row") * 12_000
    assert inspect(data).height == 12_000


@pytest.mark.parametrize("size_bytes", [900_000, 3_000_000])
def test_a_png_with_a_large_profile_is_taken(size_bytes: int) -> None:
    """Pillow alone would refuse one that unpacks to more than a megabyte."""
    profile = random.Random(0).randbytes(size_bytes)
    assert inspect(saved(upright(), "PNG", icc_profile=profile)).width == 64


def test_a_png_has_one_profile_at_most() -> None:
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(b"profile"))
    plain = png_header(64, 48)
    assert inspect(plain[:33] + profile + plain[33:]).width == 64
    with pytest.raises(ImageUnreadableError):
        inspect(plain[:33] + profile * 2 + plain[33:])


def test_pixels_behind_a_good_header_are_not_looked_at() -> None:
    whole = photo("raccoon-12mp")
    assert inspect(whole[: len(whole) // 100]).width == 4032


BEGINNINGS = [saved(upright(), kind) for kind in ("JPEG", "PNG", "WEBP")]


@given(st.sampled_from(BEGINNINGS), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8))
@example(b"\0\0\0\x18ftypheic" + bytes(40), [])
def test_no_damage_to_a_header_leads_to_anything_but_an_answer(data: bytes, damage: list) -> None:
    damaged = bytearray(data)
    for at, value in damage:
        damaged[at % len(damaged)] = value
    try:
        facts = inspect(bytes(damaged))
    except (UnprocessableError, UnsupportedImageError):
        return
    assert min(facts.width, facts.height) >= 32
    assert facts.width * facts.height <= 60_000_000
