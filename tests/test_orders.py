"""An order is read whole: every fault is named by its field, and nothing is ignored."""

import pytest

from shared.errors import (
    DuplicateEffectError,
    EngineUnavailableError,
    InvalidValueError,
    ServiceError,
    UnknownEffectError,
    UnknownFieldError,
)
from shared.orders import read_order
from shared.recipes import EffectRequest, Recipe


def form(**fields: str):
    return read_order(fields, is_form=True)


def test_an_empty_form_asks_for_the_cut_out() -> None:
    assert form().recipe == Recipe()
    assert form(effects="").recipe.effects == (EffectRequest(name="color"),)


def test_an_alias_becomes_the_canonical_name_with_its_defaults() -> None:
    """Field report 18: one catalogue with aliases."""
    (effect,) = form(effects=" bw ").recipe.effects
    assert effect.name == "enhancedblackwhite"
    assert effect.parameters["contrast"] == 1.12


def test_a_recipe_sets_parameters_and_fields_stand_beside_it() -> None:
    recipe = '{"effects": [{"name": "bw", "grain": 0}, "color"], "format": "webp"}'
    order = form(recipe=recipe, max_side="1200", metadata='{"order": 7}')
    assert [e.name for e in order.recipe.effects] == ["enhancedblackwhite", "color"]
    assert order.recipe.effects[0].parameters["grain"] == 0
    assert (order.recipe.format, order.recipe.max_side, order.metadata) == ("webp", 1200, {"order": 7})


@pytest.mark.parametrize("is_form", [True, False])
def test_what_is_stored_reads_back_the_same(is_form: bool) -> None:
    recipe = read_order({"effects": "bw,color", "crop": "subject"}, is_form=is_form).recipe
    assert Recipe.from_document(recipe.document()) == recipe
    assert Recipe.from_document({**recipe.document(), "of_a_later_version": 1}) == recipe


@pytest.mark.parametrize("member", Recipe.__dataclass_fields__)
def test_every_member_of_a_recipe_can_be_ordered(member: str) -> None:
    with pytest.raises(ServiceError) as refused:
        read_order({member: {"of": "no kind that it takes"}}, is_form=False)
    assert not isinstance(refused.value, UnknownFieldError)


def test_edges_are_plain_unless_refined_ones_are_asked_for() -> None:
    assert form().recipe.edges == "plain"
    assert form(edges="refined").recipe.edges == "refined"


REFUSED = [
    ({"edges": "sharp"}, InvalidValueError, "edges"),
    ({"effects": "sepia"}, UnknownEffectError, "effects"),
    ({"effects": "color,cutout"}, DuplicateEffectError, "effects"),
    (
        {"recipe": '{"effects": [{"name": "bw", "contrast": 9}]}'},
        InvalidValueError,
        "effects.enhancedblackwhite.contrast",
    ),
    (
        {"recipe": '{"effects": [{"name": "bw", "contrast": true}]}'},
        InvalidValueError,
        "effects.enhancedblackwhite.contrast",
    ),
    (
        {"recipe": '{"effects": [{"name": "color", "contrast": 1}]}'},
        UnknownFieldError,
        "effects.color.contrast",
    ),
    (
        {"recipe": '{"effects": [{"name": "dithering", "cell_mm": 0.5}]}'},
        InvalidValueError,
        "effects.dithering.cell_mm",
    ),
    (
        {
            "recipe": '{"effects": [{"name": "dithering", "cell_mm": 0.5, "cell_pm": 2}]}',
            "print_width_mm": "100",
            "print_height_mm": "100",
        },
        InvalidValueError,
        "effects.dithering.cell_mm",
    ),
    (
        {"recipe": '{"effects": [{"name": "dithering", "cell_pm": 1e400}]}'},
        InvalidValueError,
        "effects.dithering.cell_pm",
    ),
    (
        {"recipe": '{"effects": [{"name": "dithering", "cell_pm": NaN}]}'},
        InvalidValueError,
        "recipe",
    ),
    (
        {"recipe": '{"effects": [{"name": "dithering", "adaptive": 1}]}'},
        InvalidValueError,
        "effects.dithering.adaptive",
    ),
    (
        {"recipe": '{"effects": [{"name": "dithering", "cell": 2}]}'},
        UnknownFieldError,
        "effects.dithering.cell",
    ),
    ({"recipe": '{"effects": [7]}'}, UnknownEffectError, "effects"),
    ({"recipe": '{"effects": {"color": 1}}'}, InvalidValueError, "effects"),
    ({"recipe": "{"}, InvalidValueError, "recipe"),
    ({"recipe": "[" * 60_000}, InvalidValueError, "recipe"),
    ({"recipe": '{"format": "png"}', "format": "webp"}, InvalidValueError, "format"),
    ({"colour": "red"}, UnknownFieldError, "colour"),
    ({"webhook_url": "https://shop.example"}, UnknownFieldError, "webhook_url"),
    ({"format": "gif"}, InvalidValueError, "format"),
    ({"format": "jpeg"}, InvalidValueError, "background"),
    ({"background": "red"}, InvalidValueError, "background"),
    ({"background": "#12345"}, InvalidValueError, "background"),
    ({"crop": "tight"}, InvalidValueError, "crop"),
    ({"margin": "0.6"}, InvalidValueError, "margin"),
    ({"margin": "nan"}, InvalidValueError, "margin"),
    *(({"recipe": recipe}, InvalidValueError, "recipe") for recipe in ("[]", "0", "false", "[1]")),
    *(
        ({"max_side": text}, InvalidValueError, "max_side")
        for text in ("1_00", "\u0661\u0660\u0660", "0x100")
    ),
    ({"max_side": "63"}, InvalidValueError, "max_side"),
    ({"max_side": "100.5"}, InvalidValueError, "max_side"),
    ({"max_side": "inf"}, InvalidValueError, "max_side"),
    ({"max_side": "16384", "format": "webp"}, InvalidValueError, "max_side"),
    ({"print_width_mm": "200"}, InvalidValueError, "print_width_mm"),
    ({"recipe": '{"print_width_mm": NaN, "print_height_mm": 100}'}, InvalidValueError, "recipe"),
    ({"metadata": "[1]"}, InvalidValueError, "metadata"),
    ({"metadata": '{"a": NaN}'}, InvalidValueError, "metadata"),
    ({"metadata": '{"a": "' + "x" * 2048 + '"}'}, InvalidValueError, "metadata"),
    ({"engine": "magic"}, EngineUnavailableError, "engine"),
]


@pytest.mark.parametrize(("fields", "error", "field"), REFUSED, ids=[str(r[0])[:50] for r in REFUSED])
def test_what_cannot_be_done_is_refused_by_field(fields, error, field) -> None:
    """Field report 19: parameters silently ignored."""
    with pytest.raises(ServiceError) as caught:
        form(**fields)
    assert type(caught.value) is error
    assert [fault.field for fault in caught.value.faults] == [field]


@pytest.mark.parametrize("size", ["0", "-1", "nan", "inf", "9.99", "10000", "1e999", "ten", "10mm"])
def test_paper_that_no_press_takes_is_refused_whichever_side_it_is(size: str) -> None:
    for side, other in (("print_width_mm", "print_height_mm"), ("print_height_mm", "print_width_mm")):
        with pytest.raises(InvalidValueError, match="10 to 5000") as caught:
            form(**{side: size, other: "100"})
        assert [fault.field for fault in caught.value.faults] == [side]


@pytest.mark.parametrize("field", ["margin", "max_side", "print_width_mm"])
@pytest.mark.parametrize("value", [10**400, -(10**400), True, "9", [], {"a": 1}])
def test_a_number_of_any_size_and_anything_that_is_no_number_is_a_problem_not_a_crash(field, value) -> None:
    fields = {"print_height_mm": 100} if field.startswith("print") else {}
    with pytest.raises(InvalidValueError):
        read_order({field: value, **fields}, is_form=False)


@pytest.mark.parametrize(
    "colour", ["red", "#12345", "#1234567", "#gggggg", "ffffff", "# fffff", "#ffffff\n", "rgb(0,0,0)"]
)
def test_a_background_is_six_digits_or_transparent(colour: str) -> None:
    with pytest.raises(InvalidValueError, match="#rrggbb"):
        form(background=colour)
    assert form(background="#FFeedd").recipe.background_rgb == (255, 238, 221)


def test_every_fault_is_reported_at_once() -> None:
    with pytest.raises(UnknownEffectError) as caught:
        form(effects="sepia,bw", margin="2", colour="red")
    assert [fault.field for fault in caught.value.faults] == ["effects", "margin", "colour"]


ON_PAPER = {"print_width_mm": 100, "print_height_mm": 150}


def test_a_size_on_paper_takes_the_place_of_the_default_share_of_the_subject() -> None:
    wanted = {"effects": [{"name": "dithering", "cell_mm": 0.5}], **ON_PAPER}
    (effect,) = read_order(wanted, is_form=False).recipe.effects
    assert effect.parameters["cell_mm"] == 0.5
    assert "cell_pm" not in effect.parameters
    bare = read_order({"effects": "dithering", **ON_PAPER}, is_form=False).recipe.effects[0]
    assert bare.parameters["cell_pm"] == 2
    assert "cell_mm" not in bare.parameters


def test_what_is_not_set_may_be_given_back_as_null() -> None:
    asked = [{"name": "dithering", "cell_mm": None}]
    assert read_order({"effects": asked}, is_form=False) == read_order(
        {"effects": "dithering"}, is_form=False
    )


def test_several_parameters_at_fault_are_each_named() -> None:
    asked = [{"name": "dithering", "gamma": 9, "cell_mm": 0.5, "grout": 1}, {"name": "bw", "grain": "much"}]
    with pytest.raises(InvalidValueError) as caught:
        read_order({"effects": asked}, is_form=False)
    assert [fault.field for fault in caught.value.faults] == [
        "effects.dithering.gamma",
        "effects.dithering.grout",
        "effects.enhancedblackwhite.grain",
        "effects.dithering.cell_mm",
    ]


def test_json_numbers_must_be_numbers() -> None:
    with pytest.raises(InvalidValueError):
        read_order({"margin": "0.1"}, is_form=False)
    assert read_order({"margin": 0.1}, is_form=False).recipe.margin == 0.1
