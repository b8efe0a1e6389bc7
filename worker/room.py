"""How much room the effects of a recipe need around the subject, so that nothing they paint is cut off."""

from shared.recipes import Recipe
from worker.effects import Look, reach_px
from worker.printing import px_per_mm
from worker.subject import Subject, crop_box

#: A border in millimetres widens the picture, and with it every millimetre: a tenth of the print at most, it
#: has settled to a pixel after so many rounds.
_ROUNDS = 8
#: Longest side that a WebP can have.
_LONGEST_PX = 16_383


def find_room(subject: Subject, recipe: Recipe, shape: tuple[int, ...]) -> int:
    """Return the pixels that a crop has to leave on every side of the subject's box.

    Without a crop the photo is the frame, and what does not fit is cut off.  With one the widest shadow of
    the longest photo loses what is hardly seen of it, so that every format can hold the picture.
    """
    room_px, most_px = 0, (_LONGEST_PX - max(shape)) // 2
    if recipe.crop != "subject":
        return room_px
    for _ in range(_ROUNDS):
        box = crop_box(subject, recipe, shape, room_px)
        scale = px_per_mm(box.width, box.height, recipe)
        look = Look(subject_px=max(subject.box[2:]), seed=0, px_per_mm=scale)
        room_px = min(most_px, max(reach_px(request, look) for request in recipe.effects))
    return room_px
