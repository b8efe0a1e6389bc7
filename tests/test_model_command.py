"""``./cutout model`` says what lies here, converts, and decides how precisely a checkpoint may run."""

import hashlib
import json
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ops.model import model as group
from ops.model import standing
from shared.checkpoint_files import FORMAT
from shared.checkpoints import CHECKPOINTS, Checkpoint
from tests.checkpoints import random_checkpoint, vouched_for
from worker.matting.digests import Digests
from worker.matting.package_process import ROOT
from worker.matting.weights import Weights, read_weights, verified_file, write_converted

PHOTOS = ROOT / "tests" / "photos"


def model(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "cutout"), "model", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=cwd)


def test_what_lies_here_is_listed_for_every_engine() -> None:
    done = model("info")
    assert done.returncode == 0
    assert done.stdout.count("inspyrenet-base") >= 2
    assert done.stdout.count("inspyrenet-fast") >= 2


def test_a_converted_file_is_listed_with_its_engine_and_precision_or_as_damaged(tmp_path: Path) -> None:
    fast, file = CHECKPOINTS["inspyrenet-fast"], tmp_path / "inspyrenet-fast.safetensors"
    weights = Weights(tensors={"a": torch.rand(50, 50)}, sha256="5" * 64)
    write_converted(weights, "inspyrenet-fast", torch.bfloat16, file)
    assert standing(fast, file) == "converted for inspyrenet-fast, bfloat16"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"!")
    assert standing(fast, file) == "NOT usable: damaged. Convert it again."
    file.write_bytes(data[:100])
    assert "is damaged: its header cannot be read" in standing(fast, file)
    (base := tmp_path / "inspyrenet-base.safetensors").write_bytes(data)
    assert standing(CHECKPOINTS["inspyrenet-base"], base) == "NOT usable: converted for inspyrenet-fast"


@pytest.mark.parametrize("facts", [None, {"format": FORMAT}, {"format": FORMAT, "engine": "[/red]"}])
def test_one_damaged_file_does_not_hide_the_others(facts, tmp_path: Path, monkeypatch) -> None:
    header = json.dumps({"__metadata__": facts}).encode()
    (tmp_path / "inspyrenet-fast.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    monkeypatch.setattr("ops.model.MODELS", tmp_path)
    done = CliRunner().invoke(group, ["info"], env={"COLUMNS": "400"})
    assert done.exit_code == 0
    assert done.stdout.count("not here") == 3
    [row] = [line for line in done.stdout.splitlines() if "fast.safetensors" in line]
    assert "is damaged" in row


def test_an_engine_of_any_name_is_listed_as_it_is_written(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "inspyrenet-fast.safetensors"
    weights = Weights(tensors={"a": torch.rand(4)}, sha256="5" * 64)
    write_converted(weights, "[/red]", torch.float32, file)
    monkeypatch.setattr("ops.model.MODELS", tmp_path)
    done = CliRunner().invoke(group, ["info"], env={"COLUMNS": "400"})
    assert (done.exit_code, "NOT usable: converted for [/red]" in done.stdout) == (0, True)


def test_a_file_that_may_not_be_read_is_listed_so(monkeypatch, tmp_path: Path) -> None:
    def refuse(file: Path, _algorithm: str) -> str:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr("ops.model.digest_of", refuse)  # the tests may run as root, whom nobody refuses
    (tmp_path / "ckpt_base.pth").touch()
    found = standing(CHECKPOINTS["inspyrenet-base"], tmp_path / "ckpt_base.pth")
    assert found == f"NOT usable: [Errno 13] Permission denied: '{tmp_path}/ckpt_base.pth'"


def test_files_are_the_callers_wherever_the_command_is_called_from(tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(b"half a checkpoint")
    done = model("convert", "own.pth", "own.safetensors", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("own.pth has the md5 ")
    assert "Traceback" not in done.stderr


def test_a_photo_that_cannot_be_opened_is_said_before_anything_is_run(tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(b"half a checkpoint")
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    done = model("verify", "own.pth", str(PHOTOS / "cat.jpg"), "bad.jpg", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("bad.jpg cannot be compared: The file's bytes are not those of a JPEG")
    assert "Traceback" not in done.stderr


def test_without_a_network_fetch_says_so_within_5_s_and_leaves_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "ckpt_base.pth").write_bytes(b"half a checkpoint")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        proxy = f"https_proxy=http://127.0.0.1:{deaf.getsockname()[1]}"
        command = ["env", proxy, str(ROOT / "cutout"), "model", "fetch", "--to", str(tmp_path)]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        took_s = time.monotonic() - began
    assert took_s < 5 + 3, "3 s for Python to start on a busy machine"
    assert (done.returncode, done.stdout) == (1, "")
    assert "Without a network, put the file to" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "ckpt_base.pth").read_bytes() == b"half a checkpoint"


class Release(BaseHTTPRequestHandler):
    """Gives a checkpoint of a few bytes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a whole checkpoint")

    def log_message(self, *_arguments) -> None: ...


def test_a_damaged_file_is_fetched_again_and_kept_aside(tmp_path: Path, monkeypatch) -> None:
    md5 = hashlib.md5(b"a whole checkpoint").hexdigest()
    published = Checkpoint(engine="inspyrenet-base", side_px=1, file="ckpt_base.pth", md5=md5)
    file = tmp_path / "ckpt_base.pth"
    file.write_bytes(b"half a checkpoint")
    monkeypatch.setattr("ops.model.CHECKPOINTS", {"inspyrenet-base": published})
    with ThreadingHTTPServer(("127.0.0.1", 0), Release) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr("shared.checkpoints._RELEASE", f"http://127.0.0.1:{server.server_port}")
        done = CliRunner().invoke(group, ["fetch", "--to", str(tmp_path)])
        server.shutdown()
    assert (done.exit_code, done.stdout) == (0, f"{file}\n")
    assert file.read_bytes() == b"a whole checkpoint"
    [aside] = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == b"half a checkpoint"
    assert f"What lay there was not what was published; it is now {aside}" in done.stderr


@pytest.mark.parametrize("command", ["convert", pytest.param("verify", marks=pytest.mark.exhaustive)])
def test_a_checkpoint_that_is_not_there_is_said_in_a_sentence(command: str, tmp_path: Path) -> None:
    done = model(command, str(tmp_path / "none.pth"), str(PHOTOS / "cat.jpg"))
    assert done.returncode == 1
    assert "none.pth is not a file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["verify", pytest.param("convert", marks=pytest.mark.exhaustive)])
def test_a_file_that_was_converted_is_not_what_these_want(command: str, tmp_path: Path) -> None:
    file = tmp_path / "inspyrenet-base.safetensors"
    file.write_bytes(b"converted")
    done = model(command, str(file), str(PHOTOS / "cat.jpg"))
    assert done.returncode == 1
    assert "was converted already. Name the file that it was made from, as published: ckpt" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parity
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "photos", [["coffee.jpg"], pytest.param(["cat.jpg", "coffee.jpg"], marks=pytest.mark.exhaustive)], ids=len
)
def test_random_weights_pass_in_float32_alone_and_are_converted_to_nothing_less(
    tmp_path: Path, photos: list[str]
) -> None:
    """Random weights exaggerate rounding by far: a gate for real weights must refuse them."""
    file, fast = tmp_path / "ckpt_fast.pth", ("--engine", "inspyrenet-fast")
    file.symlink_to(random_checkpoint(0, 384))
    vouched_for(file)
    done = model("verify", *fast, file.name, *(str(PHOTOS / name) for name in photos), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{file.name} may run in: float32" in done.stdout
    record = json.loads(verified_file(file).read_text())
    assert record["passed"].keys() == {"float32"}
    assert record["passed"]["float32"]["photos"] == len(photos)
    converted = tmp_path / "inspyrenet-fast.safetensors"
    done = model("convert", *fast, str(file), str(converted), "--precision", "bfloat16")
    assert done.returncode == 1
    assert "has not passed in bfloat16: run `./cutout model verify`" in done.stderr
    assert not converted.exists()
    done = model("convert", *fast, str(file), str(converted))
    assert done.returncode == 0, done.stderr
    assert read_weights(Digests.begin(converted), "inspyrenet-fast").verified == record["passed"]
