"""What a GPU makes of photos: the network in each precision, the subject's own colour, photos in flight.

    python -m bench.gpu        # make bench-gpu; minutes, on a machine with a CUDA device

Weights are random, made here: numbers take as long.  Rows are kept after every stage, so that a machine that
is lent for minutes leaves what it has measured.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.device_clock import Clock, CudaClock, MarkedQueue
from bench.engine_side import disc
from bench.machine import ROOT, Machine, this_machine
from bench.photo import PHOTO
from bench.random_checkpoint import random_state
from bench.rows import Row, table, write
from worker.decode import decode
from worker.foreground import estimate_foreground
from worker.matting.device_foreground import estimate_foreground_on
from worker.matting.devices import choose_device, layers_for, precisions
from worker.matting.folding import fold, relative_position_index
from worker.matting.inspyrenet import build_inspyrenet
from worker.matting.inspyrenet_engine import InspyrenetOnCuda
from worker.matting.published import shapes
from worker.matting.saliency import enlarged, square
from worker.matting.transparent_background import network, normalised
from worker.matting.weights import name_of

_DISC_PX = 1024
#: Batch norms of what is summed over all pixels.
_SUMMED = ("conv_key.0.bn.running_var", "conv_value.0.bn.running_var")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured, and on what."""

    device: torch.device
    clock: Clock
    tensors: dict[str, Tensor]  #: as they are published
    folded: dict[str, Tensor]  #: as our network takes them
    package: Callable[[Path, int, str], Any] | None  #: builds theirs, where it is installed
    photo: bytes = field(default_factory=PHOTO.read_bytes)
    sides_px: tuple[int, ...] = (384, 1024)
    rounds: int = 10
    photos: int = 64
    in_flight: int = 16

    def median_s(self, call: Callable[[], object]) -> float:
        """Return how long the device takes for a call; two beforehand are thrown away."""
        return median([self._once(call) for _ in range(self.rounds + 2)][2:])

    def _once(self, call: Callable[[], object]) -> float:
        first = self.clock.mark()
        call()
        return self.clock.seconds(first, self.clock.mark())


def networks(plan: Plan) -> Iterator[Row]:
    """Measure upload and network, one photo at a time; theirs is the package as it is, in float32."""
    rgb = decode(plan.photo).rgb
    for side_px in plan.sides_px:
        small = square(rgb, side_px)
        theirs_s = _theirs_s(plan, small)
        for precision in precisions(plan.device):
            ours = build_inspyrenet(plan.folded, layers_for(plan.device, precision), side_px)
            found_s = plan.median_s(partial(ours, small))
            yield _ms(f"upload and network at {side_px}, {name_of(precision)}", found_s, theirs_s)


def _theirs_s(plan: Plan, small: Tensor) -> float | None:
    if plan.package is None:
        return None
    side_px = small.shape[1]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "random.pth"
        torch.save(plan.tensors, file)
        theirs = plan.package(file, side_px, str(plan.device))
    image = normalised(small[0].numpy())
    with torch.inference_mode():
        return plan.median_s(lambda: theirs(image.to(plan.device)))


def foregrounds(plan: Plan) -> Iterator[Row]:
    """Measure the subject's own colour on the device, beside ours on the CPU."""
    rgb = decode(plan.photo).rgb
    alpha = enlarged(disc(_DISC_PX), *rgb.shape[:2]).numpy()
    found_s = plan.median_s(partial(estimate_foreground_on, plan.device, rgb, alpha))
    began = time.perf_counter()
    estimate_foreground(rgb, alpha)
    yield _ms("foreground, photo to photo; theirs is ours on the CPU", found_s, time.perf_counter() - began)


def wholes(plan: Plan) -> Iterator[Row]:
    """Measure photos from file to RGBA pixels, alone and many in flight, in what the device multiplies."""
    side_px = plan.sides_px[-1]
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
        whole, what = partial(_rgba, engine, plan.photo), f"at {side_px}, {name_of(precision)}"
        yield _ms(f"whole photo, {what}", plan.median_s(whole))
        yield from _in_flight(plan, queue, whole, what)


def _rgba(engine: InspyrenetOnCuda, photo: bytes) -> Any:
    rgb = decode(photo).rgb
    alpha = engine.alpha(rgb).alpha
    return np.dstack([engine.foreground(rgb, alpha), alpha])


def _in_flight(plan: Plan, queue: MarkedQueue, whole: Callable[[], object], what: str) -> Iterator[Row]:
    queue.marks.clear()
    began = time.perf_counter()
    with ThreadPoolExecutor(plan.in_flight) as clients:
        for asked in [clients.submit(whole) for _ in range(plan.photos)]:
            asked.result()
    wall_s = time.perf_counter() - began
    busy_s = sum(plan.clock.seconds(*marks) for marks in queue.marks)
    yield Row(what=f"{plan.in_flight} in flight, {what}", unit="photos/s", ours=plan.photos / wall_s)
    yield Row(what=f"device's share of that time, {what}", unit="%", ours=100 * busy_s / wall_s)


def _ms(what: str, ours_s: float, theirs_s: float | None = None) -> Row:
    return Row(what=what, unit="ms", ours=ours_s * 1000, theirs=theirs_s and theirs_s * 1000)


def random_published() -> dict[str, Tensor]:
    """Return random tensors of the published names; what is summed over a million pixels is brought down."""
    empty = {name: torch.empty(shape) for name, shape in shapes()}
    index = relative_position_index()
    known = {name: index for name in empty if name.endswith("relative_position_index")}
    small = {name: torch.full_like(t, 1e10) for name, t in empty.items() if name.endswith(_SUMMED)}
    return random_state(empty | known, 0) | small


STAGES = (networks, foregrounds, wholes)


def run(plan: Plan, machine: Machine, folder: Path) -> list[Row]:
    """Carry a plan out; keep what there is after every row."""
    rows: list[Row] = []
    for stage in STAGES:
        for row in stage(plan):
            rows.append(row)
            write("gpu", rows, machine, folder)
    return rows


def main() -> None:
    """Measure on this machine's GPU, or say that there is none."""
    if not torch.cuda.is_available():
        sys.exit("There is no CUDA device here: nothing was measured.")
    here = this_machine()
    machine = replace(here, cpu=f"{torch.cuda.get_device_name()} beside {here.cpu}")
    package = network if find_spec("transparent_background") else None
    tensors = random_published()
    plan = Plan(
        device=choose_device("cuda"),
        clock=CudaClock(),
        tensors=tensors,
        folded=fold(tensors),
        package=package,
    )
    rows = run(plan, machine, ROOT / "bench" / "results")
    print(f"{machine.sentence()}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
