"""``./cutout model`` says what lies here, converts, and decides how precisely a checkpoint may run."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.checkpoints import random_checkpoint, vouched_for
from worker.matting.digests import Digests
from worker.matting.package_process import ROOT
from worker.matting.weights import read_weights, verified_file

PHOTOS = ROOT / "tests" / "photos"


def model(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "cutout"), "model", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_what_lies_here_is_listed_for_every_engine() -> None:
    done = model("info")
    assert done.returncode == 0
    assert done.stdout.count("inspyrenet-base") >= 2
    assert done.stdout.count("inspyrenet-fast") >= 2


@pytest.mark.parametrize("command", ["convert", "verify"])
def test_a_checkpoint_that_is_not_there_is_said_in_a_sentence(command: str, tmp_path: Path) -> None:
    done = model(command, str(tmp_path / "none.pth"), str(PHOTOS / "cat.jpg"))
    assert done.returncode == 1
    assert "none.pth is not a file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["convert", "verify"])
def test_a_file_that_was_converted_is_not_what_these_want(command: str, tmp_path: Path) -> None:
    file = tmp_path / "inspyrenet-base.safetensors"
    file.write_bytes(b"converted")
    done = model(command, str(file), str(PHOTOS / "cat.jpg"))
    assert done.returncode == 1
    assert "was converted already. Name the file that it was made from, as published: ckpt" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parity
@pytest.mark.timeout(900)
def test_random_weights_pass_in_float32_alone_and_are_converted_to_nothing_less(tmp_path: Path) -> None:
    """Random weights exaggerate rounding by far: a gate for real weights must refuse them."""
    file, fast = tmp_path / "ckpt_fast.pth", ("--engine", "inspyrenet-fast")
    file.symlink_to(random_checkpoint(0, 384))
    vouched_for(file)
    done = model("verify", *fast, str(file), *map(str, PHOTOS.glob("c*.jpg")))
    assert done.returncode == 0, done.stderr
    assert f"{file} may run in: float32" in done.stdout
    record = json.loads(verified_file(file).read_text())
    assert record["passed"].keys() == {"float32"}
    assert record["passed"]["float32"]["photos"] == 2
    converted = tmp_path / "inspyrenet-fast.safetensors"
    done = model("convert", *fast, str(file), str(converted), "--precision", "bfloat16")
    assert done.returncode == 1
    assert "has not passed in bfloat16: run `./cutout model verify`" in done.stderr
    assert not converted.exists()
    done = model("convert", *fast, str(file), str(converted))
    assert done.returncode == 0, done.stderr
    assert read_weights(Digests.begin(converted), "inspyrenet-fast").verified == record["passed"]
