"""How long a job takes to be done again after the worker that held it was killed.

The whole system runs as `./cutout up` runs it.  The job may be taken over when its last beat is 10 s old,
and a message that was refused until then comes back after the back-off that has begun by then: the target
is the sum of both and of the job's own time.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.effort import Effort
from bench.load import Call, Drive, ask
from bench.machine import ROOT
from bench.photo import TYPICAL_BYTES, submission
from bench.processes import await_answer, environment, process
from bench.progress import track
from bench.rows import Row
from shared.pace import ONE_MACHINE
from shared.subscriptions import Subscription

_SETTLES_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A running `./cutout up`."""

    port: int
    run_file: Path

    def submit(self) -> str:
        """Submit a photo that takes a while; return the job's id."""
        _, body = ask(self.port, submission(TYPICAL_BYTES, effects="color,enhancedblackwhite"))
        job_id: str = json.loads(body)["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the job as its client sees it."""
        _, body = ask(self.port, Call(method="GET", path=f"/v1/jobs/{job_id}", expects=200))
        job: dict[str, Any] = json.loads(body)
        return job

    def await_status(self, job_id: str, status: str) -> None:
        """Wait until the job has a status."""
        until = time.monotonic() + _SETTLES_WITHIN_S
        while (job := self.job(job_id))["status"] != status:
            if time.monotonic() > until or job["status"] in {"succeeded", "failed", "cancelled"}:
                raise RuntimeError(f"the job is {job['status']}, expected {status}: {job['error']}")
            time.sleep(0.02)

    def kill_worker(self) -> None:
        """Kill the worker as a lack of memory would: no warning, nothing tidied up."""
        pids = json.loads(self.run_file.read_text())["pids"]
        master = psutil.Process(pids["worker"])
        for each in (*master.children(recursive=True), master):
            each.kill()


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Do a job undisturbed, then kill the worker in the middle of others."""
    del drive  # one client suffices
    with _system(data) as system:
        work_s = [_undisturbed_s(system) for _ in track(range(effort.kills), "recovery, undisturbed")]
        recovery_s = [_after_kill_s(system) for _ in track(range(effort.kills), "recovery, worker killed")]
    own_s, back_off_s = median(work_s), _longest_back_off_s()
    dead_s = ONE_MACHINE.dead_after.total_seconds()
    target_s = round(dead_s + back_off_s + own_s, 1)
    what = (
        f"killed worker's job done again ({dead_s:g} s + back-off {back_off_s:g} s + the job {own_s:.1f} s)"
    )
    return [
        Row(what="the same job undisturbed", unit="s", ours=own_s),
        Row(what=f"{what}, p50 of {effort.kills}", unit="s", ours=median(recovery_s), at_most=target_s),
        Row(what=f"{what}, worst of {effort.kills}", unit="s", ours=max(recovery_s), at_most=target_s),
    ]


def _undisturbed_s(system: System) -> float:
    job_id, began = system.submit(), time.monotonic()
    system.await_status(job_id, "succeeded")
    return time.monotonic() - began


def _after_kill_s(system: System) -> float:
    job_id = system.submit()
    system.await_status(job_id, "processing")
    system.kill_worker()
    killed = time.monotonic()
    system.await_status(job_id, "succeeded")
    return time.monotonic() - killed


def _longest_back_off_s() -> float:
    """Return the longest back-off that may have begun when the claim dies.

    Refusals at 0 s (the connection is lost) and then, waiting as briefly as they may, at 1, 3 and 7 s: the
    last of them before the claim is dead draws from the fourth back-off.
    """
    rules = Subscription(name="worker", topic="", endpoint="http://localhost/", max_in_flight=1)
    refused_s, refusals = 0.0, 1
    while (refused_s := refused_s + rules.backoff_s(refusals, 0.0)) < ONE_MACHINE.dead_after.total_seconds():
        refusals += 1
    return rules.backoff_s(refusals, 1.0)


@contextmanager
def _system(data: Path) -> Iterator[System]:
    data.mkdir(parents=True, exist_ok=True)
    own = {"CUTOUT_STORE", "CUTOUT_QUEUE", "CUTOUT_SECRET_KEY", "CUTOUT_ENGINE"}  # `up` makes them
    environ = {name: value for name, value in environment(data).items() if name not in own}
    log, run_file = data / "up.log", data / "run.json"
    command = [str(ROOT / "cutout"), "up", "--port", "0", "--engine", "grabcut", "--data", str(data)]
    with process(command, environ, log) as up:
        port = _port(run_file, up, log)
        await_answer(port, "/ready", up, log)
        yield System(port=port, run_file=run_file)


def _port(run_file: Path, up: psutil.Process, log: Path) -> int:
    until = time.monotonic() + 30
    while not run_file.exists():
        if time.monotonic() > until or up.status() == psutil.STATUS_ZOMBIE:
            raise TimeoutError(f"./cutout up wrote no run.json; its log ends:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)
    url: str = json.loads(run_file.read_text())["urls"]["api"]
    return int(url.rpartition(":")[2].rstrip("/"))
