"""What an effect is given besides the subject: how large things are, and where randomness starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from worker.arrays import Alpha, Rgb

#: Values by name as ``shared.parameters`` checks them; one without a default may be missing.
Parameters: TypeAlias = Mapping[str, Any]

#: Sizes in the definitions of the effects are those of a subject with this longer side.
REFERENCE_PX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How large the subject is, so that a preview and a print look alike, and the seed of all randomness."""

    subject_px: float  #: longer side of the subject's box
    seed: int
    px_per_mm: float | None = None  #: on paper, if a print was asked for

    def px(self, at_reference: float) -> float:
        """Return a size in pixels, given its size on a subject of 1000 px (which is in thousandths)."""
        return at_reference * self.subject_px / REFERENCE_PX

    def size_px(self, parameters: Parameters, what: str) -> float:
        """Return a size in pixels that is given as ``WHAT_mm``, or else as ``WHAT_pm``."""
        size_mm = parameters.get(f"{what}_mm")
        if size_mm is None:
            return self.px(parameters[f"{what}_pm"])
        if self.px_per_mm is None:
            raise ValueError(f"{what}_mm needs a print size; a recipe without one is refused")
        return float(size_mm * self.px_per_mm)


class Renderer(Protocol):
    """An effect: a pure function of the subject, its parameters and the look.

    Takes (H, W, 3) straight sRGB and (H, W) opacity, uint8, with RGB 0 where alpha is 0; returns the same of
    the same size, and leaves its arguments alone.  Needs at most 40 bytes a pixel.
    """

    def __call__(self, rgb: Rgb, alpha: Alpha, parameters: Parameters, look: Look) -> tuple[Rgb, Alpha]:
        """Render the effect."""
        ...


class Reach(Protocol):
    """How far an effect paints beyond the subject; most do not."""

    def __call__(self, parameters: Parameters, look: Look) -> int:
        """Return the distance in pixels."""
        ...
