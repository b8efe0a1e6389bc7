"""The renderers of the effects in ``shared.catalogue``, by canonical name; a test holds the two together."""

from collections.abc import Mapping
from types import MappingProxyType

from shared.catalogue import EFFECTS
from shared.recipes import EffectRequest
from worker.effects.color import color
from worker.effects.dithering import dithering
from worker.effects.enhanced_black_white import enhanced_black_white
from worker.effects.halftone import halftone
from worker.effects.look import Look, Parameters, Reach, Renderer
from worker.effects.mosaic import mosaic
from worker.effects.outline import outline, outline_reach
from worker.effects.popart import popart
from worker.effects.retro8bit import retro8bit
from worker.effects.shadow import shadow, shadow_reach
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
        "outline": outline,
        "shadow": shadow,
    }
)

#: How far those reach that paint beyond the subject.
REACHES: Mapping[str, Reach] = MappingProxyType({"outline": outline_reach, "shadow": shadow_reach})

__all__ = ["REACHES", "RENDERERS", "Look", "Renderer", "parameters_of", "reach_px"]


def parameters_of(request: EffectRequest) -> Parameters:
    """Return what an effect is rendered with; a record of an earlier version may not name everything."""
    return {**EFFECTS[request.name].defaults(), **request.parameters}


def reach_px(request: EffectRequest, look: Look) -> int:
    """Return how far beyond the subject an effect paints."""
    reach = REACHES.get(request.name)
    return reach(parameters_of(request), look) if reach else 0
