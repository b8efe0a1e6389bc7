"""What happens to a photo: decode, alpha, foreground, subject, effects, encode.

The same photo, recipe and engine give the same bytes.  Whatever raises, raises out of here: no result is
left out in silence (field report 17).  Pictures leave one at a time, so that only one stands in memory.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shared.errors import NoSubjectError
from shared.recipes import EffectRequest, Recipe
from worker.arrays import OPAQUE, Alpha, Rgb, scale_alpha
from worker.decode import Glimpse, Photo, decode, glimpse
from worker.effects import RENDERERS, Look, parameters_of, reach_px
from worker.encode import Artifact, encode_matte, encode_preview, encode_result, require_encodable
from worker.foreground import estimate_foreground
from worker.matting import Glancing, Matting, MattingModel, Unmixing
from worker.printing import effective_dpi, judge_print
from worker.refinement import refine_edges
from worker.room import find_room
from worker.subject import Frame, Subject, find_subject, frame_subject, over

__all__ = ["Artifact", "Rendered", "render"]

#: What a model is shown where the photo itself is transparent.
_BEHIND = (128, 128, 128)
_MM_PER_INCH = 25.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What is known about a photo once its results are made."""

    input: dict[str, Any]
    subject: Subject
    print: dict[str, Any] | None
    timings_ms: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Stages:
    """Asks before each stage whether to go on, and measures how long it takes."""

    checkpoint: Callable[[str], None]
    timings_ms: dict[str, Any] = field(
        default_factory=lambda: {
            "decode": 0.0,
            "matte": 0.0,
            "foreground": 0.0,
            "effects": {},
            "encode": 0.0,
        }
    )

    @contextmanager
    def stage(self, name: str, *, effect: str | None = None) -> Iterator[None]:
        self.checkpoint(name if effect is None else f"{name}:{effect}")
        began = time.perf_counter()
        yield
        took_ms = (time.perf_counter() - began) * 1000
        place, key = (self.timings_ms, name) if effect is None else (self.timings_ms[name], effect)
        place[key] = round(place.get(key, 0.0) + took_ms, 1)


def render(
    data: bytes,
    recipe: Recipe,
    model: MattingModel,
    checkpoint: Callable[[str], None],
    keep: Callable[[Artifact], None],
) -> Rendered:
    """Make every picture that a recipe asks for.

    Parameters
    ----------
    data
        The photo's file.
    checkpoint
        Called with the name of each stage before it starts; what it raises ends the work.
    keep
        Called with each finished picture: effects under their canonical names, ``matte``, ``preview``.

    Raises
    ------
    PermanentError
        If the photo is at fault: the gate's errors, ``ImageCorruptError``, ``NoSubjectError``.
    """
    require_encodable(recipe)
    stages = _Stages(checkpoint)
    photo, matting = _seen(data, model, stages)
    if not matting.has_subject:
        raise NoSubjectError("No subject was found; upload a photo in which one stands out.")
    facts, seed = photo.public, photo.seed
    rgb, alpha = _cut_out(photo, _matte(photo, matting, recipe, stages), model, stages)
    del photo  # its pixels are not needed beside the cut-out's
    with stages.stage("foreground"):
        subject = find_subject(alpha)
        room_px = find_room(subject, recipe, alpha.shape)
        frame = frame_subject(rgb, alpha, subject, recipe, room_px=room_px)
        verdict = judge_print(frame, subject, recipe)
    del rgb
    preview = _render_effects(frame, recipe, seed, stages, keep)
    with stages.stage("encode"):
        matte = encode_matte(alpha)
    keep(matte)
    keep(preview)
    return Rendered(input=facts, subject=subject, print=verdict, timings_ms=stages.timings_ms)


def _seen(data: bytes, model: MattingModel, stages: _Stages) -> tuple[Photo, Matting]:
    """Return the photo and what the engine found in it; side by side, if a glimpse suffices the engine."""
    if isinstance(model, Glancing):
        with stages.stage("decode"):
            small = glimpse(data, model.glimpse_side_px)
        if small is not None:
            return _seen_at_a_glance(data, small, model, stages)
    with stages.stage("decode"):
        photo = decode(data)
    with stages.stage("matte"):
        return photo, model.alpha(_shown(photo))


def _shown(photo: Photo) -> Rgb:
    """Return a photo as it is seen: without the colours that its own opacity hides."""
    return photo.rgb if photo.alpha is None else over(photo.rgb, photo.alpha, _BEHIND)


def _seen_at_a_glance(data: bytes, small: Glimpse, model: Glancing, stages: _Stages) -> tuple[Photo, Matting]:
    with ThreadPoolExecutor(1, "decode") as beside:
        photo = beside.submit(copy_context().run, decode, data)  # with what logs are bound to
        with stages.stage("matte"):
            matting = model.alpha_of_glimpse(small.rgb, small.facts.height, small.facts.width)
        with stages.stage("decode"):
            return photo.result(), matting


def _matte(photo: Photo, matting: Matting, recipe: Recipe, stages: _Stages) -> Alpha:
    """Return the engine's matte, or that with the edges refined."""
    if recipe.edges == "plain":
        return matting.alpha
    with stages.stage("matte"):
        return refine_edges(_shown(photo), matting.alpha, matting.seen_px)


def _cut_out(photo: Photo, alpha: Alpha, model: MattingModel, stages: _Stages) -> tuple[Rgb, Alpha]:
    """Return the subject's own colour and its opacity."""
    unmix = model.foreground if isinstance(model, Unmixing) else estimate_foreground
    with stages.stage("foreground"):
        rgb = unmix(_shown(photo), alpha)
        if photo.alpha is None:
            return rgb, alpha
        # Where the file itself is not opaque its colour is the subject's own already.
        np.copyto(rgb, photo.rgb, where=(photo.alpha < OPAQUE)[..., np.newaxis])
        scaled = scale_alpha(alpha, photo.alpha)
        rgb[scaled == 0] = 0
    return rgb, scaled


def _render_effects(
    frame: Frame, recipe: Recipe, seed: int, stages: _Stages, keep: Callable[[Artifact], None]
) -> Artifact:
    """Render, encode and hand over each effect in turn; return the preview of the first."""
    preview, dpi = None, effective_dpi(frame, recipe)
    look = Look(subject_px=frame.subject.longer_side, seed=seed, px_per_mm=dpi and dpi / _MM_PER_INCH)
    for request in recipe.effects:
        with stages.stage("effects", effect=request.name):
            rgb, alpha = _render_effect(frame, request, look)
        with stages.stage("encode"):
            artifact = encode_result(request.name, rgb, alpha, recipe, dpi)
            preview = preview or encode_preview(rgb, alpha, recipe)
        del rgb, alpha
        keep(artifact)
    if preview is None:
        raise ValueError("a recipe has at least one effect; this one has none")
    return preview


def _render_effect(frame: Frame, request: EffectRequest, look: Look) -> tuple[Rgb, Alpha]:
    """Render one effect in the subject's box and as far beyond as it reaches; put it back in its place."""
    part = frame.work.grown(reach_px(request, look), frame.alpha.shape).slices
    rendered = RENDERERS[request.name](frame.rgb[part], frame.alpha[part], parameters_of(request), look)
    rgb, alpha = np.zeros_like(frame.rgb), np.zeros_like(frame.alpha)
    rgb[part], alpha[part] = rendered
    return rgb, alpha
