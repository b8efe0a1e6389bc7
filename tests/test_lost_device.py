"""A process whose device is lost ends, and no job is burnt over it."""

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.errors import DeviceLostError
from tests.world import World
from worker.handler import Outcome
from worker.matting.network_faults import once_more_without_memory
from worker.matting.transparent_background import TransparentBackground
from worker.model_gate import ModelGate
from worker.running import end_over

#: What torch says once a kernel has broken the context, of whichever call comes next.
LOST = (
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA driver error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
)


class Broken:
    """A network on a device that is lost: every call fails."""

    def __init__(self, error: Exception) -> None:
        self.error, self.calls = error, 0

    def forward_inspyre(self, _image):
        self.calls += 1
        raise self.error


def broken(error: Exception) -> TransparentBackground:
    return TransparentBackground(network=Broken(error), side_px=384, device="cpu", checkpoint_sha256=None)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_a_lost_device_is_told_apart_from_one_without_memory_and_is_not_asked_again(error) -> None:
    model = broken(error)
    with pytest.raises(DeviceLostError) as caught:
        model.alpha(np.zeros((40, 60, 3), np.uint8))
    assert caught.value.__cause__ is error
    assert model.network.calls == 1


def test_a_device_that_is_lost_over_its_lack_of_memory_is_lost() -> None:
    answers = [torch.OutOfMemoryError("CUDA out of memory"), LOST[0]]

    def ask() -> None:
        raise answers.pop(0)

    with pytest.raises(DeviceLostError):
        once_more_without_memory(ask)


@pytest.mark.parametrize("error", LOST[:3], ids=str)
def test_no_job_is_burnt_however_many_processes_lose_their_device_over_it(error, tmp_path: Path) -> None:
    """Each attempt was released as a bug: three of them, and the job had failed."""
    world, gate, ended = World(tmp_path), ModelGate(), []
    gate.open(broken(error))
    world.accept()
    for _ in range(4):
        services = world.services(gate=gate, on_lost_device=ended.append)
        assert world.deliver(services) is Outcome.REFUSE
    assert world.ends_of_claims() == ["shutdown"] * 4
    assert [type(error) for error in ended] == [DeviceLostError] * 4
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_why_a_process_ends_is_said_once_and_loudly(caplog) -> None:
    stopping, died = threading.Event(), threading.Event()
    with caplog.at_level(logging.CRITICAL):
        for _ in range(3):
            end_over(DeviceLostError("lost"), stopping, died.set)
    assert stopping.is_set()
    assert died.wait(5)
    [record] = caplog.records
    assert (record.message, record.levelname) == ("worker.device_lost", "CRITICAL")
    assert record.exc_info


@pytest.mark.system
def test_the_worker_ends_its_process_over_a_lost_device(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom shared import logs\n"
        "from shared.errors import DeviceLostError\nfrom shared.settings import Settings\n"
        "from worker.app import build_services\n"
        "logs.configure('worker', 'r')\nfolder = Path(sys.argv[1])\n"
        "of = Settings(store=folder / 'o', queue=folder / 'q.db', engine='grabcut', secret_key=b's' * 32)\n"
        "services = build_services(of).services\n"
        "services.on_lost_device(DeviceLostError('lost'))\n"
        "assert services.is_stopping()\n"
        "time.sleep(30)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 70, done.stderr
    events = [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if line.startswith("{")]
    assert "worker.device_lost" in [event["message"].split("\n")[0] for event in events]
