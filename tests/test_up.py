"""``./cutout up`` starts whole or says why not, keeps its children alive, and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests import loopback
from tests.system import ROOT, System, processes_of

pytestmark = pytest.mark.system


def refused(data: Path, *options: str, **environ: str) -> str:
    """Run ``up`` where it must refuse, and return what it says."""
    command = [str(ROOT / "cutout"), "up", "--port", "0", "--data", str(data), *options]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | environ,  # noqa: TID251
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


def wait_for(condition, within_s: float = 20) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with System(tmp_path_factory.mktemp("data")) as system:
        yield system


def test_the_run_file_says_what_runs_where(system: System) -> None:
    run = system.run
    assert run["urls"]["api"] == system.url
    assert run["engine"] == "grabcut"
    for pid in run["pids"].values():
        assert psutil.pid_exists(pid)
    assert loopback.get(f"{run['urls']['worker']}/ready").json()["model"] == "loaded"


def test_the_fallback_engine_cannot_be_missed(system: System) -> None:
    wait_for(lambda: "ENGINE grabcut" in system.stderr)


def test_a_second_up_on_the_folder_refuses(system: System) -> None:
    said = refused(system.data)
    assert f"in use by another ./cutout up (process {system.pids['up']})" in said
    assert loopback.get(f"{system.url}/ready").status_code == 200


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} cannot be taken" in refused(tmp_path / "d", "--port", str(port))


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    """Field report 36."""
    assert "CUTOUT_RETENSION is not a setting" in refused(tmp_path / "d", CUTOUT_RETENSION="7")


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    assert "CUTOUT_ENGINE" in refused(tmp_path / "d", "--engine", "magic")


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be used" in refused(tmp_path / "file" / "data")


def test_a_queue_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "queue.db").mkdir(parents=True)
    assert "queue.db cannot be used" in refused(tmp_path / "data")


@pytest.mark.parametrize("name", ["api", "worker"])
def test_a_killed_child_is_started_again_on_the_same_address(system: System, name: str) -> None:
    before = system.pids[name]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: system.pids[name] != before)
    assert loopback.get(f"{system.urls[name]}/health", timeout=20).status_code == 200
    wait_for(lambda: loopback.get(f"{system.urls[name]}/ready", timeout=20).status_code == 200)


def test_a_refused_upload_reaches_a_client_that_is_still_sending(system: System) -> None:
    """26 MB over a real socket: a reset connection would hide the reason."""
    answer = loopback.post(
        f"{system.url}/v1/jobs", files={"image": b"\xff\xd8\xff" + b"\0" * 26_000_000}, timeout=30
    )
    assert (answer.status_code, answer.json()["slug"]) == (413, "image-too-large")
    answer = loopback.post(f"{system.url}/v1/jobs", content=b"\0" * 20_000_000, timeout=30)
    assert (answer.status_code, answer.json()["slug"]) == (415, "unsupported-media-type")


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(system: System) -> None:
    host, port = system.url.removeprefix("http://").split(":")
    jobs = set((system.data / "objects").rglob("accepted.json"))
    with socket.create_connection((host, int(port))) as client:
        client.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n\xff\xd8\xff'
            + b"\0"
            * 500_000
        )
        wait_for(lambda: list((system.data / "tmp").glob("upload-*")))
    wait_for(lambda: not list((system.data / "tmp").glob("upload-*")))
    assert set((system.data / "objects").rglob("accepted.json")) == jobs


def assert_stops(system: System, number: int) -> None:
    """It stops in ten seconds and leaves no process."""
    began = time.monotonic()
    assert system.stop(number) == 0
    assert time.monotonic() - began < 10
    assert not (system.data / "run.json").exists()


def test_killed_at_once_it_leaves_no_process_and_starts_again_and_sigterm_stops_it(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        os.kill(system.pids["up"], signal.SIGKILL)
        wait_for(lambda: processes_of(system.data) == [], 5)
        secret = (system.data / "secret.key").read_text()
    with System(tmp_path) as system:
        assert loopback.get(f"{system.url}/ready").status_code == 200
        assert (system.data / "secret.key").read_text() == secret
        assert (system.data / "secret.key").stat().st_mode & 0o077 == 0
        assert_stops(system, signal.SIGTERM)


def test_a_damaged_queue_is_moved_aside_and_sigint_stops_it(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "queue.db").write_bytes(b"this is no database" * 1000)
    with System(tmp_path) as system:
        assert "queue.set_aside" in (system.data / "logs" / "up.log").read_text()
        assert_stops(system, signal.SIGINT)


def test_a_full_disk_answers_503_and_heals(tmp_path: Path) -> None:
    """Fault C2, on a real file system of 24 MB that only this system sees."""
    script = f"""
        set -e
        mkdir -p {tmp_path}/small && mount -t tmpfs -o size=24m none {tmp_path}/small
        exec {ROOT}/cutout up --port 0 --data {tmp_path}/small/system
    """
    private = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    with subprocess.Popen(private, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            url = process.stdout.readline().removeprefix("ready ").strip()
            fill = Path(f"/proc/{process.pid}/root{tmp_path}/small/fill")
            photo = (ROOT / "tests" / "photos" / "cat.jpg").read_bytes()
            post = lambda: loopback.post(f"{url}/v1/jobs", files={"image": photo}, timeout=30)  # noqa: E731
            first = post().json()["id"]
            wait_for(lambda: loopback.get(f"{url}/v1/jobs/{first}").json()["status"] == "succeeded", 30)
            with pytest.raises(OSError, match="No space"):
                fill.write_bytes(b"\0" * 26_000_000)
            answer = post()
            assert (answer.status_code, answer.json()["slug"]) == (503, "try-again")
            assert answer.headers["Retry-After"]
            assert loopback.get(f"{url}/v1/jobs/{first}").json()["status"] == "succeeded"
            fill.unlink()
            second = post().json()["id"]
            wait_for(lambda: loopback.get(f"{url}/v1/jobs/{second}").json()["status"] == "succeeded", 60)
            open_jobs = loopback.get(f"{url}/v1/jobs?status=open").json()
            assert json.dumps(open_jobs["jobs"]) == "[]"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(15)
