"""The cut-out as it is."""

from worker.arrays import Alpha, Rgb
from worker.effects.look import Look, Parameters


def color(rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
    """Implement ``Renderer``."""
    del parameters, look
    return rgb, alpha
