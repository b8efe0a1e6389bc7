"""A long queue with duplicates and kills (L1), large uploads at once (L2), slow clients (L3)."""

import contextlib
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Self

import httpx
import psutil

from bench.progress import track
from shared import messages
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import require

DUPLICATES, KILLS = 0.05, 0.01
SLOW_CLIENTS, CUT_WITHIN_S, SLOWER_AT_MOST = 200, 30.0, 2.0
UPLOADS, UPLOAD_BYTES = 100, 20_000_000


def long_queue(folder: Path, effort: Effort) -> Finding:
    """Queue thousands of jobs, every twentieth twice, and kill a worker for every hundredth (L1)."""
    found: list[str] = []
    dice = Random(effort.seed)
    with Plant(folder, workers=2, slots=2, engine_s=0.005) as plant:
        ids = [plant.new_id() for _ in range(effort.jobs)]
        with ThreadPoolExecutor(4) as pool:
            list(track([pool.submit(plant.accept, job_id) for job_id in ids], "queueing"))
            pool.shutdown(wait=True)
        doubled = dice.sample(ids, int(effort.jobs * DUPLICATES))
        for job_id in doubled:
            plant.queue.publish(messages.JOBS, messages.encode(messages.JobMessage(job_id=job_id)))
        began = time.monotonic()
        kills, ages = _drained(plant, dice, effort.jobs)
        took_s = time.monotonic() - began
        for job_id in track(ids, "every promise"):
            with violations(found, job_id):
                plant.require_succeeded(job_id)
        inferences = plant.inferences()
    again = sum(inferences.values()) - effort.jobs
    figure = (
        f"{effort.jobs / took_s:.0f} jobs/s, {kills} kills, {len(doubled)} duplicates, {again} inferences "
        f"more than jobs; drained a quarter every {', '.join(f'{age:.0f}' for age in ages)} s"
    )
    return Finding(runs=effort.jobs, violations=found, figure=figure)


def _drained(plant: Plant, dice: Random, jobs: int) -> tuple[int, list[float]]:
    """Wait until no marker is left, killing on the way; return the kills and what each quarter took."""
    kills, quarters, turned = 0, [], time.monotonic()
    limit = time.monotonic() + 120 + jobs * 0.5
    while (left := _open(plant)) and time.monotonic() < limit:
        done = jobs - left
        while kills < done * KILLS:
            with contextlib.suppress(psutil.Error):
                plant.inner(dice.choice(plant.workers)).kill()
            kills += 1
        while len(quarters) < 4 * done // jobs:
            now = time.monotonic()
            quarters.append(now - turned)
            turned = now
        time.sleep(0.2)
    quarters.append(time.monotonic() - turned)
    return kills, quarters[:4]


def _open(plant: Plant) -> int:
    with contextlib.suppress(FileNotFoundError):
        return sum(1 for _ in (plant.folder / "objects" / "open").iterdir())
    return 0


def storm(folder: Path, effort: Effort) -> Finding:
    """Push 500 messages to two slots at once: most are refused for a while, none is given up (D8)."""
    found: list[str] = []
    number = 500 if effort.repeats > 1 else 100
    with Plant(folder, slots=2, in_flight=64, backoff_s=(1.0, 30.0), engine_s=0.05) as plant:
        ids = [plant.new_id() for _ in range(number)]
        for job_id in ids:
            plant.accept(job_id, publishes=False)
        began = time.monotonic()
        for job_id in ids:
            plant.queue.publish(messages.JOBS, messages.encode(messages.JobMessage(job_id=job_id)))
        for job_id in track(ids, "storm"):
            with violations(found, job_id):
                plant.require_succeeded(job_id, 120)
        took_s = time.monotonic() - began
        log = (plant.folder / "worker-0.log").read_text()
        dead = len(plant.store.list("dead/").objects)
    require(dead == 0, "D8", f"{dead} dead letters")
    figure = f"dead letters 0; {log.count('delivery.deferred')} deliveries deferred, done in {took_s:.0f} s"
    return Finding(runs=number, violations=found, figure=figure)


def large_uploads(folder: Path, effort: Effort) -> Finding:
    """Submit a hundred photos of 20 MB at once (L2)."""
    number = UPLOADS if effort.repeats > 1 else 8
    found: list[str] = []
    with Plant(folder) as plant:
        photo = plant.photo[:-2] + bytes(UPLOAD_BYTES - len(plant.photo)) + plant.photo[-2:]
        rest_mb, peak = _rss_mb(plant), _Peak(plant)
        with peak, ThreadPoolExecutor(number) as pool:
            answers = [f.result() for f in [pool.submit(_upload, plant, photo) for _ in range(number)]]
        statuses = Counter(status for status, _ in answers)
    require(set(statuses) <= {202, 503}, "L2", f"answers {dict(statuses)}")
    took_s = [seconds for _, seconds in answers]
    figure = (
        f"{dict(statuses)}, p95 {quantiles(took_s, n=20)[-1]:.1f} s; resident {rest_mb:.0f} MB at rest, "
        f"{peak.mb:.0f} MB at most"
    )
    return Finding(runs=number, violations=found, figure=figure)


def _upload(plant: Plant, photo: bytes) -> tuple[int, float]:
    began = time.monotonic()
    answer = httpx.post(f"{plant.api.url}/v1/jobs", files={"image": photo}, timeout=300)
    return answer.status_code, time.monotonic() - began


def _rss_mb(plant: Plant) -> float:
    return plant.inner(plant.api).memory_info().rss / 1e6


class _Peak(threading.Thread):
    """Watches how much memory the API holds."""

    def __init__(self, plant: Plant) -> None:
        super().__init__(daemon=True)
        self._plant, self._over, self.mb = plant, threading.Event(), 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.05):
            self.mb = max(self.mb, _rss_mb(self._plant))


def slow_clients(folder: Path, effort: Effort) -> Finding:
    """Let 200 clients send a byte a second while others submit and poll (L3)."""
    found: list[str] = []
    number = SLOW_CLIENTS if effort.repeats > 1 else 64
    with Plant(folder) as plant:
        job_id = plant.submit("polled").json()["id"]
        idle_ms = _polled_ms(plant, job_id, 3.0)
        crowd = [_Slow(plant) for _ in range(number)]
        for slow in crowd:
            slow.start()
        time.sleep(2.0)
        busy_ms = float("inf")
        with violations(found, "polls beside slow clients"):
            busy_ms = _polled_ms(plant, job_id, 3.0)
            ratio = busy_ms / idle_ms
            require(
                ratio <= SLOWER_AT_MOST,
                "I7",
                f"p95 {busy_ms:.0f} ms beside slow clients, {idle_ms:.0f} ms alone",
            )
        for slow in crowd:
            slow.join(CUT_WITHIN_S + 15)
        lasted = [slow.lasted_s for slow in crowd]
        cut = sum(s is not None and s <= CUT_WITHIN_S + 5 for s in lasted)
    require_all = [] if cut == number else [f"L3: {number - cut} of {number} slow clients were not cut off"]
    figure = f"p95 of a poll {idle_ms:.0f} ms alone, {busy_ms:.0f} ms beside; {cut} of {number} cut off"
    return Finding(runs=number, violations=[*found, *require_all], figure=figure)


def _polled_ms(plant: Plant, job_id: str, for_s: float) -> float:
    took_ms, until = [], time.monotonic() + for_s
    while time.monotonic() < until:
        began = time.monotonic()
        httpx.get(f"{plant.api.url}/v1/jobs/{job_id}", timeout=10).raise_for_status()
        took_ms.append((time.monotonic() - began) * 1000)
    return quantiles(took_ms, n=20)[-1] if len(took_ms) > 1 else took_ms[0]


class _Slow(threading.Thread):
    """A client that promises a photo and sends a byte a second."""

    def __init__(self, plant: Plant) -> None:
        super().__init__(daemon=True)
        self._address = ("127.0.0.1", int(plant.api.url.rpartition(":")[2]))
        self.lasted_s: float | None = None

    def run(self) -> None:
        began = time.monotonic()
        head = (
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 1000000\r\n\r\n"
            b"--b\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n"
        )
        with contextlib.suppress(OSError), socket.create_connection(self._address, timeout=60) as client:
            client.sendall(head)
            client.settimeout(1.0)
            while time.monotonic() - began < CUT_WITHIN_S + 10:
                client.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    if not client.recv(1000):
                        break
                    self.lasted_s = time.monotonic() - began  # an answer: it was cut off
                    return
            else:
                return
        self.lasted_s = time.monotonic() - began
