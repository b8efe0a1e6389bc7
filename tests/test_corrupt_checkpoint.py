"""A worker that is told to use a checkpoint that is damaged ends, and is never ready."""

import json
import time
from pathlib import Path

import httpx
import pytest

from ops.children import Child, listen, service
from ops.data_folder import DataFolder
from ops.places import QueuePlace
from ops.up import Wanted, child_environ
from tests import loopback

pytestmark = pytest.mark.system


@pytest.fixture
def worker(tmp_path: Path):
    """The worker that ``./cutout up`` starts, whose folder of checkpoints holds half a one."""
    folder, models = DataFolder(tmp_path / "data"), tmp_path / "models"
    folder.root.mkdir()
    folder.prepare()
    models.mkdir()
    (models / "ckpt_fast.pth").write_bytes(b"half a checkpoint")
    wanted = Wanted(
        port=0, data=folder.root, engine="inspyrenet-fast", slots=1, queue=QueuePlace(), store=None
    )
    environ = child_environ(folder, wanted) | {"CUTOUT_CHECKPOINT": str(models)}
    with listen(0) as listener:
        child = service("worker", listener, environ, folder.log("worker"))
        child.start()
        yield child
        child.wait(until=time.monotonic())


def answers(worker: Child) -> list[int]:
    """Ask whether it is ready, until it has ended."""
    found = []
    while worker._process.poll() is None and 200 not in found:
        try:
            found.append(loopback.get(f"{worker.url}/ready", timeout=1).status_code)
        except httpx.TransportError:
            continue  # it has not begun to listen, or has ended
    return found


def test_a_worker_with_half_a_checkpoint_ends_with_the_reason_and_was_never_ready(worker: Child) -> None:
    """Field report 33: it served on something else."""
    assert set(answers(worker)) <= {503}
    assert worker._process.returncode != 0
    events = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
    [failed] = [event for event in events if event["message"].startswith("worker.model_failed")]
    assert failed["severity"] == "CRITICAL"
    assert "ckpt_fast.pth has the md5" in json.dumps(failed)
