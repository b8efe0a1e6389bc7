"""The page about the effects says of each parameter what the catalogue says: name, default, range."""

import re
from pathlib import Path

import pytest

from shared.catalogue import EFFECTS
from shared.parameters import Choice, Color, Number, Parameter, Switch

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "effects.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))


def range_of(parameter: Parameter) -> str:
    match parameter:
        case Number(minimum=minimum, maximum=maximum, unit=unit):
            return f"{minimum:g} to {maximum:g}" + ("" if unit == "1" else f" {unit}")
        case Choice(choices=choices):
            return ", ".join(f"`{choice}`" for choice in choices)
        case Color():
            return "`#rrggbb`"
        case Switch():
            return "`true`, `false`"
    raise AssertionError(parameter)


def default_of(parameter: Parameter) -> str:
    match parameter.default:
        case None:
            return ""
        case bool(switch):
            return f"`{str(switch).lower()}`"
        case str(text):
            return f"`{text}`"
        case number:
            return f"{number:g}"


def test_it_has_a_section_for_each_effect_in_the_catalogues_order() -> None:
    assert list(SECTIONS) == list(EFFECTS)


@pytest.mark.parametrize("name", EFFECTS)
def test_a_section_names_the_aliases_and_every_parameter_and_no_other(name: str) -> None:
    section, effect = SECTIONS[name], EFFECTS[name]
    aliases = re.findall(r"`(\w+)`", section.split("\n", 1)[0])
    assert tuple(aliases) == effect.aliases
    rows = re.findall(r"^\| `(\w+)` \| *(.*?) *\| (.*?) \| \S.* \|$", section, flags=re.MULTILINE)
    assert rows == [(p.name, default_of(p), range_of(p)) for p in effect.parameters]
