"""Files hold the picture that was made, its resolution for print, and nothing else."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

from shared.errors import InvalidValueError
from shared.recipes import FORMATS, Recipe
from tests.pictures import opened, photo, scene
from worker.encode import encode_matte, encode_preview, encode_result, require_encodable
from worker.subject import over


def cut_out(width: int = 320, height: int = 240):
    truth = scene(width, height)
    return np.where(truth.alpha[..., np.newaxis] == 0, np.uint8(0), truth.foreground), truth.alpha


def info(data: bytes) -> dict:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return dict(image.info)


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, (9, 11, 4), elements=st.integers(0, 255)))
def test_a_png_gives_back_exactly_what_it_was_given(rgba) -> None:
    artifact = encode_result("color", rgba[..., :3], rgba[..., 3], Recipe(), None)
    assert np.array_equal(opened(artifact.data), rgba)
    assert (artifact.content_type, artifact.width, artifact.height) == ("image/png", 11, 9)


def test_a_background_makes_the_picture_opaque() -> None:
    rgb, alpha = cut_out()
    artifact = encode_result("color", rgb, alpha, Recipe(background="#10ff20"), None)
    assert np.array_equal(opened(artifact.data), over(rgb, alpha, (16, 255, 32)))


def test_a_webp_keeps_opacity_exactly_and_colour_nearly() -> None:
    rgb, alpha = cut_out()
    artifact = encode_result("color", rgb, alpha, Recipe(format="webp"), None)
    found = opened(artifact.data)
    assert artifact.content_type == "image/webp"
    assert np.array_equal(found[..., 3], alpha)
    assert np.abs(found[..., :3].astype(int) - rgb)[alpha > 128].mean() < 3


@pytest.mark.parametrize("size", [(12_000, 32), (32, 12_000)])
def test_the_longest_photo_that_is_taken_is_encoded_in_every_format(size) -> None:
    rgb, alpha = cut_out(*size)
    for form in FORMATS:
        artifact = encode_result("color", rgb, alpha, Recipe(format=form, background="#ffffff"), 300)
        assert opened(artifact.data).shape[:2] == size[::-1]


def test_a_large_webp_of_much_detail_is_encoded_too() -> None:
    """libwebp's fastest method gives up on it: "encoding error 6"."""
    detail = np.tile(opened(photo("raccoon-12mp")), (2, 1, 1))[:5000]
    artifact = encode_result(
        "color", detail, np.full(detail.shape[:2], 255, np.uint8), Recipe(format="webp"), None
    )
    found = opened(artifact.data)
    assert found.shape == detail.shape
    assert np.abs(found[::7, ::7].astype(int) - detail[::7, ::7]).mean() < 4


def test_a_jpeg_keeps_coloured_edges_sharp() -> None:
    rgb, alpha = cut_out()
    artifact = encode_result("color", rgb, alpha, Recipe(format="jpeg", background="#00ff00"), None)
    with Image.open(io.BytesIO(artifact.data)) as image:
        assert get_sampling(image) == 0  # 4:4:4
    difference = np.abs(opened(artifact.data).astype(int) - over(rgb, alpha, (0, 255, 0)))
    assert artifact.content_type == "image/jpeg"
    assert difference.mean() < 2
    assert difference.max() < 40


def test_a_jpeg_without_a_background_is_refused_before_any_work() -> None:
    with pytest.raises(InvalidValueError, match="background"):
        require_encodable(Recipe(format="jpeg"))
    for recipe in (Recipe(), Recipe(format="webp"), Recipe(format="jpeg", background="#ffffff")):
        require_encodable(recipe)


@pytest.mark.parametrize(
    ("form", "kept"), [("png", set()), ("jpeg", {"jfif", "jfif_version", "jfif_unit", "jfif_density"})]
)
def test_a_file_says_its_resolution_when_there_is_a_print_and_nothing_else_ever(form, kept) -> None:
    recipe = Recipe(format=form, background="#ffffff")
    plain, printed = (info(encode_result("color", *cut_out(), recipe, dpi).data) for dpi in (None, 300))
    assert set(plain) - {"dpi"} == kept
    assert printed["dpi"] == pytest.approx((300, 300), abs=0.5)
    assert set(printed) == kept | {"dpi"}


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_resolution_of_next_to_nothing_is_said_too(form) -> None:
    recipe = Recipe(format=form, background="#ffffff")
    assert info(encode_result("color", *cut_out(), recipe, 0.3).data)["dpi"][0] > 0


def test_the_matte_is_grey_and_exact() -> None:
    alpha = cut_out()[1]
    artifact = encode_matte(alpha)
    assert np.array_equal(opened(artifact.data), alpha)
    assert artifact.facts()["bytes"] == len(artifact.data)
    assert info(artifact.data) == {}


@pytest.mark.parametrize("size", [(2400, 1800), (400, 300)])
def test_a_preview_fits_a_phone_field_report_20(size) -> None:
    artifact = encode_preview(*cut_out(*size), Recipe())
    assert max(artifact.width, artifact.height) == min(max(size), 1024)
    assert len(artifact.data) <= 200_000
    assert opened(artifact.data).shape[2] == 4


def test_even_noise_is_brought_under_the_limit_of_a_preview() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 4), dtype=np.uint8)
    artifact = encode_preview(noise[..., :3], noise[..., 3], Recipe())
    assert len(artifact.data) <= 200_000
    assert opened(artifact.data).shape == (artifact.height, artifact.width, 4)
