"""What a client asks for: read from a form or from JSON, and checked whole.

Every fault of a request is found in one pass and reported by field; an unknown field is refused by
name, never ignored (field report 19).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from shared.effect_orders import check_paper, read_effects
from shared.engines import ENGINES
from shared.errors import EngineUnavailableError, InvalidValueError, UnknownFieldError
from shared.faults import Faults
from shared.recipes import CROPS, EDGES, FORMATS, TRANSPARENT, Recipe

MAX_METADATA_BYTES = 2048

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A recipe, and what the client wants back with the job as it came."""

    recipe: Recipe
    metadata: dict[str, Any]


def read_order(fields: Mapping[str, Any], *, is_form: bool) -> Order:
    """Read and check the fields of a submission.

    Parameters
    ----------
    fields
        Field by name. In a form every value is text; in JSON each has its own type.
    is_form
        Whether numbers and objects come as text.

    Raises
    ------
    ServiceError
        Of the first fault's class, naming every field at fault.
    """
    faults = Faults()
    given = _typed(fields) if is_form else dict(fields)
    given = {k: v for k, v in _spread_recipe(given, faults).items() if v not in ("", None)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        with faults.of(name):
            values[name] = _READERS.get(name, _unknown)(name, value, faults)
    _check_together(values, given, faults)
    faults.raise_first()
    metadata = values.pop("metadata", {})
    return Order(recipe=Recipe(**values), metadata=metadata)


def _typed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Read a form's text as JSON would have it; what cannot be read stays text, for its reader to refuse."""
    typed = dict(fields)
    for name in typed.keys() & {"margin", "max_side", "print_width_mm", "print_height_mm"}:
        typed[name] = _as_number(typed[name])
    for name in typed.keys() & {"metadata", "recipe"}:
        typed[name] = _as_json(typed[name])
    return typed


def _as_number(text: str) -> float | str:
    return float(text) if _NUMBER.fullmatch(text.strip()) else text


def _as_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _spread_recipe(given: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """Put a recipe's members beside the other fields; a field may be given once."""
    recipe = given.pop("recipe", None)
    if recipe in (None, ""):
        return given
    with faults.of("recipe"):
        if not isinstance(recipe, dict):
            raise InvalidValueError("recipe is not a JSON object")
        for name in given.keys() & recipe.keys():
            with faults.of(name):
                raise InvalidValueError(f"{name} is given both in recipe and beside it; give it once")
        return given | recipe
    return given


def _check_together(values: Mapping[str, Any], given: Mapping[str, Any], faults: Faults) -> None:
    sizes = {"print_width_mm", "print_height_mm"} & given.keys()
    if len(sizes) == 1:
        with faults.of(next(iter(sizes))):
            raise InvalidValueError("give both print_width_mm and print_height_mm, or neither")
    elif sizes <= values.keys():  # a size that is at fault itself says nothing about others
        shorter_mm = min((values[name] for name in sizes), default=None)
        check_paper(values.get("effects", ()), shorter_mm, faults)
    if values.get("format") == "jpeg" and given.get("background", TRANSPARENT) == TRANSPARENT:
        with faults.of("background"):
            raise InvalidValueError("jpeg has no transparency; give a background colour, #rrggbb")


_Reader = Callable[[str, Any, Faults], Any]


def _unknown(name: str, _value: Any, _faults: Faults) -> NoReturn:
    if name in {"webhook_url", "webhook_events"}:
        raise UnknownFieldError(f"{name} is not offered by this version; poll the job's URL instead")
    raise UnknownFieldError(f"{name} is not a field of a job; there are: {', '.join(_READERS)}, recipe")


def _number(low: float, high: float) -> _Reader:
    def read(name: str, value: Any, _faults: Faults) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:  # neither does what is not finite lie between them
            raise InvalidValueError(f"{name} is {value!r}; expected a number from {low:g} to {high:g}")
        return float(value)

    return read


def _whole_number(low: int, high: int) -> _Reader:
    def read(name: str, value: Any, faults: Faults) -> int:
        number: float = _number(low, high)(name, value, faults)
        if number != int(number):
            raise InvalidValueError(f"{name} is {value!r}; expected a whole number from {low} to {high}")
        return int(number)

    return read


def _choice(choices: tuple[str, ...]) -> _Reader:
    def read(name: str, value: Any, _faults: Faults) -> str:
        if value not in choices:
            raise InvalidValueError(f"{name} is {value!r}; expected one of: {', '.join(choices)}")
        return str(value)

    return read


def _background(name: str, value: Any, _faults: Faults) -> str:
    if value == TRANSPARENT or (isinstance(value, str) and _COLOR.fullmatch(value)):
        return str(value).lower()
    raise InvalidValueError(f"{name} is {value!r}; expected transparent or a colour, #rrggbb")


def _metadata(name: str, value: Any, _faults: Faults) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValueError(f"{name} is not a JSON object")
    size = len(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))
    if size > MAX_METADATA_BYTES:
        raise InvalidValueError(f"{name} has {size} bytes; at most {MAX_METADATA_BYTES} are kept")
    return value


def _engine(name: str, value: Any, _faults: Faults) -> str:
    if not isinstance(value, str) or value not in ENGINES:
        raise EngineUnavailableError(f"{name} is {value!r}; there are: {', '.join(ENGINES)}")
    return value


_READERS: Mapping[str, _Reader] = {
    "effects": read_effects,
    "format": _choice(FORMATS),
    "background": _background,
    "edges": _choice(EDGES),
    "crop": _choice(CROPS),
    "margin": _number(0, 0.5),
    "max_side": _whole_number(64, 12_000),
    "print_width_mm": _number(10, 5000),
    "print_height_mm": _number(10, 5000),
    "metadata": _metadata,
    "engine": _engine,
}
