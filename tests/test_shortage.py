"""Where memory or threads do not suffice no photo is blamed, no process ends, and clients come again."""

import io
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import pytest
from PIL import Image

from shared.errors import ImageCorruptError
from shared.photo_gate import inspect_photo
from shared.threads import ServingPool
from tests.api_world import ApiWorld, slug
from tests.world import Process, World
from worker import running
from worker.handler import Outcome
from worker.shortage import is_shortage
from worker.stored import read_stored

ROOT = Path(__file__).resolve().parent.parent
SHORT = (
    MemoryError(),
    RuntimeError("can't start new thread"),
    ValueError("encoding error 1"),
    OSError("out of memory error when reading image file"),
    cv2.error("(-4:Insufficient memory) Failed to allocate 498536 bytes"),
)
OTHER = (
    RuntimeError("x"),
    ValueError("encoding error 6"),
    OSError("truncated"),
    cv2.error("(-215:Assertion"),
)


@pytest.mark.parametrize("error", SHORT, ids=repr)
def test_it_is_known_whatever_it_is_called_and_counts_as_what_it_is(tmp_path: Path, error: Exception) -> None:
    assert is_shortage(error)
    world = World(tmp_path)
    world.accept()
    world.model.fail_with = error
    assert [world.deliver() for _ in range(3)] == [Outcome.REFUSE] * 3
    assert world.ends_of_claims() == ["out-of-memory"] * 3
    assert world.deliver() is Outcome.ACK
    assert world.job().terminal.error["slug"] == "out-of-memory"
    assert world.names("results/") == []


@pytest.mark.parametrize("error", OTHER, ids=repr)
def test_nothing_else_is_taken_for_it(tmp_path: Path, error: Exception) -> None:
    assert not is_shortage(error)
    world = World(tmp_path)
    world.accept()
    world.model.fail_with = error
    world.deliver()
    assert world.ends_of_claims() == ["bug"]


# --- photos -------------------------------------------------------------------------------------

_DECODE = """
import io, resource, sys, psutil
from pathlib import Path
from shared.photo_gate import inspect_photo
from worker.stored import read_stored
data = Path(sys.argv[1]).read_bytes()
facts = inspect_photo(io.BytesIO(data), len(data))
most = psutil.Process().memory_info().vms + 8_000_000
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    read_stored(data, facts)
except MemoryError:
    sys.exit(3)
"""


def photo(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2400, 2000), (90, 140, 60)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_that_does_not_fit_is_not_called_damaged(tmp_path: Path, kind: str) -> None:
    (tmp_path / "photo").write_bytes(photo(kind))
    command = [sys.executable, "-c", _DECODE, str(tmp_path / "photo")]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_photo_that_is_damaged_is_called_so(kind: str) -> None:
    data = photo(kind)
    facts = inspect_photo(io.BytesIO(data), len(data))
    with pytest.raises(ImageCorruptError):
        read_stored(data[: len(data) * 2 // 3], facts)


# --- threads ------------------------------------------------------------------------------------


def refuse(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_who_serves_goes_on_with_the_threads_there_are(monkeypatch) -> None:
    with ServingPool(max_workers=8) as pool:
        assert pool.submit(lambda: 1).result(10) == 1
        hold = threading.Event()
        busy = pool.submit(hold.wait)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        waiting = [pool.submit(lambda n=n: n) for n in range(5)]
        hold.set()
        assert [done.result(10) for done in waiting] == list(range(5))
        assert busy.result(10)


def test_without_a_single_thread_nobody_pretends_to_serve(monkeypatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with ServingPool(max_workers=8) as pool, pytest.raises(RuntimeError):
        pool.submit(int)


def test_an_attempt_without_a_thread_ends_as_one_without_memory(monkeypatch) -> None:
    monkeypatch.setattr(running._THREADS, "start", refuse)
    with pytest.raises(MemoryError):
        running.ThreadRunner(is_stopping=lambda: False, grace_s=1, die=lambda: None)(int, until=0)


# --- the API ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")], ids=repr)
def test_who_submits_at_a_bad_moment_is_asked_to_come_again(tmp_path: Path, error: Exception) -> None:
    world, moments = ApiWorld(tmp_path), iter([True])

    def spy(call: str) -> None:
        if call.startswith("before store.create inputs/") and next(moments, False):
            raise error

    client = world.api(Process(spy))
    answer = world.submit(client, headers={"Idempotency-Key": "k"})
    assert slug(answer) == (503, "try-again")
    assert answer.headers["Retry-After"] == "1"
    again = world.submit(client, headers={"Idempotency-Key": "k"})
    assert again.status_code == 202
    world.deliver(job_id=again.json["id"])
    world.assert_succeeded(again.json["id"])
