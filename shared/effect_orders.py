"""The effects that a client asks for: read from names or from JSON, every parameter checked."""

from collections.abc import Mapping
from typing import Any

from shared.catalogue import EFFECTS, Effect, find_effect
from shared.errors import DuplicateEffectError, InvalidValueError, UnknownEffectError, UnknownFieldError
from shared.faults import Faults
from shared.parameters import Parameter, Value
from shared.recipes import EffectRequest, Recipe

#: Of the print's shorter side; a border that is wider would leave too little of the subject.
_LARGEST_SHARE = 0.1


def read_effects(name: str, value: Any, faults: Faults) -> tuple[EffectRequest, ...]:
    """Read names, comma separated, or a list of names and of objects with parameters; ``color`` if empty."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        raise InvalidValueError(f"{name} is {value!r}; expected names, comma separated, or a list")
    requests: list[EffectRequest] = []
    for item in value:
        with faults.of(name):
            requests.append(_effect(item, faults))
    names = [request.name for request in requests]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DuplicateEffectError(f"asked for more than once: {', '.join(twice)}; aliases count")
    return tuple(requests) or Recipe().effects


def check_paper(requests: tuple[EffectRequest, ...], shorter_mm: float | None, faults: Faults) -> None:
    """Refuse sizes on paper without a print, whose shorter side is given, or with one that is too small."""
    for request in requests:
        for parameter in EFFECTS[request.name].parameters:
            if parameter.instead_of and parameter.name in request.parameters:
                with faults.of(f"effects.{request.name}.{parameter.name}"):
                    _require_fit(parameter, float(request.parameters[parameter.name]), shorter_mm)


def _require_fit(parameter: Parameter, size_mm: float, shorter_mm: float | None) -> None:
    if shorter_mm is None:
        raise InvalidValueError(
            f"{parameter.name} is a size on paper; give print_width_mm and print_height_mm too, "
            f"or {parameter.instead_of} instead"
        )
    most_mm = shorter_mm * _LARGEST_SHARE
    if size_mm > most_mm:
        raise InvalidValueError(
            f"{parameter.name} is {size_mm:g}; expected at most {most_mm:g}, a tenth of the print's side"
        )


def _effect(item: Any, faults: Faults) -> EffectRequest:
    given = dict(item) if isinstance(item, dict) else {"name": item}
    any_name = given.pop("name", None)
    effect = find_effect(any_name) if isinstance(any_name, str) else None
    if effect is None:
        raise UnknownEffectError(f"no effect {any_name!r}; there are: {', '.join(EFFECTS)}")
    return EffectRequest(name=effect.name, parameters=_parameters(effect, given, faults))


def _parameters(effect: Effect, given: Mapping[str, Any], faults: Faults) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for parameter in effect.parameters:
        with faults.of(f"effects.{effect.name}.{parameter.name}"):
            value = _value(parameter, given)
            if value is not None:
                values[parameter.name] = value
    replaced = {parameter.instead_of for parameter in effect.parameters if parameter.name in values}
    known = [parameter.name for parameter in effect.parameters]
    for name in [name for name in given if name not in known]:
        with faults.of(f"effects.{effect.name}.{name}"):
            raise UnknownFieldError(f"{effect.name} has {', '.join(known) or 'no parameters'}, not {name}")
    return {name: value for name, value in values.items() if name not in replaced}


def _value(parameter: Parameter, given: Mapping[str, Any]) -> Value | None:
    """Return a parameter's value, or ``None`` if it is not set: not given, and without a default."""
    value = given.get(parameter.name, parameter.default)
    if value is None and parameter.default is None:
        return None
    if parameter.instead_of in given:
        raise InvalidValueError(
            f"{parameter.name} and {parameter.instead_of} are both given; give one of them"
        )
    return parameter.checked(value)
