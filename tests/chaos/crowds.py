"""Large uploads at once (L2), and a crowd of slow clients (L3)."""

import contextlib
import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles
from typing import Self

import httpx

from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import require

SLOW_CLIENTS, CUT_WITHIN_S, SLOWER_AT_MOST = 200, 30.0, 2.0
UPLOADS, UPLOAD_BYTES = 100, 20_000_000


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
