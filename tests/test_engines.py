"""The worker runs the engine that it was told to run, or says clearly why it does not."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shared.checkpoints import CheckpointError
from shared.settings import Settings
from worker.engine import build_engine
from worker.matting.devices import DeviceMissingError, choose_device, choose_precision, precisions


def settings(engine: str, checkpoint: Path, device: str = "auto") -> Settings:
    return Settings(store=Path("/o"), queue=Path("/q"), engine=engine, checkpoint=checkpoint, device=device)


def test_auto_takes_grabcut_loudly_while_there_is_no_checkpoint(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert build_engine(settings("auto", tmp_path)).name == "grabcut"
    [record] = caplog.records
    assert record.message == "engine.fallback"
    assert record.reason == f"no checkpoint lies in the folder {tmp_path}"


@pytest.mark.parametrize("engine", ["auto", "inspyrenet-fast", "inspyrenet-base", "transparent-background"])
def test_a_damaged_checkpoint_is_never_passed_over(engine: str, tmp_path: Path) -> None:
    """Field report 33: what cannot be loaded ends the worker; it does not serve on something else."""
    for name in ("ckpt_fast.pth", "ckpt_base.pth"):
        (tmp_path / name).write_bytes(b"half a checkpoint")
    with pytest.raises(CheckpointError, match="it is damaged, or not what was published"):
        build_engine(settings(engine, tmp_path))


def test_an_engine_that_was_named_and_has_no_checkpoint_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"ckpt_base\.pth is not a file"):
        build_engine(settings("inspyrenet-base", tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_gpu_that_was_asked_for_and_is_not_there_is_not_replaced_by_the_cpu() -> None:
    """Field report 33: GPU failure fell back to CPU in silence."""
    with pytest.raises(DeviceMissingError, match="never falls back"):
        choose_device("cuda")


def test_until_a_checkpoint_is_verified_it_runs_in_float32_and_that_is_said(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert choose_precision(torch.device("cuda"), {"float32": {}}) is torch.float32
    [record] = caplog.records
    assert (record.message, record.wanted) == ("engine.unverified", "float16")
    assert choose_precision(torch.device("cuda"), {"float16": {}}) is torch.float16


def test_a_cpu_that_does_not_multiply_bfloat16_is_not_asked_to(monkeypatch, caplog) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert precisions(cpu) == (torch.float32,)
    assert choose_precision(cpu, {"bfloat16": {}, "float32": {}}) is torch.float32
    assert not caplog.records, "there is nothing to verify"


def test_grabcut_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom shared.settings import Settings\n"
        "from worker.engine import build_engine\n"
        "build_engine(Settings(store=Path('/o'), queue=Path('/q'), engine='grabcut'))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
