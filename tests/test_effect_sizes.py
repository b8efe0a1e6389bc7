"""A preview and the print file look alike: every size in an effect grows with the subject.

The same subject is rendered at 800 and at 2400 px, the large picture is reduced, and the two are compared
in tone and in texture.  A size in plain pixels would be three times too small in the large one: each
comparison is made with that fault too, and has to find it.  ``make test-exhaustive`` does it at 4000 px.
"""

from functools import cache, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.catalogue import EFFECTS
from tests.pictures import opened, photo
from worker.effects import RENDERERS, Look

SMALL_PX, PHOTO_PX = 800, 4000
LARGE_PX = [2400, pytest.param(4000, marks=pytest.mark.exhaustive)]
BAND_PX = 12  #: rows at the small size
#: Tone is compared over this deviation, in px at the small size: some dots, some blocks.
TONE_SIGMA = 6.0


class Case(NamedTuple):
    """An effect, and how well its two sizes have to agree."""

    tone: float  #: mean error in tone that is allowed, in levels
    texture: float  #: factor by which texture may differ
    name: str
    changes: tuple[tuple[str, object], ...] = ()


CASES = [
    Case(0.1, 1.01, "color"),
    Case(0.5, 1.05, "enhancedblackwhite"),
    Case(1.5, 1.2, "popart"),
    # A dot that falls otherwise moves all after it, and cells of 1.6 px make dots of 1 or 2.
    Case(3.0, 1.5, "dithering"),
    Case(0.5, 1.05, "halftone"),
    Case(1.0, 1.1, "halftone", (("mode", "cmyk"),)),
    Case(1.5, 1.1, "retro8bit"),
    Case(2.0, 1.1, "retro8bit", (("palette", 24),)),
    Case(1.5, 1.1, "mosaic"),
    Case(1.5, 1.1, "watercolor"),
    Case(5.0, 1.15, "sketch"),
    Case(0.5, 1.02, "outline", (("color", "#0000ff"),)),
    Case(0.2, 1.02, "shadow"),
]
IDS = [" ".join([case.name, *(str(value) for _, value in case.changes)]) for case in CASES]


@cache
def subject(side_px: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the raccoon's face in an ellipse that fills a box of so many pixels."""
    large = opened(photo("raccoon-12mp"))[:3000, :PHOTO_PX]
    height, width = large.shape[0] * side_px // PHOTO_PX, side_px
    y, x = np.ogrid[:height, :width]
    radius = np.hypot(((x + 0.5) / width - 0.5) * 2, ((y + 0.5) / height - 0.5) * 2)
    alpha = (np.clip((1 - radius) * side_px / 4 + 0.5, 0, 1) * 255).astype(np.uint8)
    rgb = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    rgb[alpha == 0] = 0
    return rgb, alpha


@lru_cache(maxsize=3)
def render(case: Case, side_px: int, *, look_px: int | None = None) -> NDArray[np.float32]:
    """Render the subject and return it on white at the small size, (H, W, 3)."""
    parameters = EFFECTS[case.name].defaults() | dict(case.changes)
    look = Look(subject_px=look_px or side_px, seed=11)
    rgb, alpha = RENDERERS[case.name](*subject(side_px), parameters, look)
    rows = side_px * 3 // 4 // (600 // BAND_PX)
    bands = [slice(top, top + rows) for top in range(0, len(rgb), rows)]
    return np.concatenate([reduced(rgb[band], alpha[band]) for band in bands])


def reduced(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return some rows on white at the small size; of a whole print, floats would fill the memory."""
    opacity = alpha[..., np.newaxis].astype(np.float32) / 255
    shown = rgb * opacity + 255 * (1 - opacity)
    return cv2.resize(shown, (SMALL_PX, BAND_PX), interpolation=cv2.INTER_AREA)


def compare(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float]:
    """Return the mean error in tone, and the factor by which the fine texture of two pictures differs."""
    tones = [cv2.GaussianBlur(picture, (0, 0), TONE_SIGMA) for picture in (one, other)]
    inside = subject(SMALL_PX)[1] == 255
    textures = [(picture - tone)[inside].std() for picture, tone in zip((one, other), tones, strict=True)]
    return float(np.abs(tones[0] - tones[1]).mean()), float(max(textures) / min(textures))


def test_every_effect_is_compared() -> None:
    assert {case.name for case in CASES} == set(EFFECTS)


@pytest.mark.parametrize("large_px", LARGE_PX)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_reduced_print_is_the_preview(case: Case, large_px: int) -> None:
    tone, texture = compare(render(case, SMALL_PX), render(case, large_px))
    assert tone <= case.tone
    assert texture <= case.texture


@pytest.mark.parametrize("large_px", LARGE_PX)
@pytest.mark.parametrize("case", CASES[1:], ids=IDS[1:])
def test_a_size_in_plain_pixels_would_be_found(case: Case, large_px: int) -> None:
    tone, texture = compare(render(case, SMALL_PX), render(case, large_px, look_px=SMALL_PX))
    assert tone > case.tone or texture > case.texture
