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


_INSPYRENET_LICENCE = "MIT (package and published weights)"
_INSPYRENET_DATA = (
    "public sets for salient object detection (DUTS, HRSOD, UHRSD, DIS5K and others), "
    "of which some allow research only: see docs/engine.md"
)

#: Engines by name. A build may offer fewer than are named here; a job says which one made it.
ENGINES: Mapping[str, EngineCard] = MappingProxyType(
    {
        card.name: card
        for card in (
            EngineCard(
                name="inspyrenet-base",
                summary="InSPyReNet (Swin-B) at 1024 x 1024 px, our own inference of the published weights.",
                licence=_INSPYRENET_LICENCE,
                training_data=_INSPYRENET_DATA,
            ),
            EngineCard(
                name="inspyrenet-fast",
                summary="InSPyReNet (Swin-B) at 384 x 384 px: faster, with coarser edges.",
                licence=_INSPYRENET_LICENCE,
                training_data=_INSPYRENET_DATA,
            ),
            EngineCard(
                name="transparent-background",
                summary="The published package, wrapped: the reference, and a way out.",
                licence=_INSPYRENET_LICENCE,
                training_data=_INSPYRENET_DATA,
            ),
            EngineCard(
                name="grabcut",
                summary="OpenCV's GrabCut with a centre prior at 320 px: for trying out, and for tests.",
                licence="Apache-2.0 (OpenCV)",
                training_data="none: it learns from each photo alone",
            ),
        )
    }
)
