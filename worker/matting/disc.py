"""An engine that finds a disc in the middle of every photo: for tests, which then know the answer."""

from dataclasses import dataclass

import numpy as np

from worker.arrays import OPAQUE, Rgb
from worker.matting import Matting


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscModel:
    """Finds a disc with a soft rim, or nothing."""

    name: str = "disc"
    version: str = "1"
    checkpoint_sha256: str | None = None
    radius: float = 0.8  #: share of half the shorter side
    rim_px: float = 2.0
    is_blind: bool = False

    def alpha(self, rgb: Rgb) -> Matting:
        """Implement ``MattingModel``."""
        height, width = rgb.shape[:2]
        y, x = np.ogrid[:height, :width]
        distance = np.hypot(x + 0.5 - width / 2, y + 0.5 - height / 2)
        inside = (min(height, width) / 2 * self.radius - distance) / self.rim_px + 0.5
        opacity = np.clip(inside, 0, 1) * (0 if self.is_blind else OPAQUE)
        return Matting(alpha=opacity.round().astype(np.uint8), has_subject=not self.is_blind)
