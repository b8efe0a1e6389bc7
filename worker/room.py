"""How much room the effects of a recipe need around the subject, so that nothing they paint is cut off."""

import math

from shared.recipes import Recipe
from worker.effects import Look, reach_px
from worker.printing import px_per_mm
from worker.subject import Subject, crop_box

#: A border in millimetres widens the picture, and with it every millimetre: a tenth of the print at most, it
#: has settled to a pixel after so many rounds.
_ROUNDS = 8
#: Longest side that a WebP can have.
_LONGEST_PX = 16_383
#: What room may make of a photo: twice its pixels, and these besides, for the smallest.
_TIMES, _BESIDES_PX = 2, 8_000_000


def find_room(subject: Subject, recipe: Recipe, shape: tuple[int, ...]) -> int:
    """Return the pixels that a crop has to leave on every side of the subject's box.

    Without a crop the photo is the frame, and what does not fit is cut off; with one, only what would make
    the picture larger than a format or the memory can hold: of a wide shadow of a very long subject.
    """
    room_px, most_px = 0, _most(subject.box, shape)
    if recipe.crop != "subject":
        return room_px
    for _ in range(_ROUNDS):
        box = crop_box(subject, recipe, shape, room_px)
        scale = px_per_mm(box.width, box.height, recipe)
        look = Look(subject_px=max(subject.box[2:]), seed=0, px_per_mm=scale)
        reach = max(reach_px(request, look) for request in recipe.effects)
        room_px = min(most_px, reach and reach + _softness(box.longer_side, recipe))
    return room_px


def _most(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> int:
    """Return how much room there can be around a subject's box."""
    width, height = box[2:]
    area_px = _TIMES * shape[0] * shape[1] + _BESIDES_PX
    # (width + 2 r) (height + 2 r) = area
    by_area = (math.sqrt((width - height) ** 2 + 4 * area_px) - (width + height)) / 4
    return min((_LONGEST_PX - max(shape)) // 2, int(by_area))


def _softness(longer_px: int, recipe: Recipe) -> int:
    """Return what a soft edge of two pixels takes before the picture is reduced."""
    scale = (recipe.max_side or longer_px) / longer_px
    return math.ceil(2 / scale) if scale < 1 else 0
