"""The renderers of the effects in ``shared.catalogue``, by canonical name; a test holds the two together."""

from collections.abc import Mapping
from types import MappingProxyType

from worker.effects.color import color
from worker.effects.dithering import dithering
from worker.effects.enhanced_black_white import enhanced_black_white
from worker.effects.halftone import halftone
from worker.effects.look import Look, Renderer
from worker.effects.mosaic import mosaic
from worker.effects.popart import popart
from worker.effects.retro8bit import retro8bit
from worker.effects.sketch import sketch
from worker.effects.watercolor import watercolor

#: Renderers by the catalogue's canonical name.
RENDERERS: Mapping[str, Renderer] = MappingProxyType(
    {
        "color": color,
        "enhancedblackwhite": enhanced_black_white,
        "popart": popart,
        "dithering": dithering,
        "halftone": halftone,
        "retro8bit": retro8bit,
        "mosaic": mosaic,
        "watercolor": watercolor,
        "sketch": sketch,
    }
)

__all__ = ["RENDERERS", "Look", "Renderer"]
