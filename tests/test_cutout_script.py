"""The script `./cutout` runs from anywhere, starts fast, and is silent on standard output but for answers."""

import json
import os
import pty
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.scripted import JOB, Answer, Request, a_job, a_success, accepts, serving

ROOT = Path(__file__).parent.parent


@pytest.fixture
def service():
    with serving() as service:
        yield service


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"\xff\xd8" + b"photo" * 1000)
    return path


def test_without_an_environment_the_script_says_make_setup(tmp_path) -> None:
    copy = shutil.copy(ROOT / "cutout", tmp_path / "cutout")
    done = subprocess.run([copy, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "make setup" in line


def test_the_script_runs_from_any_folder_through_a_link(service, photo, tmp_path) -> None:
    """A folder of the caller's that is named like one of ours is not imported."""
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "__init__.py").write_text("raise SystemExit('imported the caller')")
    link = tmp_path / "bin"
    link.symlink_to(ROOT / "cutout")
    accepts(service)
    args = [link, "submit", photo.name, "--url", service.url]
    done = subprocess.run(args, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"cat.jpg  {JOB}  queued")


def test_help_names_every_command_without_importing_them() -> None:
    args = [ROOT / "cutout", "--help"]
    done = subprocess.run(args, capture_output=True, text=True, check=True)
    for name in ("up", "demo", "submit", "status", "cancel", "jobs", "job"):
        assert f"\n  {name} " in done.stdout
    code = "import sys, ops.cli; sys.exit('httpx' in sys.modules)"
    subprocess.run([ROOT / ".venv/bin/python", "-c", code], cwd=ROOT, check=True)


def test_a_terminal_gets_bars_and_a_pipe_beside_it_only_jobs(service, photo) -> None:
    accepts(service, Answer(200, a_job("processing"), {"ETag": '"1"'}), Answer(200, a_success(service)))
    watcher, terminal = pty.openpty()
    args = [ROOT / "cutout", "submit", photo, "--wait", "--json", "--url", service.url]
    env = {"PATH": os.defpath, "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=terminal, env=env, text=True, check=False)
    os.close(terminal)
    shown = os.read(watcher, 65536)
    os.close(watcher)
    assert done.returncode == 0
    assert b"\x1b[" in shown
    assert b"succeeded  1.9 s  grabcut" in shown
    assert json.loads(done.stdout)["id"] == JOB


def test_an_answer_for_which_there_is_no_room_is_refused_in_a_sentence(service) -> None:
    service.on("GET /v1/jobs?status=open&limit=20", Answer(200, {"count": 0, "jobs": []}))
    args = [ROOT / "cutout", "jobs", "--open", "--url", service.url]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(args, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "Error: what was to be printed cannot be written: No space left on device.\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_an_interrupt_says_how_to_go_on_and_is_exit_130(service, photo) -> None:
    looked = threading.Event()

    def look(_request: Request) -> Answer:
        looked.set()
        time.sleep(0.2)
        return Answer(304, headers={"Content-Length": "0"}, body=b"")

    accepts(service, look)
    args = [ROOT / "cutout", "submit", photo, "--wait", "--url", service.url]
    process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert looked.wait(20)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"./cutout status {JOB}" in errors
    assert "Traceback" not in errors
