"""What the worker asks of a matting engine: how opaque each pixel of the subject is.

One engine object serves every job of a process, from several threads at once.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from worker.arrays import Alpha, Rgb


class DeviceMissingError(Exception):
    """The device that was asked for is not there, or the engine has no use for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matting:
    """What an engine found in a photo."""

    alpha: Alpha  #: (H, W) of the photo, 0 to 255
    has_subject: bool
    seen_px: int = 1024  #: longer side at which the engine saw the photo


class MattingModel(Protocol):
    """Finds the subject of a photo.

    The same photo gives the same bytes on the same machine.  Memory beyond the answer does not grow with
    the photo.
    """

    @property
    def name(self) -> str:
        """The engine's name in ``shared.engines``."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the same photo may give other bytes."""
        ...

    @property
    def checkpoint_sha256(self) -> str | None:
        """Digest of the weights, if there are any."""
        ...

    def alpha(self, rgb: Rgb) -> Matting:
        """Return the subject's opacity in a photo of (H, W, 3) uint8, sRGB, upright."""
        ...


@runtime_checkable
class Glancing(Protocol):
    """What an engine may offer besides: it makes do with a small picture, which is decoded sooner."""

    @property
    def glimpse_side_px(self) -> int:
        """How long both sides of the small picture have to be."""
        ...

    def alpha_of_glimpse(self, small: Rgb, height: int, width: int) -> Matting:
        """Return the subject's opacity in a photo of this size, given the photo in small, sRGB, upright."""
        ...


@runtime_checkable
class Unmixing(Protocol):
    """What an engine may offer besides: its device finds the subject's own colour."""

    def foreground(self, rgb: Rgb, alpha: Alpha) -> Rgb:
        """Return what ``worker.foreground.estimate_foreground`` returns, within a few levels."""
        ...
