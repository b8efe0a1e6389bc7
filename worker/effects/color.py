"""The cut-out as it is."""

from collections.abc import Mapping

from worker.arrays import Alpha, Rgb
from worker.effects.look import Look


def color(rgb: Rgb, alpha: Alpha, parameters: Mapping[str, float], look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``."""
    del parameters, look
    return rgb, alpha
