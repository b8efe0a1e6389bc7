"""The matting engines by name, with what a client may want to know about each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCard:
    """What is published about an engine."""

    name: str
    summary: str
    licence: str
    training_data: str


#: Engines by name. A build may offer fewer than are named here; a job says which one made it.
ENGINES: Mapping[str, EngineCard] = MappingProxyType(
    {
        card.name: card
        for card in (
            EngineCard(
                name="grabcut",
                summary="OpenCV's GrabCut with a centre prior at 320 px: for trying out, and for tests.",
                licence="Apache-2.0 (OpenCV)",
                training_data="none: it learns from each photo alone",
            ),
        )
    }
)
