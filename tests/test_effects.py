"""Every effect in the catalogue can be rendered, sees only the subject, and gives the same bytes again."""

import json
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.catalogue import EFFECTS
from shared.parameters import Choice, Color, Number, Parameter, Switch, WholeNumber
from tests.pictures import cut_out
from worker.effects import RENDERERS, Look

LOOK = Look(subject_px=1000, seed=7)
#: These say so; all others pass it through.
CHANGES_ALPHA = {"retro8bit", "outline", "shadow"}


def test_the_catalogue_and_the_renderers_name_the_same_effects_field_report_18() -> None:
    assert list(RENDERERS) == list(EFFECTS)
    assert isinstance(RENDERERS, MappingProxyType)


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_leaves_its_arguments_alone_and_keeps_hidden_pixels_black(name: str) -> None:
    rgb, alpha = cut_out()
    before = rgb.copy(), alpha.copy()
    rendered, opacity = RENDERERS[name](rgb, alpha, EFFECTS[name].defaults(), LOOK)
    assert np.array_equal(rgb, before[0])
    assert np.array_equal(alpha, before[1])
    assert (rendered.shape, rendered.dtype, opacity.dtype) == (rgb.shape, np.uint8, np.uint8)
    assert np.array_equal(opacity, alpha) != (name in CHANGES_ALPHA)
    assert not rendered[opacity == 0].any()


@pytest.mark.parametrize("name", EFFECTS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_whatever_lies_under_no_opacity_changes_nothing(name: str, data) -> None:
    alpha = data.draw(arrays(np.uint8, (24, 20), elements=st.sampled_from([0, 0, 7, 128, 255])))
    alpha[12, 10] |= 1  # an effect is given a subject, however faint
    rgb = np.random.default_rng(1).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    garbage = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 256, rgb.shape, dtype=np.uint8)
    look, parameters = Look(subject_px=24, seed=3, px_per_mm=4), data.draw(parameters_of(name))
    is_hidden = alpha[..., np.newaxis] == 0
    one, other = (
        RENDERERS[name](np.where(is_hidden, hidden, rgb), alpha, parameters, look)
        for hidden in (np.uint8(0), garbage)
    )
    if name != "color":  # which is given, and gives, the pixels as they are
        assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])


@pytest.mark.parametrize("name", EFFECTS)
def test_the_same_seed_gives_the_same_picture_field_report_29(name: str) -> None:
    pictures = [RENDERERS[name](*cut_out(), EFFECTS[name].defaults(), LOOK) for _ in range(2)]
    assert np.array_equal(pictures[0][0], pictures[1][0])
    assert np.array_equal(pictures[0][1], pictures[1][1])


def values_of(parameter: Parameter) -> st.SearchStrategy:
    match parameter:
        case WholeNumber(minimum=minimum, maximum=maximum):
            return st.integers(int(minimum), int(maximum))
        case Number(minimum=minimum, maximum=maximum):
            return st.floats(minimum, maximum)
        case Switch():
            return st.booleans()
        case Choice(choices=choices):
            return st.sampled_from(choices)
        case Color():
            return st.sampled_from(["#000000", "#ffffff", "#12ab9f"])
    raise AssertionError(parameter)


@st.composite
def parameters_of(draw, name: str):
    """Draw a value for each parameter, and for one without a default only now and then."""
    return {
        p.name: draw(values_of(p))
        for p in EFFECTS[name].parameters
        if p.default is not None or draw(st.booleans())
    }


@pytest.mark.parametrize("name", EFFECTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_effect_can_be_rendered_at_any_size_and_with_any_parameters(name: str, data) -> None:
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    rgb = data.draw(arrays(np.uint8, (*shape, 3), elements=st.integers(0, 255)))
    alpha = data.draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 128, 255])))
    alpha[data.draw(st.integers(0, shape[0] - 1))] |= 1
    rgb[alpha == 0] = 0
    look = Look(
        subject_px=data.draw(st.integers(1, 12_000)),
        seed=data.draw(st.integers(0, 2**64 - 1)),
        px_per_mm=data.draw(st.floats(0.001, 100)),
    )
    rendered, opacity = RENDERERS[name](rgb, alpha, data.draw(parameters_of(name)), look)
    assert (rendered.shape, opacity.shape) == (rgb.shape, alpha.shape)
    assert not rendered[opacity == 0].any()
    assert opacity.any()
    if name not in CHANGES_ALPHA:
        assert np.array_equal(opacity, alpha)


#: Renders each effect on a subject that fills its box, and prints by how much the process grew at most.
MEASURE = """
import json, re, numpy as np
from shared.catalogue import EFFECTS
from worker.effects import RENDERERS, Look

def resident(what):
    return 1024 * int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1])

def grown(name, rgb, alpha, parameters, look):
    RENDERERS[name](rgb[:64, :64].copy(), alpha[:64, :64].copy(), parameters, look)
    open("/proc/self/clear_refs", "w").write("5")  # what is resident now is the peak from here on
    before = resident("VmRSS")
    RENDERERS[name](rgb, alpha, parameters, look)
    return (resident("VmHWM") - before) / alpha.size

rgb = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
alpha = np.full(rgb.shape[:2], 255, np.uint8)
alpha[:200] = 0
alpha[200:300, 100:300] = 77
look = Look(subject_px=2000, seed=1)
used = {}
for name, effect in EFFECTS.items():
    finest = {p.name: p.minimum for p in effect.parameters if p.name.endswith("_pm")}
    used[name] = grown(name, rgb, alpha, effect.defaults(), look)
    used[f"{name}, finest"] = grown(name, rgb, alpha, effect.defaults() | finest, look)
print(json.dumps(used))
"""


def test_an_effect_needs_at_most_40_bytes_a_pixel_whoever_allocates_them_field_report_15() -> None:
    root = Path(__file__).resolve().parent.parent
    # Without a threshold that grows, freed arrays go back to the system and the next effect's are seen.
    environment = {"MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    bytes_a_pixel = json.loads(done.stdout)
    assert len(bytes_a_pixel) == 2 * len(EFFECTS)
    assert {name: used for name, used in bytes_a_pixel.items() if used > 40} == {}
    assert max(bytes_a_pixel.values()) > 3, "nothing was measured"


def test_color_is_the_cut_out_as_it_is() -> None:
    rgb, alpha = cut_out()
    rendered, opacity = RENDERERS["color"](rgb, alpha, {}, LOOK)
    assert np.array_equal(rendered, rgb)
    assert np.array_equal(opacity, alpha)
