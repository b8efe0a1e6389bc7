"""Every effect there is, under its one name: the only place where effects and parameters are named.

Submission, ``GET /v1/effects``, the worker and the docs read this table, so that an effect cannot be
known to one of them and not to another (field report 18).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from shared.errors import InvalidValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number that changes how an effect looks."""

    name: str
    default: float
    minimum: float
    maximum: float
    unit: str  #: "1" for a plain factor, "pm" for thousandths of the subject's longer side
    summary: str

    def checked(self, value: object) -> float:
        """Return a value as a number in range.

        Raises
        ------
        InvalidValueError
            If it is not a number, or outside the range.
        """
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.minimum <= float(value) <= self.maximum:  # type: ignore[arg-type]
            raise InvalidValueError(
                f"{self.name} is {value!r}; expected a number from {self.minimum:g} to {self.maximum:g}"
            )
        return float(value)  # type: ignore[arg-type]

    def document(self) -> dict[str, Any]:
        """Describe the parameter for ``GET /v1/effects``."""
        return {
            "name": self.name,
            "type": "number",
            "default": self.default,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "unit": self.unit,
            "summary": self.summary,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A way of rendering the cut-out."""

    name: str
    aliases: tuple[str, ...] = ()
    summary: str
    parameters: tuple[Parameter, ...] = ()

    def document(self) -> dict[str, Any]:
        """Describe the effect for ``GET /v1/effects``."""
        return {
            "name": self.name,
            "aliases": list(self.aliases),
            "summary": self.summary,
            "parameters": [parameter.document() for parameter in self.parameters],
        }


_COLOR = Effect(name="color", aliases=("cutout",), summary="The cut-out as it is.")

_ENHANCED_BLACK_WHITE = Effect(
    name="enhancedblackwhite",
    aliases=("blackwhite", "bw"),
    summary="Black-and-white film with grain and a soft glow.",
    parameters=(
        Parameter(
            name="contrast",
            default=1.12,
            minimum=0.8,
            maximum=1.5,
            unit="1",
            summary="Gain of the film curve.",
        ),
        Parameter(
            name="edge", default=0.9, minimum=0, maximum=1.5, unit="1", summary="Strength of fine detail."
        ),
        Parameter(
            name="halation", default=0.12, minimum=0, maximum=0.3, unit="1", summary="Glow around highlights."
        ),
        Parameter(
            name="grain", default=0.08, minimum=0, maximum=0.2, unit="1", summary="Strength of the grain."
        ),
        Parameter(
            name="grain_size_pm", default=1.5, minimum=0.5, maximum=4, unit="pm", summary="Size of a grain."
        ),
    ),
)

#: Effects by canonical name, in the order in which they are shown.
EFFECTS: Mapping[str, Effect] = MappingProxyType({e.name: e for e in (_COLOR, _ENHANCED_BLACK_WHITE)})

_BY_ANY_NAME = {any_name: e for e in EFFECTS.values() for any_name in (e.name, *e.aliases)}


def find_effect(any_name: str) -> Effect | None:
    """Return the effect of a name or alias, or ``None``."""
    return _BY_ANY_NAME.get(any_name)
