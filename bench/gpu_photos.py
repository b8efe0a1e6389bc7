"""Photos on a device: whole ones beside the published package, the subject's own colour, many in flight."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.device_clock import MarkedQueue
from bench.engine_process import Photo, started
from bench.engine_side import disc
from bench.gpu_plan import Plan, ms
from bench.progress import track
from bench.rows import Row
from worker.decode import decode
from worker.foreground import estimate_foreground
from worker.matting.device_foreground import estimate_foreground_on
from worker.matting.devices import layers_for, precisions
from worker.matting.inspyrenet import build_inspyrenet
from worker.matting.inspyrenet_engine import InspyrenetOnCuda
from worker.matting.saliency import enlarged
from worker.matting.weights import name_of

_DISC_PX = 1024
_WHOLE, _BUSY_PERCENT = 1 / 10, 80.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What one process of a side took; its first photo warms it."""

    torch_s: float
    loaded_s: float
    ready_s: float
    photos: Sequence[Photo]


def wholes(plan: Plan) -> Iterator[Row]:
    """Start both sides in turns, each in a process of its own, and have each make photos RGBA pixels."""
    ours, theirs = [], []
    for _ in track(range(plan.starts), "gpu, starts and whole photos"):
        ours.append(_start(plan, "ours", plan.converted))
        theirs.append(_start(plan, "theirs", plan.published))
    # By itself: ours reads its file meanwhile, which may hold it up.
    torch_s = median(start.torch_s for start in theirs)
    yield _beside("loaded, beyond import torch", ours, theirs, lambda start: start.loaded_s - torch_s)
    yield _beside("exec to loaded", ours, theirs, lambda start: start.loaded_s)
    yield _beside("exec to one real photo", ours, theirs, lambda start: start.ready_s)
    what = f"{plan.engine}, {name_of(plan.fastest)}"
    yield _beside(f"whole photo, {what}", ours, theirs, _whole_s, ratio_at_most=_WHOLE)
    yield _beside(f"whole photo without the network, {what}", ours, theirs, _rest_s)
    yield _peak("host's", ours[-1].photos[-1].peak_bytes, theirs[-1].photos[-1].peak_bytes)
    if plan.device.type == "cuda":
        devices = ours[-1].photos[-1].device_peak_bytes, theirs[-1].photos[-1].device_peak_bytes
        yield _peak("device's", *devices)


def _start(plan: Plan, side: str, checkpoint: Path) -> _Start:
    with started(side, checkpoint, engine=plan.engine, device=plan.device.type) as process:
        first = process.photo(plan.photo)
        ready_s = time.monotonic() - process.began_s
        more = [process.photo(plan.photo) for _ in range(plan.photos_a_start)]
    return _Start(
        torch_s=process.torch_s,
        loaded_s=process.loaded_s,
        ready_s=ready_s,
        photos=[first, *more],
    )


def _beside(
    what: str,
    ours: Sequence[_Start],
    theirs: Sequence[_Start],
    seconds: Callable[[_Start], float],
    **targets: float,
) -> Row:
    return ms(what, median(map(seconds, ours)), median(map(seconds, theirs)), **targets)


def _whole_s(start: _Start) -> float:
    return median(photo.seconds for photo in start.photos[1:])


def _rest_s(start: _Start) -> float:
    return median(photo.seconds - photo.network_s for photo in start.photos[1:])


def _peak(whose: str, ours: int, theirs: int) -> Row:
    return Row(what=f"peak of the {whose} memory", unit="MB", ours=ours / 1e6, theirs=theirs / 1e6)


def stages(plan: Plan) -> Iterator[Row]:
    """Measure what is done to a photo besides the network, beside ours on the CPU where that differs."""
    photo = plan.photo.read_bytes()
    rgb = decode(photo).rgb
    yield ms("decode", plan.median_s(partial(decode, photo)))
    alpha = enlarged(disc(_DISC_PX), *rgb.shape[:2]).numpy()
    found_s = plan.median_s(partial(estimate_foreground_on, plan.device, rgb, alpha))
    began = time.perf_counter()
    estimate_foreground(rgb, alpha)
    yield ms("foreground, photo to photo; theirs is ours on the CPU", found_s, time.perf_counter() - began)


def flights(plan: Plan) -> Iterator[Row]:
    """Measure photos from file to RGBA pixels, alone and many in flight, in what the device multiplies."""
    side_px, photo = plan.sides_px[-1], plan.photo.read_bytes()
    for precision in precisions(plan.device):
        queue = MarkedQueue(plan.clock)
        engine = InspyrenetOnCuda(
            name="random",
            version="bench",
            checkpoint_sha256="",
            network=build_inspyrenet(plan.folded, layers_for(plan.device, precision), side_px),
            device_queue=queue,
            device=plan.device,
        )
        whole, what = partial(_rgba, engine, photo), f"at {side_px}, {name_of(precision)}"
        yield ms(f"photo alone, {what}", plan.median_s(whole))
        target = _BUSY_PERCENT if precision is plan.fastest else None
        yield from _in_flight(plan, queue, whole, what, target)


def _rgba(engine: InspyrenetOnCuda, photo: bytes) -> Any:
    rgb = decode(photo).rgb
    alpha = engine.alpha(rgb).alpha
    return np.dstack([engine.foreground(rgb, alpha), alpha])


def _in_flight(
    plan: Plan, queue: MarkedQueue, whole: Callable[[], object], what: str, at_least: float | None
) -> Iterator[Row]:
    queue.marks.clear()
    began = time.perf_counter()
    with ThreadPoolExecutor(plan.in_flight) as clients:
        for asked in [clients.submit(whole) for _ in range(plan.photos)]:
            asked.result()
    wall_s = time.perf_counter() - began
    busy = 100 * sum(plan.clock.seconds(*marks) for marks in queue.marks) / wall_s
    yield Row(what=f"{plan.in_flight} in flight, {what}", unit="photos/s", ours=plan.photos / wall_s)
    yield Row(what=f"device's share of that time, {what}", unit="%", ours=busy, at_least=at_least)
