"""Text that an operator gives: one line that any record can hold and any screen may show."""

from typing import Any, TypeGuard

from shared.errors import FieldFault, InvalidValueError


def is_line(value: Any, most: int) -> TypeGuard[str]:
    """Whether a value is one line of so many characters at most, without control characters or surrogates."""
    return isinstance(value, str) and len(value.strip()) <= most and value.isprintable()


def read_line(name: str, value: Any, most: int) -> str:
    """Return a field's line without the blanks around it; an empty one is none."""
    if not is_line(value, most) or not value.strip():
        text = str(value)
        given = f"has {len(text)} characters" if len(text) > most else f"is {text[:40]!r}"
        detail = f"{name} {given}; expected one line of 1 to {most} characters"
        raise InvalidValueError(detail, faults=[FieldFault(name, detail)])
    return value.strip()
