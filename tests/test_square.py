"""A photo made small in strips is the photo made small, byte for byte: the network's map depends on it."""

import numpy as np
import pytest
from PIL import Image

from worker.matting import saliency
from worker.matting.saliency import square

SIZES = [(1, 1), (2, 3), (4, 4), (32, 32), (3, 5000), (777, 1001), (1022, 77), (1024, 1024), (1512, 2016)]


@pytest.mark.parametrize("side_px", [384, 1024])
@pytest.mark.parametrize("size", SIZES)
def test_strips_and_whole_are_the_same(size: tuple[int, int], side_px: int) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    whole = Image.fromarray(rgb).resize((side_px, side_px), Image.Resampling.BILINEAR)
    small = square(rgb, side_px).numpy()
    assert small.shape == (1, side_px, side_px, 3)
    assert np.array_equal(small[0], np.asarray(whole))


def test_a_large_photo_is_made_small_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []

    class Pillow:
        Resampling = Image.Resampling

        @staticmethod
        def fromarray(_rgb: np.ndarray) -> "Pillow":
            return Pillow()

        def resize(self, size: tuple[int, int], _how: int, part: tuple[float, ...]) -> np.ndarray:
            parts.append(part)
            return np.zeros((size[1], size[0], 3), np.uint8)

    monkeypatch.setattr(saliency, "Image", Pillow)
    square(np.zeros((3024, 4032, 3), np.uint8), 1024)
    assert sorted(parts) == [(0, top, 4032, top + 756) for top in (0, 756, 1512, 2268)]
