"""A long queue with duplicates and kills (L1), large uploads at once (L2), slow clients (L3)."""

import contextlib
import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
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
            for future in track([pool.submit(plant.accept, job_id) for job_id in ids], "queueing"):
                future.result()
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
    """Let 200 clients send a byte a second while others poll (L3)."""
    found: list[str] = []
    number = SLOW_CLIENTS if effort.repeats > 1 else 64
    with Plant(folder) as plant:
        job_id = plant.submit("polled").json()["id"]
        plant.require_succeeded(job_id)
        alone_ms = _polled_ms(plant, job_id)
        with _Crowd(plant, number) as crowd:
            first_s = _timed(lambda: _poll(plant, job_id))
            beside_ms = _polled_ms(plant, job_id)
            crowd.join(CUT_WITHIN_S + 5)
            cut = crowd.cut
    with violations(found, "polls"):
        slower = f"p95 {beside_ms:.1f} ms beside slow clients, {alone_ms:.1f} ms alone"
        require(beside_ms <= SLOWER_AT_MOST * alone_ms, "I7", slower)
    with violations(found, "slow clients"):
        require(cut == number, "L3", f"{number - cut} of {number} were not cut off")
    figure = f"p95 of a poll {alone_ms:.1f} ms alone, {beside_ms:.1f} ms beside (the first {first_s:.1f} s); "
    figure += f"{cut} of {number} cut off"
    return Finding(runs=number, violations=found, figure=figure)


def _polled_ms(plant: Plant, job_id: str) -> float:
    took_ms = []
    for _ in range(200):
        took_ms.append(_timed(lambda: _poll(plant, job_id)) * 1000)
        time.sleep(0.01)
    return quantiles(took_ms, n=20)[-1]


def _poll(plant: Plant, job_id: str) -> None:
    with contextlib.closing(http.client.HTTPConnection(*plant.address(plant.api), timeout=10)) as client:
        client.request("GET", f"/v1/jobs/{job_id}")
        client.getresponse().read()


def _timed(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


class _Crowd(threading.Thread):
    """Clients that each promise a photo and send a byte a second, in one thread."""

    _HEAD = (
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 1000000\r\n\r\n"
        b"--b\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n"
    )

    def __init__(self, plant: Plant, number: int) -> None:
        super().__init__(daemon=True)
        self._clients = [socket.create_connection(plant.address(plant.api)) for _ in range(number)]
        self._over, self.cut = threading.Event(), 0

    def __enter__(self) -> Self:
        for client in self._clients:
            client.setblocking(False)
            client.send(self._HEAD)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        for client in self._clients:
            client.close()

    def run(self) -> None:
        sending = list(self._clients)
        while sending and not self._over.wait(1.0):
            sending = [client for client in sending if self._sends(client)]
            self.cut = len(self._clients) - len(sending)

    def _sends(self, client: socket.socket) -> bool:
        """Send one byte more; say whether the API still waits for it."""
        try:
            client.send(b"x")
            return client.recv(1) is None  # an answer, or the end: it waits no more
        except BlockingIOError:
            return True
        except OSError:
            return False
