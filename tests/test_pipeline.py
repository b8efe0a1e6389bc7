"""A photo becomes every picture its recipe asks for, the same each time, or an error that says why not."""

import io
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import psutil
import pytest
from PIL import Image

from shared.catalogue import EFFECTS
from shared.errors import ImageCorruptError, InvalidValueError, NoSubjectError
from shared.logs import bound, bound_fields
from shared.recipes import EffectRequest, Recipe
from tests.pictures import opened, photo, saved, scene
from tests.test_effects import CHANGES_ALPHA
from tests.test_photo_gate import exif
from worker.matting import Matting, MattingModel
from worker.matting.disc import DiscModel
from worker.matting.grabcut import GrabCut
from worker.pipeline import Artifact, Rendered, render

EVERY_EFFECT = tuple(EffectRequest(name=name) for name in EFFECTS)


@dataclass
class Run:
    """One photo on its way through the pipeline."""

    recipe: Recipe = field(default_factory=Recipe)
    model: MattingModel = field(default_factory=DiscModel)
    stages: list[str] = field(default_factory=list)
    pictures: dict[str, Artifact] = field(default_factory=dict)
    watch: Callable[[str], None] = str

    def __call__(self, data: bytes) -> Rendered:
        return render(data, self.recipe, self.model, self._checkpoint, self._keep)

    def _checkpoint(self, stage: str) -> None:
        self.stages.append(stage)
        self.watch(stage)

    def _keep(self, artifact: Artifact) -> None:
        assert artifact.name not in self.pictures
        self.pictures[artifact.name] = artifact

    def pixels(self, name: str):
        return opened(self.pictures[name].data)


@dataclass(frozen=True)
class Truth:
    """An engine that was told the answer."""

    matte: np.ndarray
    has_subject: bool = True
    name: str = "truth"
    version: str = "1"
    checkpoint_sha256: str | None = None

    def alpha(self, rgb) -> Matting:
        assert rgb.shape[:2] == self.matte.shape
        return Matting(alpha=self.matte, has_subject=self.has_subject)


def test_a_photo_becomes_its_effects_a_matte_and_a_preview() -> None:
    run = Run(recipe=Recipe(effects=EVERY_EFFECT))
    rendered = run(photo("raccoon"))
    assert list(run.pictures) == [*EFFECTS, "matte", "preview"]
    for name in EFFECTS:
        pixels = run.pixels(name)
        assert pixels.shape == (768, 1024, 4)
        assert not pixels[pixels[..., 3] == 0].any()
        assert name in CHANGES_ALPHA or np.array_equal(pixels[..., 3], run.pixels("matte"))
    assert rendered.input["width"] == 1024
    assert rendered.subject.box[2:] == (616, 616)
    assert rendered.print is None
    assert set(rendered.timings_ms["effects"]) == set(EFFECTS)
    assert set(rendered.timings_ms) == {"decode", "matte", "foreground", "effects", "encode"}
    assert all(rendered.timings_ms[stage] > 0 for stage in ("decode", "matte", "foreground", "encode"))


def test_the_cut_out_has_the_subjects_own_colour_along_its_rim() -> None:
    truth = scene()
    run = Run(model=Truth(truth.alpha))
    run(saved(Image.fromarray(truth.rgb), "PNG"))
    found = run.pixels("color")
    is_seen = truth.alpha > 0
    error = np.abs(found[is_seen][:, :3].astype(float) - truth.foreground[is_seen]).mean() / 255
    untouched = np.abs(truth.rgb[is_seen].astype(float) - truth.foreground[is_seen]).mean() / 255
    assert np.array_equal(found[..., 3], truth.alpha)
    assert error < untouched / 3


@pytest.mark.parametrize("engine", [DiscModel(), GrabCut()])
def test_the_same_photo_gives_the_same_bytes_field_report_29_and_30(engine: MattingModel) -> None:
    runs = [
        Run(recipe=Recipe(effects=EVERY_EFFECT, crop="subject", max_side=300), model=engine) for _ in range(2)
    ]
    for run in runs:
        run(photo("cat"))
    assert runs[0].pictures == runs[1].pictures


@dataclass(frozen=True)
class Glancer:
    """An engine that makes do with a glimpse, and remembers what it was shown."""

    glimpse_side_px: int = 200
    fault: Exception | None = None
    shown: list[tuple[int, ...]] = field(default_factory=list)
    name: str = "glancer"
    version: str = "1"
    checkpoint_sha256: str | None = None

    def alpha(self, rgb) -> Matting:
        self.shown.append(rgb.shape)
        return DiscModel().alpha(rgb)

    def alpha_of_glimpse(self, small, height: int, width: int) -> Matting:
        self.shown.append(small.shape)
        if self.fault:
            raise self.fault
        return DiscModel().alpha(np.zeros((height, width, 3), np.uint8))


def test_an_engine_that_makes_do_with_a_glimpse_is_not_kept_waiting_for_the_whole_photo() -> None:
    glancer = Glancer()
    runs = [Run(model=glancer), Run()]
    for run in runs:
        run(photo("raccoon"))
    assert glancer.shown == [(288, 384, 3)]
    assert runs[0].stages == ["decode", "matte", "decode", "foreground", *runs[0].stages[4:]]
    assert runs[0].pictures == runs[1].pictures


def test_an_engine_is_shown_the_whole_photo_where_there_is_no_glimpse() -> None:
    glancer = Glancer()
    Run(model=glancer)(saved(Image.fromarray(scene().rgb), "PNG"))
    assert glancer.shown == [(240, 320, 3)]


def test_what_is_logged_beside_the_engine_still_says_which_job_it_is_about(caplog) -> None:
    told = []
    caplog.handler.addFilter(lambda record: told.append((record.message, bound_fields())) or True)
    with Image.open(io.BytesIO(photo("raccoon"))) as image:
        data = saved(image, "JPEG", icc_profile=b"no profile at all" * 20)
    with bound(job_id="job_1"), caplog.at_level(logging.INFO):
        Run(model=Glancer())(data)
    assert told == [("photo.profile_unusable", {"job_id": "job_1"})] * 2


def test_neither_side_loses_its_fault_when_both_work_at_once() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        Run(model=Glancer(fault=RuntimeError("a bug")))(photo("raccoon"))
    with pytest.raises(ImageCorruptError):
        Run(model=Glancer())(photo("raccoon")[:100_000])


def test_results_keep_the_resolution_of_the_photo_field_report_28() -> None:
    run = Run()
    run(photo("raccoon-12mp"))
    assert (run.pictures["color"].width, run.pictures["color"].height) == (4032, 3024)


def test_results_of_a_turned_photo_are_upright_field_report_11() -> None:
    run = Run()
    sideways = Image.open(io.BytesIO(photo("cat"))).rotate(90, expand=True)
    rendered = run(saved(sideways, "JPEG", exif=exif(6)))
    assert (rendered.input["width"], rendered.input["height"]) == (451, 300)
    assert run.pictures["color"].width == run.pictures["matte"].width == 451


def test_the_matte_shows_the_whole_photo_whatever_is_cropped() -> None:
    run = Run(recipe=Recipe(crop="subject", margin=0, max_side=100))
    rendered = run(photo("cat"))
    assert (run.pictures["color"].width, run.pictures["color"].height) == (100, 100)
    assert (run.pictures["matte"].width, run.pictures["matte"].height) == (451, 300)
    x, y, width, height = rendered.subject.box
    assert run.pixels("matte")[y : y + height, x : x + width].max(axis=0).min() > 25


def test_what_is_transparent_in_the_photo_stays_transparent() -> None:
    rgba = np.dstack((scene().rgb, np.full((240, 320), 255, np.uint8)))
    rgba[:, :160, 3] = 0
    rgba[:, 160:200, 3] = 128
    rgba[110:130, 230:250, 3] = 0
    run = Run()
    rendered = run(saved(Image.fromarray(rgba), "PNG"))
    alpha = run.pixels("matte")
    assert not alpha[:, :160].any()
    assert (alpha[120, 170], alpha[120, 210]) == (128, 255)
    assert rendered.subject.box[0] == 160
    shown = run.pixels("color")  # nor does the file keep the colours that were hidden
    assert not shown[:, :160].any()
    assert not shown[110:130, 230:250].any()


@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 255, 255), (0, 255, 0)])
def test_a_cut_out_comes_back_in_its_own_colours_whatever_its_file_hides(hidden) -> None:
    """Its soft rim is not mixed with what is hidden beside it, and so must not be unmixed."""
    alpha = scene(rim_px=24).alpha
    rgb = np.where(alpha[..., np.newaxis] > 0, np.uint8((120, 80, 40)), np.uint8(hidden))
    run = Run(model=Truth(alpha))
    run(saved(Image.fromarray(np.dstack((rgb, alpha))), "PNG"))
    shown = run.pixels("color")
    assert (shown[shown[..., 3] > 0][:, :3] == (120, 80, 40)).all()
    assert not shown[shown[..., 3] == 0].any()


@dataclass
class Onlooker:
    """An engine that remembers what it was shown."""

    seen: np.ndarray | None = None
    name: str = "onlooker"
    version: str = "1"
    checkpoint_sha256: str | None = None

    def alpha(self, rgb) -> Matting:
        self.seen = rgb.copy()
        return DiscModel().alpha(rgb)


def test_an_engine_is_shown_grey_where_the_photo_is_transparent_and_not_what_is_hidden_there() -> None:
    rgba = np.dstack((scene().rgb, np.full((240, 320), 255, np.uint8)))
    rgba[:, :160, 3] = 0
    onlooker = Onlooker()
    Run(model=onlooker)(saved(Image.fromarray(rgba), "PNG"))
    assert onlooker.seen is not None
    assert (onlooker.seen[:, :160] == 128).all()
    assert np.array_equal(onlooker.seen[:, 160:], scene().rgb[:, 160:])


def test_a_print_size_brings_a_verdict_and_a_resolution() -> None:
    run = Run(recipe=Recipe(crop="subject", print_width_mm=50, print_height_mm=50))
    rendered = run(photo("raccoon"))
    assert rendered.print is not None
    assert rendered.print["verdict"] == "ok"
    with Image.open(io.BytesIO(run.pictures["color"].data)) as image:
        assert image.info["dpi"][0] == pytest.approx(rendered.print["effective_dpi"], abs=0.1)


@pytest.mark.parametrize("form", ["png", "webp", "jpeg"])
def test_every_format_can_be_asked_for(form: str) -> None:
    run = Run(recipe=Recipe(format=form, background="#ffffff"))
    run(photo("cat"))
    assert run.pictures["color"].content_type == f"image/{form}"
    assert run.pixels("color").shape == (300, 451, 3)


def test_a_photo_without_a_subject_says_so() -> None:
    with pytest.raises(NoSubjectError):
        Run(model=DiscModel(is_blind=True))(photo("cat"))
    with pytest.raises(NoSubjectError):
        Run(model=GrabCut())(saved(Image.new("RGB", (64, 64), "white"), "PNG"))


@pytest.mark.parametrize("crop", ["none", "subject"])
def test_a_crop_of_an_empty_subject_says_so_too(crop: str) -> None:
    """The engine sees something, but the photo itself is transparent there."""
    hidden = np.dstack((scene().rgb, np.zeros((240, 320), np.uint8)))
    with pytest.raises(NoSubjectError):
        Run(recipe=Recipe(crop=crop, max_side=64))(saved(Image.fromarray(hidden), "PNG"))


def test_an_engine_that_sees_no_subject_is_believed_whatever_its_matte_looks_like() -> None:
    haze = Truth(np.full((300, 451), 200, np.uint8), has_subject=False)
    with pytest.raises(NoSubjectError):
        Run(model=haze)(photo("cat"))


def test_a_corrupt_photo_says_so_and_leaves_nothing() -> None:
    run = Run()
    with pytest.raises(ImageCorruptError):
        run(photo("cat")[:20_000])
    assert run.pictures == {}


def test_a_recipe_that_cannot_be_made_is_refused_before_the_photo_is_touched() -> None:
    run = Run(recipe=Recipe(format="jpeg"))
    with pytest.raises(InvalidValueError):
        run(photo("cat"))
    assert run.stages == []


class StopError(Exception):
    """The job was cancelled."""


def stages_of_one_run() -> list[str]:
    run = Run(recipe=Recipe(effects=EVERY_EFFECT))
    run(photo("cat"))
    return run.stages


def test_work_that_is_stopped_at_once_does_not_even_look_at_the_photo() -> None:
    def stop(stage: str) -> None:
        raise StopError(stage)

    with pytest.raises(StopError, match="decode"):
        Run(watch=stop)(b"no photo at all")


@pytest.mark.parametrize("moment", range(len(stages_of_one_run())), ids=stages_of_one_run())
def test_the_work_can_be_stopped_before_every_stage(moment: int) -> None:
    def stop(stage: str) -> None:
        if len(run.stages) == moment + 1:
            raise StopError(stage)

    run = Run(recipe=Recipe(effects=EVERY_EFFECT), watch=stop)
    with pytest.raises(StopError):
        run(photo("cat"))
    assert len(run.stages) == moment + 1


#: No recipe that was checked on submission holds it: a bug.
WRONG = {"contrast": "much"}


@dataclass(frozen=True)
class Broken:
    """An engine that fails."""

    error: Exception
    name: str = "broken"
    version: str = "1"
    checkpoint_sha256: str | None = None

    def alpha(self, rgb) -> Matting:
        del rgb
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError()])
def test_what_a_model_raises_is_not_swallowed(error: Exception) -> None:
    with pytest.raises(type(error)):
        Run(model=Broken(error))(photo("cat"))


def test_what_an_effect_raises_is_not_swallowed_field_report_17() -> None:
    run = Run(
        recipe=Recipe(effects=(EVERY_EFFECT[0], EffectRequest(name="enhancedblackwhite", parameters=WRONG)))
    )
    with pytest.raises(TypeError):
        run(photo("cat"))
    assert list(run.pictures) == ["color"]


def test_an_earlier_pictures_record_without_every_parameter_is_rendered_with_the_defaults() -> None:
    bare, full = Run(recipe=Recipe(effects=(EVERY_EFFECT[1],))), Run()
    parameters = {p.name: p.default for p in EFFECTS["enhancedblackwhite"].parameters}
    full.recipe = Recipe(effects=(EffectRequest(name="enhancedblackwhite", parameters=parameters),))
    for run in (bare, full):
        run(photo("cat"))
    assert bare.pictures == full.pictures


class PeakMemory(threading.Thread):
    """Watches from beside the work how much memory the process holds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process, self._done = psutil.Process(), threading.Event()
        self.before = self.peak = self._process.memory_info().rss

    def run(self) -> None:
        while not self._done.wait(0.003):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()


def test_a_12_megapixel_photo_needs_at_most_60_bytes_a_pixel_and_100_mb_field_report_15() -> None:
    with PeakMemory() as memory:
        Run(recipe=Recipe(effects=EVERY_EFFECT))(photo("raccoon-12mp"))
    assert memory.peak - memory.before < 60 * 4032 * 3024 + 100_000_000


class _OnDevice(DiscModel):
    """An engine whose device finds the subject's colour: green, so that it is seen to have been asked."""

    def foreground(self, rgb, alpha):
        assert rgb.shape[:2] == alpha.shape
        return np.where(alpha[..., np.newaxis] > 0, np.array([0, 255, 0], np.uint8), np.uint8(0))


def test_an_engine_whose_device_finds_the_subjects_colour_is_asked_for_it() -> None:
    run = Run(model=_OnDevice())
    run(photo("cat"))
    pixels = run.pixels("color")
    assert (pixels[pixels[..., 3] > 0][:, :3] == (0, 255, 0)).all()
