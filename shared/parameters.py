"""The kinds of parameter that an effect may have; each says what it takes, and checks what it is given.

A parameter without a default is set only when it is given: ``cell_mm`` in place of ``cell_pm``, say.
"""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from shared.errors import InvalidValueError

#: A value as JSON has it: a number, a whole number, true or false, or text.
Value: TypeAlias = float | int | bool | str

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """Something that changes how an effect looks."""

    name: str
    summary: str
    default: Value | None = None
    instead_of: str | None = None  #: the parameter whose default gives way to this one

    kind: ClassVar[str]

    def checked(self, value: object) -> Value:
        """Return a value in its canonical form.

        Raises
        ------
        InvalidValueError
            If it is of another kind, or outside what the parameter takes.
        """
        raise NotImplementedError

    def document(self) -> dict[str, Any]:
        """Describe the parameter for ``GET /v1/effects``."""
        return {
            "name": self.name,
            "type": self.kind,
            "default": self.default,
            "instead_of": self.instead_of,
            "summary": self.summary,
        }

    def expects(self) -> str:
        """Return in words what the parameter takes."""
        raise NotImplementedError

    def _refused(self, value: object) -> InvalidValueError:
        return InvalidValueError(f"{self.name} is {value!r}; expected {self.expects()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Parameter):
    """A number in a range."""

    minimum: float
    maximum: float
    unit: str = "1"  #: "1" for a plain factor, "pm" for thousandths of the subject's longer side, "mm", "deg"

    kind: ClassVar[str] = "number"

    def checked(self, value: object) -> Value:
        """Implement ``Parameter``; what is not finite is in no range."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # Compared before it is converted: a whole number may be too large to be a float.
        if not is_number or not self.minimum <= value <= self.maximum:  # type: ignore[operator]
            raise self._refused(value)
        return float(value)  # type: ignore[arg-type]

    def document(self) -> dict[str, Any]:
        """Implement ``Parameter``."""
        return {
            **Parameter.document(self),
            "minimum": self.minimum,
            "maximum": self.maximum,
            "unit": self.unit,
        }

    def expects(self) -> str:
        """Implement ``Parameter``."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"a {self.kind} from {self.minimum:g} to {self.maximum:g}{unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeNumber(Number):
    """A whole number in a range."""

    kind: ClassVar[str] = "whole number"

    def checked(self, value: object) -> Value:
        """Implement ``Parameter``."""
        number = Number.checked(self, value)
        if number != int(number):
            raise self._refused(value)
        return int(number)

    def document(self) -> dict[str, Any]:
        """Implement ``Parameter``, with JSON Schema's word for its type."""
        return {**Number.document(self), "type": "integer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Parameter):
    """On or off."""

    kind: ClassVar[str] = "boolean"

    def checked(self, value: object) -> Value:
        """Implement ``Parameter``."""
        if not isinstance(value, bool):
            raise self._refused(value)
        return value

    def expects(self) -> str:
        """Implement ``Parameter``."""
        return "true or false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Color(Parameter):
    """A colour, as ``#rrggbb``."""

    kind: ClassVar[str] = "color"

    def checked(self, value: object) -> Value:
        """Implement ``Parameter``."""
        if not isinstance(value, str) or not _COLOR.fullmatch(value):
            raise self._refused(value)
        return value.lower()

    def expects(self) -> str:
        """Implement ``Parameter``."""
        return "a colour, #rrggbb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Parameter):
    """One of a few words."""

    choices: tuple[str, ...]

    kind: ClassVar[str] = "choice"

    def checked(self, value: object) -> Value:
        """Implement ``Parameter``."""
        if not isinstance(value, str) or value not in self.choices:
            raise self._refused(value)
        return value

    def document(self) -> dict[str, Any]:
        """Implement ``Parameter``."""
        return {**Parameter.document(self), "choices": list(self.choices)}

    def expects(self) -> str:
        """Implement ``Parameter``."""
        return f"one of: {', '.join(self.choices)}"
