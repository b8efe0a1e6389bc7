"""Colours come out as they were meant: by the photo's own profile, in sRGB, within a level or two."""

import io
import logging

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.pictures import gradient, photo, saved
from tests.profiles import SRGB, cmyk_profile, display_p3_in_srgb, rgb_profile
from worker.colour import to_srgb
from worker.decode import decode

P3 = rgb_profile("Display P3")
UPRIGHT = gradient(96, 64)


def decoded(image: Image.Image, kind: str, **options):
    return decode(saved(image, kind, **options)).rgb


def error(found, expected) -> float:
    return float(np.abs(np.asarray(found, float) - expected).max())


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_display_p3_is_converted_to_within_two_levels_of_its_definition(kind: str) -> None:
    steps = np.linspace(0, 255, 12).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(36, 48, 3)
    found = decoded(Image.fromarray(colours), kind, icc_profile=P3, lossless=True)
    assert error(found, display_p3_in_srgb(colours)) <= 2
    assert error(found, colours) > 30  # what passing the profile over would leave


def test_an_iphones_jpeg_is_converted_too() -> None:
    plain = decode(photo("raccoon")).rgb
    with Image.open(io.BytesIO(photo("raccoon"))) as image:
        found = decoded(image, "JPEG", quality=95, icc_profile=P3)
    assert np.abs(found - display_p3_in_srgb(plain)).mean() < 2


def test_a_large_photo_is_converted_in_strips_as_it_would_be_whole() -> None:
    large = np.tile(UPRIGHT, (40, 20, 1))  # 4.9 megapixels
    profile = ImageCms.ImageCmsProfile(io.BytesIO(P3))
    whole = ImageCms.profileToProfile(
        Image.fromarray(large), profile, ImageCms.createProfile("sRGB"), renderingIntent=1
    )
    assert np.array_equal(to_srgb(large, P3), np.asarray(whole))


def test_a_profile_is_judged_by_its_colours_and_not_by_its_name() -> None:
    """One that is named sRGB may have no tone curve, and one of any name may be sRGB."""
    linear = rgb_profile("sRGB (linear)", SRGB, is_linear=True)
    found = decoded(Image.new("RGB", (48, 36), (55, 55, 55)), "PNG", icc_profile=linear)
    assert error(found, 128) <= 2
    same = rgb_profile("Display P3", SRGB)
    assert np.array_equal(decoded(Image.fromarray(UPRIGHT), "PNG", icc_profile=same), UPRIGHT)


def test_white_stays_white_whatever_the_medium_was_white_as() -> None:
    """A scanner's paper is yellowish in its profile; a cut-out on white would show it."""
    yellowish = rgb_profile("paper", white=(0.80, 0.82, 0.55))
    found = decoded(Image.new("RGB", (48, 36), "white"), "PNG", icc_profile=yellowish)
    assert error(found, 255) <= 1


def test_a_profile_of_greys_applies_to_every_depth_of_grey() -> None:
    linear = ImageCms.ImageCmsProfile(io.BytesIO(grey_profile())).tobytes()
    for stored in (
        Image.new("L", (48, 36), 55),
        Image.fromarray(np.full((36, 48), 55 * 257, np.uint16)),
        Image.fromarray(np.full((36, 48, 2), (55, 255), np.uint8)),
    ):
        assert error(decoded(stored, "PNG", icc_profile=linear), 128) <= 2, stored.mode


def grey_profile() -> bytes:
    """Return the RGB profile without a tone curve, made one of greys."""
    profile = rgb_profile("grey", is_linear=True).replace(b"mntrRGB ", b"mntrGRAY")
    return profile.replace(b"rTRC", b"kTRC")


@pytest.mark.parametrize("profile", [b"no profile at all" * 20, P3[:300], P3[:128] + bytes(300), b"x"])
def test_a_profile_that_cannot_be_used_does_not_cost_the_photo(profile: bytes, caplog) -> None:
    with caplog.at_level(logging.INFO):
        found = decoded(Image.fromarray(UPRIGHT), "PNG", icc_profile=profile)
    assert np.array_equal(found, UPRIGHT)
    assert "photo.profile_unusable" in caplog.messages


# --- CMYK --------------------------------------------------------------------------------------------

INKS = {"cyan": (255, 0, 0, 0), "magenta": (0, 255, 0, 0), "yellow": (0, 0, 255, 0), "black": (0, 0, 0, 255)}
PAINT = {"cyan": (0, 255, 255), "magenta": (255, 0, 255), "yellow": (255, 255, 0), "black": (0, 0, 0)}


def ink_jpeg(ink: tuple[int, ...], *, is_adobes: bool, **options) -> bytes:
    """Return a CMYK JPEG: Adobe's are stored as negatives and say so, the others are stored as they are."""
    stored = ink if is_adobes else tuple(255 - v for v in ink)  # Pillow inverts whatever it writes
    data = saved(Image.new("CMYK", (64, 48), stored), "JPEG", quality=95, **options)
    at = data.index(b"\xff\xee")
    return data if is_adobes else data[:at] + data[at + 16 :]


@pytest.mark.parametrize("is_adobes", [True, False])
@pytest.mark.parametrize("ink", INKS)
def test_inks_come_out_in_their_colours_and_not_in_their_negatives(ink: str, is_adobes: bool) -> None:
    found = decode(ink_jpeg(INKS[ink], is_adobes=is_adobes)).rgb
    assert error(found, PAINT[ink]) <= 3


@pytest.mark.parametrize("is_adobes", [True, False])
def test_inks_are_mixed_by_their_own_profile(is_adobes: bool) -> None:
    """In this one cyan is printed as a tomato red, and paper is white."""
    profile = cmyk_profile({(0, 0, 0, 0): (100, 0, 0), (1, 0, 0, 0): (60, 60, 40)})
    red = decode(ink_jpeg(INKS["cyan"], is_adobes=is_adobes, icc_profile=profile)).rgb
    paper = decode(ink_jpeg((0, 0, 0, 0), is_adobes=is_adobes, icc_profile=profile)).rgb
    assert error(red, (245, 90, 79)) <= 4
    assert error(paper, 255) <= 2
