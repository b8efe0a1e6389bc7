"""Whether the network sees photos sooner together than one after the other, on this CPU."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from bench.effort import Effort
from bench.engine import random_published
from bench.load import Drive
from bench.photo import PHOTO
from bench.rows import Row
from bench.timings import in_turns, timed
from worker.decode import decode
from worker.matting.devices import precisions
from worker.matting.folding import fold
from worker.matting.inspyrenet import InSPyReNet, build_inspyrenet
from worker.matting.layers import OneDnnLayers
from worker.matting.saliency import square
from worker.matting.weights import name_of, read_published

_SIDE_PX = 384
_TOGETHER = (2, 4)


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Measure the network alone, on batches and on their photos in turns."""
    del drive  # nothing is served
    tensors = fold(read_published(random_published(data)))
    small = square(decode(PHOTO.read_bytes()).rgb, _SIDE_PX)
    rows: list[Row] = []
    for precision in precisions(torch.device("cpu")):
        network = build_inspyrenet(tensors, OneDnnLayers(precision), _SIDE_PX)
        rows += _rows(network, small, name_of(precision), effort.pictures)
    return rows


def _rows(network: InSPyReNet, small: Tensor, precision: str, rounds: int) -> Iterator[Row]:
    for count in _TOGETHER:
        what = f"{count} photos together at {_SIDE_PX}, {precision}"
        alone = partial(_one_after_the_other, network, [small] * count)
        turns = in_turns(
            what, rounds, timed(partial(network.together, small.repeat(count, 1, 1, 1))), timed(alone)
        )
        ours_ms, theirs_ms = median(turns.ours) * 1000, median(turns.theirs) * 1000
        yield Row(what=what, unit="ms", ours=ours_ms, theirs=theirs_ms)


def _one_after_the_other(network: InSPyReNet, photos: list[Tensor]) -> list[Tensor]:
    return [network(photo) for photo in photos]
