"""Every effect there is, under its one name: the only place where effects and parameters are named.

Submission, ``GET /v1/effects``, the worker and the docs read this table, so that an effect cannot be
known to one of them and not to another (field report 18).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from shared.parameters import Choice, Color, Number, Parameter, Switch, Value, WholeNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A way of rendering the cut-out."""

    name: str
    aliases: tuple[str, ...] = ()
    summary: str
    parameters: tuple[Parameter, ...] = ()

    def defaults(self) -> dict[str, Value]:
        """Return the value of each parameter that has one without being given."""
        return {p.name: p.default for p in self.parameters if p.default is not None}

    def document(self) -> dict[str, Any]:
        """Describe the effect for ``GET /v1/effects``."""
        return {
            "name": self.name,
            "aliases": list(self.aliases),
            "summary": self.summary,
            "parameters": [parameter.document() for parameter in self.parameters],
        }


def _factor(name: str, default: float, minimum: float, maximum: float, summary: str) -> Number:
    return Number(name=name, default=default, minimum=minimum, maximum=maximum, summary=summary)


def _pm(name: str, default: float, minimum: float, maximum: float, summary: str) -> Number:
    return Number(name=name, default=default, minimum=minimum, maximum=maximum, unit="pm", summary=summary)


def _or_mm(share: Number, least_mm: float, most_mm: float) -> tuple[Number, Number]:
    """Return a size as a share of the subject, and the same in millimetres of the print."""
    on_paper = Number(
        name=share.name.replace("_pm", "_mm"),
        minimum=least_mm,
        maximum=most_mm,
        unit="mm",
        instead_of=share.name,
        summary=f"{share.summary[:-1]} on paper; needs a print size.",
    )
    return share, on_paper


_COLOR = Effect(name="color", aliases=("cutout",), summary="The cut-out as it is.")

_ENHANCED_BLACK_WHITE = Effect(
    name="enhancedblackwhite",
    aliases=("blackwhite", "bw"),
    summary="Black-and-white film with grain and a soft glow.",
    parameters=(
        _factor("contrast", 1.12, 0.8, 1.5, "Gain of the film curve."),
        _factor("edge", 0.9, 0, 1.5, "Strength of fine detail."),
        _factor("halation", 0.12, 0, 0.3, "Glow around highlights."),
        _factor("grain", 0.08, 0, 0.2, "Strength of the grain."),
        _pm("grain_size_pm", 1.5, 0.5, 4, "Size of a grain."),
    ),
)

_POPART = Effect(
    name="popart",
    summary="A poster in eight strong colours.",
    parameters=(
        _factor("contrast", 2.5, 1, 4, "Contrast about mid grey."),
        _factor("saturation", 2, 0, 3, "Saturation; 0 is grey."),
        WholeNumber(
            name="levels", default=3, minimum=2, maximum=5, summary="Levels a channel is rounded to."
        ),
        _pm("smoothing_pm", 2, 0, 10, "How far the picture is smoothed before."),
    ),
)

_DITHERING = Effect(
    name="dithering",
    summary="Black dots on white whose density is the tone.",
    parameters=(
        *_or_mm(_pm("cell_pm", 2, 0.5, 10, "Width of a dot."), 0.1, 10),
        _factor("gamma", 0.45, 0.3, 1, "Below 1 it lightens the dark."),
        _factor("sharpen", 0.3, 0, 1, "Strength of edges."),
        Switch(name="adaptive", default=True, summary="Whether the surroundings move the threshold."),
    ),
)

_HALFTONE = Effect(
    name="halftone",
    summary="Newspaper dots, black or in four process colours.",
    parameters=(
        *_or_mm(_pm("cell_pm", 6, 2, 30, "Distance between dots."), 0.2, 20),
        Number(
            name="angle_deg",
            default=45,
            minimum=0,
            maximum=90,
            unit="deg",
            summary="Angle of the rows of black dots.",
        ),
        Choice(name="mode", default="mono", choices=("mono", "cmyk"), summary="One black ink, or four inks."),
    ),
)

_RETRO_8BIT = Effect(
    name="retro8bit",
    aliases=("8bit",),
    summary="A sprite of blocks in 32 colours, with a blocky silhouette.",
    parameters=(
        _pm("block_pm", 8, 2, 30, "Width of a block."),
        WholeNumber(
            name="palette",
            minimum=8,
            maximum=64,
            summary="That many colours, found in the subject; if not given, 32 that were chosen for fur.",
        ),
        Switch(name="edges", default=True, summary="Whether blocks are cut in four where an edge runs."),
    ),
)

_MOSAIC = Effect(
    name="mosaic",
    summary="Tiles of one colour each, laid along the edges of the picture.",
    parameters=(
        _pm("tile_pm", 20, 5, 80, "Width of a tile."),
        _factor("grout", 0.1, 0, 0.3, "Width of the joints, as a share of a tile."),
    ),
)

_WATERCOLOR = Effect(
    name="watercolor",
    summary="Flat washes with darker edges on rough paper.",
    parameters=(
        _pm("wash_pm", 6, 1, 20, "Width of the brush."),
        _factor("edge", 0.4, 0, 1, "How much pigment gathers where washes end."),
        _factor("grain", 0.05, 0, 0.2, "How rough the paper is, and how uneven the washes."),
    ),
)

_SKETCH = Effect(
    name="sketch",
    summary="Pencil lines and hatching.",
    parameters=(
        _pm("line_pm", 1.2, 0.5, 4, "Width of a line."),
        _factor("shade", 0.5, 0, 1, "Darkness of the hatching; 0 leaves lines alone."),
    ),
)

_OUTLINE = Effect(
    name="outline",
    aliases=("sticker",),
    summary="A border around the cut-out, as of a sticker.",
    parameters=(
        *_or_mm(_pm("width_pm", 12, 1, 60, "Width of the border."), 0.5, 20),
        Color(name="color", default="#ffffff", summary="Colour of the border."),
    ),
)

_SHADOW = Effect(
    name="shadow",
    summary="A soft shadow to the lower right.",
    parameters=(
        _pm("offset_pm", 15, 0, 60, "How far it falls, to the right and down."),
        _pm("blur_pm", 12, 0, 50, "How soft it is."),
        _factor("opacity", 0.35, 0, 1, "How dark it is."),
    ),
)

#: Effects by canonical name, in the order in which they are shown.
EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {
        e.name: e
        for e in (
            _COLOR,
            _ENHANCED_BLACK_WHITE,
            _POPART,
            _DITHERING,
            _HALFTONE,
            _RETRO_8BIT,
            _MOSAIC,
            _WATERCOLOR,
            _SKETCH,
            _OUTLINE,
            _SHADOW,
        )
    }
)

_BY_ANY_NAME = {any_name: e for e in EFFECTS.values() for any_name in (e.name, *e.aliases)}


def find_effect(any_name: str) -> Effect | None:
    """Return the effect of a name or alias, or ``None``."""
    return _BY_ANY_NAME.get(any_name)
