"""Make the API's thumbnails, a file an effect, from `cat.jpg`: python -m tests.photos.make_thumbnails.

The cat's head was cut out by hand.  Sizes are larger than an effect's defaults where those would not be seen
in so small a picture; a test makes them again, so that none grows stale.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from shared.catalogue import EFFECTS
from shared.recipes import EffectRequest, Recipe
from worker.arrays import Alpha
from worker.effects import RENDERERS, Look, parameters_of, reach_px
from worker.subject import find_subject, frame_subject, shrink

FOLDER = Path(__file__).resolve().parent.parent.parent / "api" / "thumbnails"
SIDE_PX = 256

_PHOTO = Path(__file__).with_name("cat.jpg")
_ENLARGED = 3
_QUALITY = 80
_RIM_PX = 1.2
#: Around the head, in px of the photo; where it leaves the photo it goes a little beyond.
_HEAD = (
    *[(33, -20), (33, 40), (36, 80), (42, 105), (28, 122), (10, 140), (4, 175), (-20, 215), (-20, 320)],
    *[(318, 320), (316, 285), (322, 262), (318, 235), (330, 205), (348, 180), (360, 150), (362, 130)],
    *[(356, 105), (352, 75), (370, 58), (378, 30), (396, 8), (404, -20)],
)
#: What is asked for in place of the defaults.
_SHOWN: Mapping[str, Mapping[str, Any]] = {
    "popart": {"smoothing_pm": 3.0},
    "dithering": {"cell_pm": 5.0},
    "halftone": {"cell_pm": 11.0},
    "retro8bit": {"block_pm": 20.0},
    "mosaic": {"tile_pm": 28.0},
    "watercolor": {"wash_pm": 8.0},
    "sketch": {"line_pm": 2.5},
    "outline": {"width_pm": 25.0, "color": "#ff1493"},
    "shadow": {"offset_pm": 25.0, "opacity": 0.6},
}


def make_thumbnails() -> dict[str, Image.Image]:
    """Return a thumbnail for each effect of the catalogue, RGBA."""
    requests = [EffectRequest(name=name, parameters=_SHOWN.get(name, {})) for name in EFFECTS]
    with Image.open(_PHOTO) as photo:
        rgb = np.asarray(photo.resize((photo.width * _ENLARGED, photo.height * _ENLARGED)))
    alpha = _matte(*rgb.shape[:2])
    subject = find_subject(alpha)
    look = Look(subject_px=max(subject.box[2:]), seed=1)
    room_px = max(reach_px(request, look) for request in requests)
    recipe = Recipe(crop="subject", margin=0)
    frame = frame_subject(rgb * (alpha > 0)[..., np.newaxis], alpha, subject, recipe, room_px=room_px)
    pictures = {}
    for request in requests:
        rendered = RENDERERS[request.name](frame.rgb, frame.alpha, parameters_of(request), look)
        pictures[request.name] = Image.fromarray(np.dstack(shrink(*rendered, SIDE_PX)))
    return pictures


def _matte(height: int, width: int) -> Alpha:
    """Return the head's opacity: its outline with the corners cut twice, and a soft rim."""
    points = np.array(_HEAD, dtype=float)
    for _ in range(2):
        following = np.roll(points, -1, axis=0)
        cut = np.stack((0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following), axis=1)
        points = cut.reshape(-1, 2)
    room = 20 * _ENLARGED  # so that the rim is sharp where the photo ends
    canvas = np.zeros((height + 2 * room, width + 2 * room), dtype=np.uint8)
    cv2.fillPoly(canvas, [np.rint(points * _ENLARGED + room).astype(np.int32)], 255)
    soft = cv2.GaussianBlur(canvas, (0, 0), _RIM_PX * _ENLARGED)
    return np.ascontiguousarray(soft[room:-room, room:-room])


def _write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, picture in make_thumbnails().items():
        picture.save(FOLDER / f"{name}.webp", quality=_QUALITY, method=6)


if __name__ == "__main__":
    _write()
