"""The network on a device, beside the published package's: each precision, batches, and each part's time."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from bench.device_clock import Spans
from bench.gpu_plan import Plan, ms
from bench.package_on_device import PackageOnDevice
from bench.rows import Row
from bench.timings import Timings, in_turns
from worker.decode import decode
from worker.matting.devices import layers_for, precisions
from worker.matting.inspyrenet import InSPyReNet, build_inspyrenet
from worker.matting.saliency import square
from worker.matting.weights import name_of

#: The fastest precision's, of the package's eager float32.
_FORWARD = 1 / 8


def networks(plan: Plan) -> Iterator[Row]:
    """Measure upload and network; theirs is the package's as it is, in float32, in turns with ours."""
    rgb = decode(plan.photo.read_bytes()).rgb
    with PackageOnDevice() as package:
        for side_px in plan.sides_px:
            package.load_on(str(plan.device), plan.published, side_px)
            small = square(rgb, side_px)
            for precision in precisions(plan.device):
                yield _forward(plan, package, small, precision)
            yield from _batches(plan, package, small)


def _forward(plan: Plan, package: PackageOnDevice, small: Tensor, precision: torch.dtype) -> Row:
    what = f"upload and network at {small.shape[1]}, {name_of(precision)}"
    turns = _turns(plan, package, _network(plan, small, precision), small, what)
    target = _FORWARD if precision is plan.fastest else None
    return ms(what, median(turns.ours), median(turns.theirs), ratio_at_most=target)


def _batches(plan: Plan, package: PackageOnDevice, small: Tensor) -> Iterator[Row]:
    network = _network(plan, small, plan.fastest)
    for number in plan.batches:
        what = f"{number} photos together at {small.shape[1]}, {name_of(plan.fastest)}"
        turns = _turns(plan, package, network, small.repeat(number, 1, 1, 1), what)
        yield ms(f"{what}; theirs one by one", median(turns.ours), median(turns.theirs))


def _turns(plan: Plan, package: PackageOnDevice, network: InSPyReNet, photos: Tensor, what: str) -> Timings:
    pixels = photos.numpy()
    ours = partial(network.together, photos)
    plan.once_s(ours)  # one more is thrown away: the first of a shape chooses its kernels
    return in_turns(what, plan.rounds, lambda: [plan.once_s(ours)], lambda: [package.forward(pixels)])


def _network(plan: Plan, small: Tensor, precision: torch.dtype) -> InSPyReNet:
    return build_inspyrenet(plan.folded, layers_for(plan.device, precision), small.shape[1])


def parts(plan: Plan) -> Iterator[Row]:
    """Measure how long each part of our network takes, in the fastest precision, one photo at a time."""
    rgb = decode(plan.photo.read_bytes()).rgb
    for side_px in plan.sides_px:
        small, spans = square(rgb, side_px), Spans(plan.clock)
        network = _marked(_network(plan, small, plan.fastest), spans)
        rounds = [_taken(plan, network, small, spans) for _ in range(plan.rounds + 2)][2:]
        for name in rounds[0]:
            what = f"of that {name}, at {side_px}, {name_of(plan.fastest)}"
            yield ms(what, median(taken[name] for taken in rounds))


def _taken(plan: Plan, network: InSPyReNet, small: Tensor, spans: Spans) -> dict[str, float]:
    whole_s = plan.once_s(lambda: network(small))
    taken = spans.taken()
    return taken | {"all else": whole_s - sum(taken.values())}


def _marked(network: InSPyReNet, spans: Spans) -> InSPyReNet:
    """Return a network of which each part is marked; it cannot be told from the network but for that."""
    marked: dict[str, Any] = {
        "backbone": spans.around("backbone", network.backbone),
        "encoders": tuple(spans.around("contexts", encoder) for encoder in network.encoders),
        "decoder": spans.around("decoder", network.decoder),
    }
    for name in ("sica2", "sica1", "sica0"):
        marked[name] = spans.around_steps(name.upper(), getattr(network, name))
    return replace(network, **marked)
