"""The bench of a GPU runs from end to end before a GPU is there, and measures nothing without one."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench import gpu
from bench.gpu_plan import Plan
from bench.machine import ROOT, this_machine
from tests.pictures import opened, photo
from worker.matting.folding import fold
from worker.matting.inspyrenet import build_inspyrenet
from worker.matting.layers import TorchLayers
from worker.matting.weights import name_of

pytestmark = pytest.mark.timeout(600)

CPU = torch.device("cpu")


def planned(folder: Path, tensors: dict[str, torch.Tensor]) -> Plan:
    """Return as little as shows that all of it runs; sides are other than the network's that is published."""
    file = folder / "photo.jpg"
    Image.fromarray(opened(photo("cat"))).resize((160, 120)).save(file, "JPEG")
    return Plan(
        device=CPU,
        folder=folder,
        tensors=tensors,
        photo=file,
        engine="inspyrenet-fast",
        sides_px=(64,),
        batches=(2,),
        rounds=1,
        starts=1,
        photos_a_start=1,
        photos=3,
        in_flight=2,
    )


@pytest.mark.exhaustive
@pytest.mark.parity
def test_everything_is_measured_beside_the_package_and_kept(tmp_path: Path) -> None:
    """The package's own interpreter runs here as it does for a GPU, which is only another device."""
    machine = replace(this_machine(), cpu="a GPU beside a CPU")
    plan = planned(tmp_path, gpu.random_published())
    rows = {row.what: row for row in gpu.run(plan, machine, tmp_path)}
    fastest = name_of(plan.fastest)
    forward, whole = (
        rows[f"upload and network at 64, {fastest}"],
        rows[f"whole photo, inspyrenet-fast, {fastest}"],
    )
    busy = rows[f"device's share of that time, at 64, {fastest}"]
    assert (forward.target, whole.target) == ("<= 0.125 x theirs", "<= 0.1 x theirs")
    assert (busy.target, 1 < busy.ours <= 100) == (">= 80 %", True)
    assert {row.what for row in rows.values() if row.theirs} >= {
        f"2 photos together at 64, {fastest}; theirs one by one",
        "loaded, beyond import torch",
        "exec to loaded",
        "exec to one real photo",
        f"whole photo without the network, inspyrenet-fast, {fastest}",
        "peak of the host's memory",
        "foreground, photo to photo; theirs is ours on the CPU",
    }
    for part in ("backbone", "contexts", "decoder", "SICA2", "SICA1", "SICA0", "all else"):
        assert rows[f"of that {part}, at 64, {fastest}"].ours > 0
    assert {"decode", f"2 in flight, at 64, {fastest}"} <= set(rows)
    document = json.loads((tmp_path / "gpu.json").read_text())
    assert (len(document["rows"]), document["machine"]["cpu"]) == (len(rows), "a GPU beside a CPU")
    assert "a GPU beside a CPU" in (tmp_path / "gpu.md").read_text()


def test_what_was_measured_before_something_failed_is_kept(tmp_path: Path, monkeypatch) -> None:
    def breaks(_plan: Plan):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(gpu, "STAGES", (gpu.stages, breaks))
    with pytest.raises(torch.OutOfMemoryError):
        gpu.run(planned(tmp_path, {}), this_machine(), tmp_path)  # no weights are asked for before
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [row["what"].partition(",")[0] for row in rows] == ["decode", "foreground"]


def test_random_weights_give_numbers_in_every_precision_of_cuda() -> None:
    """A network that gives none would have the engine refuse every photo of the lent minutes."""
    folded = fold(gpu.random_published())
    for precision in (torch.bfloat16, torch.float16, torch.float32):
        network = build_inspyrenet(folded, TorchLayers(precision, CPU), 32)
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
