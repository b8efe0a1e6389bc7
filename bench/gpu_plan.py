"""What the benchmark of a GPU measures, and on which weights: random ones, made here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from bench.device_clock import Clock, clock_of
from bench.photo import PHOTO
from bench.random_checkpoint import random_state
from bench.rows import Row
from worker.matting.devices import precisions
from worker.matting.digests import Digests
from worker.matting.folding import fold, relative_position_index
from worker.matting.published import shapes
from worker.matting.weights import Weights, name_of, write_converted

#: Batch norms of what is summed over all pixels.
_SUMMED = ("conv_key.0.bn.running_var", "conv_value.0.bn.running_var")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured, and on what."""

    device: torch.device
    folder: Path  #: where the weights of both sides are put
    tensors: dict[str, Tensor]  #: as they are published
    photo: Path = PHOTO
    engine: str = "inspyrenet-base"  #: of whole photos, beside the package
    sides_px: tuple[int, ...] = (384, 1024)  #: of the network; many in flight are seen at the last
    batches: tuple[int, ...] = (2, 4, 8)  #: beside one photo at a time
    rounds: int = 10
    starts: int = 3
    photos_a_start: int = 3
    photos: int = 64
    in_flight: int = 16

    @cached_property
    def clock(self) -> Clock:
        """The device's."""
        return clock_of(self.device)

    @cached_property
    def folded(self) -> dict[str, Tensor]:
        """The weights as our network takes them."""
        return fold(self.tensors)

    @property
    def fastest(self) -> torch.dtype:
        """What the device multiplies fastest."""
        return precisions(self.device)[0]

    @cached_property
    def published(self) -> Path:
        """The weights' file as the package publishes its own."""
        file = self.folder / "random.pth"
        torch.save(self.tensors, file)
        return file

    @cached_property
    def converted(self) -> Path:
        """The weights' file as we convert it, as if the fastest precision had passed ``model verify``."""
        file, passed = (
            self.folder / "random.safetensors",
            {name_of(self.fastest): {"device": self.device.type}},
        )
        sha256 = Digests.begin(self.published).sha256
        weights = Weights(tensors=self.folded, sha256=sha256, verified=passed)
        write_converted(weights, self.engine, torch.float32, file)
        return file

    def once_s(self, call: Callable[[], object]) -> float:
        """Return how long the device takes for a call."""
        first = self.clock.mark()
        call()
        return self.clock.seconds(first, self.clock.mark())

    def median_s(self, call: Callable[[], object]) -> float:
        """Return how long the device takes for a call; two beforehand are thrown away."""
        return median([self.once_s(call) for _ in range(self.rounds + 2)][2:])


def ms(what: str, ours_s: float, theirs_s: float | None = None, **targets: Any) -> Row:
    """Return a row of times."""
    theirs_ms = None if theirs_s is None else theirs_s * 1000
    return Row(what=what, unit="ms", ours=ours_s * 1000, theirs=theirs_ms, **targets)


def random_published() -> dict[str, Tensor]:
    """Return random tensors of the published names; what is summed over a million pixels is brought down."""
    empty = {name: torch.empty(shape) for name, shape in shapes()}
    index = relative_position_index()
    known = {name: index for name in empty if name.endswith("relative_position_index")}
    small = {name: torch.full_like(t, 1e10) for name, t in empty.items() if name.endswith(_SUMMED)}
    return random_state(empty | known, 0) | small
