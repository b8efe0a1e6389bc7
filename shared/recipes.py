"""What a photo becomes: a recipe in one canonical shape, as stored in the job's records."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from shared.parameters import Value

FORMATS = ("png", "webp", "jpeg")
CROPS = ("none", "subject")
EDGES = ("plain", "refined")
TRANSPARENT = "transparent"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRequest:
    """One effect with every parameter that was given or has a default."""

    name: str
    parameters: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what a photo becomes."""

    effects: tuple[EffectRequest, ...] = (EffectRequest(name="color"),)
    format: str = "png"
    background: str = TRANSPARENT
    edges: str = "plain"
    crop: str = "none"
    margin: float = 0.05
    max_side: int | None = None
    print_width_mm: float | None = None
    print_height_mm: float | None = None
    engine: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the canonical JSON shape: effects always as objects, defaults filled in."""
        document = asdict(self)
        document["effects"] = [{"name": e.name, **e.parameters} for e in self.effects]
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what ``document`` wrote, by this version or one beside it; unknown members are passed over."""
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        known["effects"] = tuple(
            EffectRequest(name=e["name"], parameters={k: v for k, v in e.items() if k != "name"})
            for e in document["effects"]
        )
        return cls(**known)

    @property
    def print_size_mm(self) -> tuple[float, float] | None:
        """Width and height in millimetres, if a print was asked for."""
        if self.print_width_mm is None or self.print_height_mm is None:
            return None
        return self.print_width_mm, self.print_height_mm

    @property
    def background_rgb(self) -> tuple[int, int, int] | None:
        """Background colour, 0 to 255 a channel, or ``None`` for transparent."""
        if self.background == TRANSPARENT:
            return None
        red, green, blue = bytes.fromhex(self.background[1:])
        return red, green, blue
