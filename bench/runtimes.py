"""Our network on torch, beside the same network under OpenVINO, without torch: start, forward and memory.

Both have the same random weights and are processes of their own.  ``make bench-runtimes`` installs OpenVINO.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import IO

import numpy as np
import torch

from bench.effort import Effort
from bench.engine import ENGINES, random_published
from bench.load import Drive
from bench.machine import ROOT
from bench.photo import PHOTO
from bench.progress import track
from bench.rows import Row
from bench.timings import Timings, in_turns
from worker.decode import decode
from worker.matting.digests import Digests
from worker.matting.folding import fold
from worker.matting.inspyrenet import InSPyReNet, build_inspyrenet
from worker.matting.layers import TorchLayers
from worker.matting.saliency import square
from worker.matting.swin import Block, attention
from worker.matting.weights import Weights, read_published, write_converted

_MAX_DIFFERENCE = 2e-4  #: what our own network may differ from the package's


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """A runtime that has loaded."""

    asked: IO[str]
    answers: IO[str]
    found: Path
    loaded_s: float  #: since exec

    def forward(self) -> dict[str, float]:
        """Have the photo seen; return ``seconds`` and ``peak_bytes``."""
        print(file=self.asked, flush=True)
        answer: dict[str, float] = json.loads(self.answers.readline())
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One size of the network: a file for each runtime, and a photo."""

    side_px: int
    models: dict[str, Path]
    photo: Path

    @contextmanager
    def start(self, runtime: str) -> Iterator[_Side]:
        """Run a runtime in a process."""
        model, found = self.models[runtime], self.photo.with_name(f"{runtime}.npy")
        names = [str(model), ENGINES[self.side_px], str(self.photo), str(found)]
        command = [sys.executable, "-m", "bench.runtime_side", runtime, *names]
        began_s = time.monotonic()
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("a side of the benchmark is talked to through pipes")
            loaded_s = json.loads(process.stdout.readline())["loaded_at_s"] - began_s
            yield _Side(asked=process.stdin, answers=process.stdout, found=found, loaded_s=loaded_s)


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Measure both sizes in float32, and OpenVINO's start before and after it has compiled a network."""
    del drive  # nothing is served
    published = random_published(data)
    return [row for side_px in ENGINES for row in _rows(_case(published, side_px), effort.pictures)]


def _case(published: Path, side_px: int) -> _Case:
    photo = published.with_name(f"photo-{side_px}.npy")
    np.save(photo, square(decode(PHOTO.read_bytes()).rgb, side_px).numpy())
    ours, theirs = (published.with_name(f"{ENGINES[side_px]}.{kind}") for kind in ("safetensors", "xml"))
    tensors = fold(read_published(published))
    weights = Weights(tensors=tensors, sha256=Digests.begin(published).sha256)
    write_converted(weights, ENGINES[side_px], torch.float32, ours)
    layers = TorchLayers(torch.float32, torch.device("cpu"))  # which can be traced
    _export(_out_of_place(build_inspyrenet(tensors, layers, side_px)), photo, theirs)
    return _Case(side_px=side_px, models={"torch": ours, "openvino": theirs}, photo=photo)


class _OutOfPlace(Block):
    """A block that writes nothing in place, which OpenVINO is better at."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Implement ``Block``."""
        (windows,) = self.windows  # all: these layers have whole maps at once
        # What NumPy calculates is a constant of the network, and not a part of it.
        tokens, places = windows.tokens.numpy(), np.arange(windows.runs[-1][-1])
        there = places if windows.places is None else windows.places.numpy()
        whole = np.zeros_like(places)
        whole[there] = tokens
        qkv = self.qkv(self.norm1(x)).index_select(1, torch.from_numpy(whole))
        if len(gaps := torch.from_numpy(np.setdiff1d(places, there))):
            qkv = qkv.index_copy_(1, gaps, self.padding_qkv.expand(1, len(gaps), -1))
        seen = torch.cat([attention(qkv[:, a:b], self.position[kind]) for kind, a, b in windows.runs], 1)
        x = self.proj(seen.index_select(1, torch.from_numpy(there[tokens.argsort()])), plus=x)
        return self.fc2(self.fc1(self.norm2(x)), plus=x)


def _out_of_place(network: InSPyReNet) -> InSPyReNet:
    names = [field.name for field in fields(Block)]
    stages = tuple(
        replace(s, blocks=tuple(_OutOfPlace(**{n: getattr(b, n) for n in names}) for b in s.blocks))
        for s in network.backbone.stages
    )
    return replace(network, backbone=replace(network.backbone, stages=stages))


def _export(network: InSPyReNet, photo: Path, to: Path) -> None:
    """Write the network as OpenVINO keeps one, its weights in float32."""
    import openvino  # noqa: PLC0415 - make bench-runtimes alone installs it

    class Module(torch.nn.Module):
        def forward(self, rgb: torch.Tensor) -> torch.Tensor:
            return network(rgb)

    rgb = torch.from_numpy(np.load(photo))
    with torch.no_grad():
        traced = torch.jit.trace(Module().eval(), rgb, check_trace=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, example_input=rgb, input=list(rgb.shape))
    openvino.save_model(model, str(to), compress_to_fp16=False)


def _rows(case: _Case, rounds: int) -> list[Row]:
    what = f"at {case.side_px}, float32"
    first, later = _starts(case, rounds, f"exec to loaded {what}")
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(case.start(runtime)) for runtime in case.models)
        turns = in_turns(f"forward {what}", rounds, lambda: _seconds(ours), lambda: _seconds(theirs))
        peaks = [side.forward()["peak_bytes"] / 1e6 for side in (ours, theirs)]
        difference = float(np.abs(np.load(ours.found) - np.load(theirs.found)).max())
    return [
        _row(f"exec to loaded {what}, as in a fresh container", first),
        _row(f"exec to loaded {what}, after OpenVINO has compiled it once", later),
        _row(f"forward {what}", turns),
        Row(what=f"peak memory {what}", unit="MB", ours=peaks[0], theirs=peaks[1]),
        Row(what=f"largest difference {what}", unit="", ours=difference, at_most=_MAX_DIFFERENCE),
    ]


def _starts(case: _Case, rounds: int, what: str) -> tuple[Timings, Timings]:
    """Start both in turns; return the starts with nothing compiled, and those with what was compiled."""
    first, later, cache = Timings(), Timings(), case.models["openvino"].with_suffix(".cache")
    for number in track(range(2 * rounds + 1), what):
        if number == rounds:  # the start that compiles for later ones is neither
            cache.mkdir()
        timings = first if number < rounds else later
        for runtime, kept in (("torch", timings.ours), ("openvino", timings.theirs)):
            with case.start(runtime) as side:
                if number != rounds:
                    kept.append(side.loaded_s)
    return first, later


def _seconds(side: _Side) -> Sequence[float]:
    return [side.forward()["seconds"]]


def _row(what: str, timings: Timings) -> Row:
    ours_ms, theirs_ms = median(timings.ours) * 1000, median(timings.theirs) * 1000
    return Row(what=what, unit="ms", ours=ours_ms, theirs=theirs_ms)
