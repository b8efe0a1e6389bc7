"""A parameter takes what it says it takes, in one canonical form, and refuses everything else in words."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalogue import EFFECTS
from shared.errors import InvalidValueError
from shared.parameters import Choice, Color, Number, Parameter, Switch, WholeNumber

NUMBER = Number(name="cell_pm", default=2, minimum=0.5, maximum=10, unit="pm", summary="Width of a dot.")
WHOLE = WholeNumber(name="levels", default=3, minimum=2, maximum=5, summary="Levels a channel.")
SWITCH = Switch(name="edges", default=True, summary="Whether edges are finer.")
COLOR = Color(name="color", default="#ffffff", summary="Colour of the border.")
CHOICE = Choice(name="mode", default="mono", choices=("mono", "cmyk"), summary="Inks.")
EVERY = (NUMBER, WHOLE, SWITCH, COLOR, CHOICE)

TAKEN = [
    (NUMBER, 0.5, 0.5),
    (NUMBER, 10, 10.0),
    (WHOLE, 2, 2),
    (WHOLE, 5.0, 5),
    (SWITCH, False, False),
    (COLOR, "#A0b1C2", "#a0b1c2"),
    (CHOICE, "cmyk", "cmyk"),
]

REFUSED = [
    *[
        (NUMBER, bad)
        for bad in (0.499, 10.001, -1, math.nan, math.inf, -math.inf, 10**400, "2", None, True, [2], {})
    ],
    *[(WHOLE, bad) for bad in (2.5, 1, 6, math.nan, math.inf, "3", None, True, [3])],
    *[(SWITCH, bad) for bad in (0, 1, "true", None, [])],
    *[(COLOR, bad) for bad in ("white", "#fff", "#gggggg", "ffffff", "#ffffff\n", 0xFFFFFF, None, True, [])],
    *[(CHOICE, bad) for bad in ("rgb", "Mono", "", 0, None, ["mono"])],
]


@pytest.mark.parametrize(("parameter", "given", "taken"), TAKEN)
def test_what_it_takes_has_one_form(parameter: Parameter, given, taken) -> None:
    value = parameter.checked(given)
    assert (value, type(value)) == (taken, type(taken))


@pytest.mark.parametrize(("parameter", "bad"), REFUSED, ids=[f"{p.name}-{str(v)[:12]}" for p, v in REFUSED])
def test_everything_else_is_refused_by_name_with_what_was_expected(parameter: Parameter, bad) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parameter.checked(bad)
    assert caught.value.detail.startswith(f"{parameter.name} is ")
    assert caught.value.detail.endswith(f"expected {parameter.expects()}")


@given(
    st.sampled_from(EVERY),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2),
)
def test_any_json_value_is_taken_or_refused_and_what_is_taken_stays(parameter: Parameter, value) -> None:
    try:
        taken = parameter.checked(value)
    except InvalidValueError:
        return
    assert parameter.checked(json.loads(json.dumps(taken))) == taken


@pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS)
def test_every_default_in_the_catalogue_is_one_that_may_be_given(effect) -> None:
    for parameter in effect.parameters:
        if parameter.default is not None:
            assert parameter.checked(parameter.default) == parameter.default
    names = [parameter.name for parameter in effect.parameters]
    assert len(set(names)) == len(names)
    assert "name" not in names


@pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS)
def test_a_size_has_its_unit_in_its_name_and_one_on_paper_names_the_one_it_replaces(effect) -> None:
    by_name = {parameter.name: parameter for parameter in effect.parameters}
    for name, parameter in by_name.items():
        unit = getattr(parameter, "unit", "1")
        assert (unit != "1") == name.endswith(f"_{unit}")
        assert (unit == "mm") == (parameter.instead_of is not None)
        if parameter.instead_of:
            assert parameter.default is None
            assert by_name[parameter.instead_of].unit == "pm"
