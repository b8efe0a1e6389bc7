"""A PNG of ours is an ordinary PNG: whoever reads it finds exactly the pixels that were written."""

import io
import os
import struct
import threading
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tests.pictures import opened, photo, saved, scene
from worker.png import encode_png

byte = st.integers(0, 255)
CHANNELS = {"grey": 1, "rgb": 3, "rgba": 4}
#: Everything above 4 MB of rows is deflated in parts.
IN_PARTS = [(1500, 1100), (1, 1_200_000), (1_200_000, 1), (3, 700_001), (65_535, 20)]


def written(pixels, dpi: float | None = None) -> bytes:
    """Write (H, W), (H, W, 3) or (H, W, 4) pixels."""
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return encode_png(pixels[..., :3], pixels[..., 3], dpi)
    return encode_png(pixels, dpi=dpi)


def noise(height: int, width: int, channels: int):
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def by_pillow(data: bytes):
    with Image.open(io.BytesIO(data)) as image:
        image.verify()  # checksums of the chunks
    return opened(data)


def by_opencv(data: bytes):
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    order = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}
    return cv2.cvtColor(pixels, order[pixels.shape[2]]) if pixels.ndim == 3 else pixels


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each chunk's kind and body, having checked what surrounds them."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size) == (zlib.crc32(kind + body),)
        yield kind, body
        at += 12 + size


def rows_of(data: bytes) -> bytes:
    """Return the filtered rows, by another inflater that checks the checksum at their end."""
    inflate = zlib.decompressobj()
    rows = inflate.decompress(b"".join(body for kind, body in chunks(data) if kind == b"IDAT"))
    assert inflate.eof
    assert inflate.unused_data == b""
    return rows


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_pixels_come_back_from_two_readers(data) -> None:
    channels = data.draw(st.sampled_from([(), (3,), (4,)]))
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    pixels = data.draw(arrays(np.uint8, (*shape, *channels), elements=byte))
    file = written(pixels)
    assert np.array_equal(by_pillow(file), pixels)
    assert np.array_equal(by_opencv(file), pixels)
    assert len(rows_of(file)) == shape[0] * (1 + pixels[0].size)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
@pytest.mark.parametrize("size", IN_PARTS)
def test_large_wide_and_tall_pictures_come_back_too(size: tuple[int, int], channels: int) -> None:
    pixels = noise(*size, channels)
    file = written(pixels)
    assert np.array_equal(by_pillow(file), pixels)
    assert len(rows_of(file)) == size[0] * (1 + size[1] * channels)


def test_a_large_picture_is_made_in_parts_and_read_by_opencv() -> None:
    pixels = noise(1500, 1100, 4)
    file = written(pixels)
    assert [kind for kind, _ in chunks(file)].count(b"IDAT") == 2
    assert np.array_equal(by_opencv(file), pixels)


@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
def test_a_part_of_a_picture_or_one_turned_is_written_without_being_copied_first(channels: int) -> None:
    pixels = noise(70, 90, channels)
    for view in (pixels[10:50, 20:60], pixels[::-1], pixels[:, ::-2], pixels.swapaxes(0, 1)):
        assert np.array_equal(by_pillow(written(view)), view)


@pytest.mark.parametrize("is_grey", [False, True])
def test_the_bytes_are_the_same_on_one_core_and_on_all(is_grey: bool) -> None:
    """Field report 29: same input, same bytes; grey painted in three channels goes another way."""
    pixels, files = noise(1500, 1100, 4), []
    if is_grey:
        pixels[..., 1:3] = pixels[..., :1]

    def on(cores: set[int]) -> None:
        os.sched_setaffinity(0, cores)  # of this thread, and of those that it starts
        files.append(written(pixels))

    everywhere = os.sched_getaffinity(0)
    for cores in ({min(everywhere)}, everywhere):
        thread = threading.Thread(target=on, args=(cores,))
        thread.start()
        thread.join()
    assert files[0] == files[1]


def test_there_is_nothing_in_the_file_but_size_pixels_and_end() -> None:
    assert [kind for kind, _ in chunks(written(noise(9, 9, 3)))] == [b"IHDR", b"IDAT", b"IEND"]


@pytest.mark.parametrize(("dpi", "per_metre"), [(300, 11_811), (72.5, 2854), (0.001, 1)])
def test_a_resolution_is_said_in_pixels_a_metre(dpi: float, per_metre: int) -> None:
    found = dict(chunks(written(noise(9, 9, 3), dpi)))
    assert list(found) == [b"IHDR", b"pHYs", b"IDAT", b"IEND"]
    assert found[b"pHYs"] == struct.pack(">IIB", per_metre, per_metre, 1)


@pytest.mark.parametrize("name", ["raccoon", "cat", "astronaut"])
def test_a_cut_out_of_a_photo_takes_no_more_bytes_than_pillows_fastest(name: str) -> None:
    rgb = opened(photo(name))
    alpha = scene(rgb.shape[1], rgb.shape[0]).alpha
    hidden = np.dstack((np.where(alpha[..., np.newaxis] == 0, np.uint8(0), rgb), alpha))
    assert len(written(hidden)) <= len(saved(Image.fromarray(hidden), "PNG", compress_level=1))
    assert len(written(alpha)) <= len(saved(Image.fromarray(alpha), "PNG", compress_level=1))


@pytest.mark.parametrize("name", ["raccoon", "cat", "astronaut"])
def test_a_grey_picture_with_grain_takes_no_more_bytes_than_pillows_fastest(name: str) -> None:
    grey = cv2.cvtColor(opened(photo(name)), cv2.COLOR_RGB2GRAY).astype(float)
    grain = np.random.default_rng(7).normal(0, 6, grey.shape)
    alpha = scene(grey.shape[1], grey.shape[0]).alpha
    level = np.where(alpha == 0, 0, np.clip(grey + grain, 0, 255)).astype(np.uint8)
    painted = np.dstack((level, level, level, alpha))
    assert len(written(painted)) <= len(saved(Image.fromarray(painted), "PNG", compress_level=1))


def test_sharp_rows_and_noisy_ones_are_filtered_each_as_suits_them() -> None:
    sharp = opened(photo("raccoon"))
    noisy = np.repeat(noise(300, 40, 3), 20, axis=1)  # alike along each row, and not from row to row
    for pixels, filters in ((sharp, {4}), (np.ascontiguousarray(noisy.swapaxes(0, 1)), {2})):
        rows = np.frombuffer(rows_of(written(pixels)), np.uint8).reshape(len(pixels), -1)
        assert set(rows[:, 0]) == filters
