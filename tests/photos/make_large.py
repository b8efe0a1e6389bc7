"""Make `raccoon-12mp.jpg` from `raccoon.jpg`: 4032 x 3024, enlarged with Lanczos, with a sensor's noise.

Seeded, so that it makes the same file again: python tests/photos/make_large.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

_HERE = Path(__file__).parent
_SIZE_PX = (4032, 3024)
_NOISE = 5.0  # makes the file about as large as a phone's


def make_large() -> None:
    """Write the large photo beside the small one."""
    with Image.open(_HERE / "raccoon.jpg") as small:
        large = np.asarray(small.resize(_SIZE_PX, Image.Resampling.LANCZOS), dtype=np.float32)
    noise = np.random.default_rng(12).normal(0, _NOISE, large.shape[:2]).astype(np.float32)
    noisy = np.clip(large + noise[..., np.newaxis], 0, 255).round().astype(np.uint8)
    Image.fromarray(noisy).save(_HERE / "raccoon-12mp.jpg", quality=80)


if __name__ == "__main__":
    make_large()
