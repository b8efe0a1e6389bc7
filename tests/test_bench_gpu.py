"""The bench of a GPU runs from end to end before a GPU is there, and measures nothing without one."""

import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench import gpu
from bench.machine import ROOT, this_machine
from tests.pictures import opened, photo
from worker.matting.layers import TorchLayers

pytestmark = pytest.mark.timeout(300)

CPU = torch.device("cpu")
SIDES_PX = (32, 64)


class WallClock:
    """The CPU's time: it does what it is given at once."""

    def mark(self) -> float:
        return time.perf_counter()

    def seconds(self, first: float, last: float) -> float:
        return last - first


def small_photo() -> bytes:
    file = io.BytesIO()
    Image.fromarray(opened(photo("cat"))).resize((160, 120)).save(file, "JPEG")
    return file.getvalue()


def package(file: Path, side_px: int, device: str):
    """Build a stand-in for the package's network; what it is given is what the package is."""
    assert len(torch.load(file, weights_only=True)) == 1625
    assert device == "cpu"

    def network(image: torch.Tensor) -> torch.Tensor:
        assert image.shape == (1, 3, side_px, side_px)
        return image

    return network


def planned(tensors: dict[str, torch.Tensor], folded: dict[str, torch.Tensor]) -> gpu.Plan:
    return gpu.Plan(
        device=CPU,
        clock=WallClock(),
        tensors=tensors,
        folded=folded,
        package=package,
        photo=small_photo(),
        sides_px=SIDES_PX,
        rounds=1,
        photos=3,
        in_flight=2,
    )


@pytest.fixture(scope="module")
def plan() -> gpu.Plan:
    tensors = gpu.random_published()
    return planned(tensors, gpu.fold(tensors))


class Network:
    """A stand-in for ours, which finds the red: what it costs is measured below."""

    def __init__(self, folded, layers, side_px: int) -> None:
        assert layers.device == CPU
        assert "backbone.layers.0.blocks.0.attn.position" in folded
        self.side_px = side_px

    def __call__(self, rgb: torch.Tensor) -> torch.Tensor:
        assert rgb.shape == (1, self.side_px, self.side_px, 3)
        return rgb[..., 0] / 32 - 4


def test_everything_is_measured_and_kept(plan: gpu.Plan, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(gpu, "build_inspyrenet", Network)
    machine = replace(this_machine(), cpu="a GPU beside a CPU")
    rows = gpu.run(plan, machine, tmp_path)
    assert [row.what for row in rows] == [
        "upload and network at 32, float32",
        "upload and network at 64, float32",
        "foreground, photo to photo; theirs is ours on the CPU",
        "whole photo, at 64, float32",
        "2 in flight, at 64, float32",
        "device's share of that time, at 64, float32",
    ]
    assert min(row.ours for row in rows) > 0
    assert [row.theirs is not None for row in rows] == [True, True, True, False, False, False]
    assert 1 < rows[-1].ours <= 100
    document = json.loads((tmp_path / "gpu.json").read_text())
    assert (len(document["rows"]), document["machine"]["cpu"]) == (6, "a GPU beside a CPU")
    assert "a GPU beside a CPU" in (tmp_path / "gpu.md").read_text()


def test_what_was_measured_before_something_failed_is_kept(tmp_path: Path, monkeypatch) -> None:
    def breaks(_plan: gpu.Plan):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(gpu, "STAGES", (gpu.foregrounds, breaks))
    with pytest.raises(torch.OutOfMemoryError):
        gpu.run(planned({}, {}), this_machine(), tmp_path)  # no weights are asked for before
    [row] = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert row["what"].startswith("foreground")


def test_random_weights_give_numbers_in_every_precision_of_cuda(plan: gpu.Plan) -> None:
    """A network that gives none would have the engine refuse every photo of the lent minutes."""
    for precision in (torch.bfloat16, torch.float16, torch.float32):
        network = gpu.build_inspyrenet(plan.folded, TorchLayers(precision, CPU), 32)
        logits = network(torch.arange(3 * 32 * 32, dtype=torch.uint8).view(1, 32, 32, 3))
        assert logits.isfinite().all()
        assert logits.std() > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_it_says_so_and_keeps_nothing() -> None:
    results = ROOT / "bench" / "results" / "gpu.json"
    before = results.read_bytes() if results.exists() else None
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "There is no CUDA device here: nothing was measured.\n")
    assert (results.read_bytes() if results.exists() else None) == before
