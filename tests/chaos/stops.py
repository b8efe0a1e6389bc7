"""Services that are asked to stop (C3), and clocks that are an hour apart (C1)."""

import contextlib
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import httpx
import psutil

from bench.progress import track
from tests.chaos.plant import Plant, violations
from tests.chaos.ready import behind_others, in_front_of
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import comes
from tests.promises import record, require

#: SIGTERM to SIGKILL is 10 s on Cloud Run.
GONE_WITHIN_S = 10.0


def asked_to_stop(folder: Path, effort: Effort) -> Finding:
    """Send SIGTERM to a worker, idle and in a job, and to the API in the middle of a submission (C3)."""
    found: list[str] = []
    gone_s: list[float] = []
    with Plant(folder, engine_s=0.01) as plant:
        for number in track(range(max(1, effort.repeats // 5)), "SIGTERM"):
            for stop in (_idle, _in_a_job, _with_one_that_stands_ready, _in_a_submission):
                with violations(found, f"{stop.__name__} {number}"):
                    gone_s.append(stop(plant))
    figure = f"gone after {max(gone_s):.1f} s at most; no attempt counted" if gone_s else "nothing ran"
    return Finding(runs=len(gone_s), violations=found, figure=figure)


def _idle(plant: Plant) -> float:
    took_s = _stopped_s(plant, plant.workers[0])
    _settles(plant, plant.new_id())
    return took_s


def _in_a_job(plant: Plant) -> float:
    job_id = plant.new_id()
    name = plant.order("worker", act="hold", who=job_id, only="during model", seconds=5.0)
    plant.accept(job_id)
    require(comes(lambda: plant.is_done("worker", name)), "C3", "the forward pass never came")
    took_s = _stopped_s(plant, plant.workers[0])
    plant.require_succeeded(job_id)
    released = record(plant.store, f"jobs/{job_id}/e0/claims/1.released.json")
    require(released["reason"] == "shutdown", "C3", f"released for {released['reason']}")
    return took_s


def _with_one_that_stands_ready(plant: Plant) -> float:
    job_id = behind_others(plant)
    read = plant.order("worker", act="hold", who=job_id, only="after store.read inputs/*", seconds=0.0)
    plant.accept(job_id)
    require(comes(lambda: plant.is_done("worker", read)), "C3", "the photo never came")
    took_s = _stopped_s(plant, plant.workers[0])
    for each in (*in_front_of(job_id), job_id):
        plant.require_succeeded(each)
        reason = record(plant.store, f"jobs/{each}/e0/claims/1.released.json")["reason"]
        require(reason == "shutdown", "C3", f"{each} was released for {reason}")
    return took_s


def _in_a_submission(plant: Plant) -> float:
    key = f"key-{plant.new_id()}"
    name = plant.order("api", act="hold", who=key, only="before store.create inputs/*", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(plant.submit, key)
        require(comes(lambda: plant.is_done("api", name)), "C3", "the submission never came")
        took_s = _stopped_s(plant, plant.api)
        with contextlib.suppress(httpx.TransportError):
            answer.result(20)
    plant.await_ready(plant.api)
    again = plant.submit(key)
    require(again.status_code == 202, "C3", f"{again.status_code} to a client that came back")
    plant.require_succeeded(again.json()["id"])
    return took_s


def _settles(plant: Plant, job_id: str) -> None:
    plant.accept(job_id)
    plant.require_succeeded(job_id)


def _stopped_s(plant: Plant, child: object) -> float:
    master = psutil.Process(child.pid)
    began = time.monotonic()
    master.send_signal(signal.SIGTERM)
    with contextlib.suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
        master.wait(GONE_WITHIN_S)
    took_s = time.monotonic() - began
    require(took_s < GONE_WITHIN_S, "C3", f"{child.name} was still there after {took_s:.1f} s")
    plant.await_ready(child)
    return took_s


def clocks_apart(folder: Path, effort: Effort) -> Finding:
    """Run an API an hour ahead and two workers an hour behind and a day ahead, and kill some (C1)."""
    found: list[str] = []
    dice, jobs = Random(effort.seed), 4 * effort.repeats
    with Plant(folder, workers=2, skews_s=(3600.0, -3600.0, 86_400.0)) as plant:
        ids = []
        for number in track(range(jobs), "clocks apart"):
            ids.append(plant.submit(f"key-{number}").json()["id"])
            if dice.random() < 0.1:
                plant.inner(dice.choice(plant.workers)).kill()
        for job_id in ids:
            with violations(found, job_id):
                plant.require_succeeded(job_id)
    return Finding(
        runs=jobs, violations=found, figure=f"{jobs} jobs, lost {len(found)}, an hour and a day apart"
    )
