"""Where the subject is, and the part of the photo that a result shows of it.

Opacity decides: what is less than a tenth opaque is not counted as subject, though pictures keep it.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import NoSubjectError
from shared.recipes import Recipe
from worker.arrays import OPAQUE, Alpha, Box, Rgb, box_of

#: Opacity from which a pixel counts as the subject's.
COUNTS_FROM = round(0.1 * OPAQUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Where the subject is, in pixels of the upright photo."""

    box: tuple[int, int, int, int]  #: x, y, width, height
    coverage: float  #: mean opacity of the photo, 0 to 1
    touches_edge: tuple[str, ...]  #: of left, top, right, bottom


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The part of the photo that results show, at their size."""

    rgb: Rgb  #: (H, W, 3), straight, 0 where alpha is 0
    alpha: Alpha  #: (H, W)
    work: Box  #: everything that is not wholly transparent
    subject: Box  #: the subject's box in this frame

    @classmethod
    def of(cls, rgb: Rgb, alpha: Alpha) -> Self:
        """Find the boxes of a cut-out that is not empty."""
        subject, work = box_of(alpha >= COUNTS_FROM), box_of(alpha > 0)
        if subject is None or work is None:
            raise NoSubjectError("Nothing of the subject is left at the size asked for.")
        return cls(rgb=rgb, alpha=alpha, work=work, subject=subject)


def find_subject(alpha: Alpha) -> Subject:
    """Describe what stands out of the background.

    Raises
    ------
    NoSubjectError
        If nothing does.
    """
    mask = alpha >= COUNTS_FROM
    box = box_of(mask)
    if box is None:
        raise NoSubjectError("No subject was found; upload a photo in which one stands out.")
    edges = {"left": mask[:, 0], "top": mask[0], "right": mask[:, -1], "bottom": mask[-1]}
    return Subject(
        box=(box.x, box.y, box.width, box.height),
        coverage=round(float(alpha.mean()) / OPAQUE, 4),
        touches_edge=tuple(name for name, pixels in edges.items() if pixels.any()),
    )


def frame_subject(rgb: Rgb, alpha: Alpha, subject: Subject, recipe: Recipe, *, room_px: int = 0) -> Frame:
    """Crop and reduce a cut-out as the recipe says.

    A margin never reaches beyond the photo: where the subject is cut off, so is the margin. Room that an
    effect needs to paint in does, and is empty there.
    """
    if recipe.crop == "subject":
        box = crop_box(subject, recipe, alpha.shape, room_px)
        rgb, alpha = _cut(rgb, box), _cut(alpha, box)
    if recipe.max_side is not None:
        rgb, alpha = shrink(rgb, alpha, recipe.max_side)
    return Frame.of(rgb, alpha)


def crop_box(subject: Subject, recipe: Recipe, shape: tuple[int, ...], room_px: int) -> Box:
    """Return what is kept around a subject of a photo of this shape; it may reach beyond the photo."""
    box = Box(*subject.box)
    kept = box.grown(max(round(box.longer_side * recipe.margin), room_px), shape)
    left, top = min(kept.x, box.x - room_px), min(kept.y, box.y - room_px)
    right = max(kept.x + kept.width, box.x + box.width + room_px)
    bottom = max(kept.y + kept.height, box.y + box.height + room_px)
    return Box(left, top, right - left, bottom - top)


def _cut(plane: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Return a part of a picture, with nothing where it reaches beyond."""
    height, width = plane.shape[:2]
    left, top = max(0, -box.x), max(0, -box.y)
    right, bottom = max(0, box.x + box.width - width), max(0, box.y + box.height - height)
    part = plane[max(0, box.y) : box.y + box.height, max(0, box.x) : box.x + box.width]
    if not (left or top or right or bottom):
        return part
    framed = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(framed, dtype=np.uint8)


def shrink(rgb: Rgb, alpha: Alpha, max_side: int) -> tuple[Rgb, Alpha]:
    """Reduce a cut-out to a longest side by area averages weighted by opacity; never enlarge it."""
    height, width = alpha.shape
    scale = max_side / max(height, width)
    if scale >= 1:
        return rgb, alpha
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small_alpha = cv2.resize(alpha.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small_rgb = np.empty((size[1], size[0], 3), dtype=np.uint8)
    for channel in range(3):
        # One at a time: a float copy of all channels of a large photo is what memory is lost to.
        weighted = cv2.multiply(rgb[..., channel], alpha, dtype=cv2.CV_32F)
        mean = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA) / np.maximum(small_alpha, 1e-3)
        small_rgb[..., channel] = np.rint(np.clip(mean, 0, OPAQUE))
    rounded = np.rint(small_alpha).astype(np.uint8)
    small_rgb[rounded == 0] = 0
    return small_rgb, rounded


def over(rgb: Rgb, alpha: Alpha, background: tuple[int, int, int]) -> Rgb:
    """Composite a cut-out over a colour.

    Parameters
    ----------
    rgb, alpha
        (H, W, 3) straight and (H, W), uint8.
    background
        0 to 255 a channel.

    Returns
    -------
    Rgb
        (H, W, 3) opaque, a new array.

    References
    ----------
    Porter and Duff, "Compositing Digital Images", SIGGRAPH 1984, eq. for *over*.
    """
    opaque = np.empty_like(rgb)
    through = np.uint16(OPAQUE) - alpha
    for channel, level in enumerate(background):
        mixed = np.multiply(rgb[..., channel], alpha, dtype=np.uint16)
        mixed += through * np.uint16(level)
        mixed += OPAQUE // 2
        opaque[..., channel] = mixed // OPAQUE
    return opaque
