"""A preview and the print file look alike: every size in an effect grows with the subject.

The same subject is rendered at 800 and at 4000 px, the large picture is reduced, and the two are compared
in tone and in texture.  A size in plain pixels would be five times too small in the large one: each
comparison is made with that fault too, and has to find it.
"""

from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.catalogue import EFFECTS
from tests.pictures import opened, photo
from worker.effects import RENDERERS, Look

SMALL_PX, LARGE_PX = 800, 4000
FACTOR = LARGE_PX // SMALL_PX
#: Tone is compared over this deviation, in px at the small size: some dots, some blocks.
TONE_SIGMA = 6.0

#: The mean error in tone that is allowed, in levels, and the factor by which texture may differ.
BOUNDS = {
    "color": (0.1, 1.01),
    "enhancedblackwhite": (0.5, 1.05),
    "popart": (1.5, 1.2),
    "retro8bit": (1.5, 1.1),
    "dithering": (3.0, 1.5),  # a dot that falls otherwise moves all after it, and 1.6 px make dots of 1 or 2
}
PARAMETERS = {name: effect.defaults() for name, effect in EFFECTS.items()}


@cache
def subject(side_px: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the raccoon's face in an ellipse that fills a box of so many pixels."""
    large = opened(photo("raccoon-12mp"))[:3000, :LARGE_PX]
    height, width = large.shape[0] * side_px // LARGE_PX, side_px
    y, x = np.mgrid[:height, :width] + 0.5
    radius = np.hypot((x / width - 0.5) * 2, (y / height - 0.5) * 2)
    alpha = (np.clip((1 - radius) * side_px / 4 + 0.5, 0, 1) * 255).astype(np.uint8)
    rgb = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    rgb[alpha == 0] = 0
    return rgb, alpha


def render(name: str, side_px: int, *, look_px: int | None = None) -> NDArray[np.float32]:
    """Render the subject and return it on white at the small size, (H, W, 3)."""
    look = Look(subject_px=look_px or side_px, seed=11)
    rgb, alpha = RENDERERS[name](*subject(side_px), PARAMETERS[name], look)
    opacity = alpha[..., np.newaxis].astype(np.float32) / 255
    shown = rgb * opacity + 255 * (1 - opacity)
    return cv2.resize(shown, (SMALL_PX, 600), interpolation=cv2.INTER_AREA)


def compare(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float]:
    """Return the mean error in tone, and the factor by which the fine texture of two pictures differs."""
    tones = [cv2.GaussianBlur(picture, (0, 0), TONE_SIGMA) for picture in (one, other)]
    inside = subject(SMALL_PX)[1] == 255
    textures = [(picture - tone)[inside].std() for picture, tone in zip((one, other), tones, strict=True)]
    return float(np.abs(tones[0] - tones[1]).mean()), float(max(textures) / min(textures))


@pytest.mark.parametrize("name", EFFECTS)
def test_the_reduced_print_is_the_preview(name: str) -> None:
    tone, texture = compare(render(name, SMALL_PX), render(name, LARGE_PX))
    most_tone, most_texture = BOUNDS[name]
    assert tone <= most_tone
    assert texture <= most_texture


@pytest.mark.parametrize("name", [name for name in EFFECTS if name != "color"])
def test_a_size_in_plain_pixels_would_be_found(name: str) -> None:
    tone, texture = compare(render(name, SMALL_PX), render(name, LARGE_PX, look_px=SMALL_PX))
    most_tone, most_texture = BOUNDS[name]
    assert tone > most_tone or texture > most_texture
