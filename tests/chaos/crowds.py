"""A crowd of large uploads at once (L2)."""

import http.client
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles

import httpx

from bench.progress import track
from tests import loopback
from tests.chaos.beside import Beside
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import require

UPLOADS, UPLOAD_BYTES, TRIES = 100, 20_000_000, 20
#: What an API is given for a concurrency of 32 (docs/deployment.md), and what of it is left for itself when
#: each of its threads has an upload of 25 MB in a `/tmp` that is memory.
INSTANCE_MB, SPOOLED_MB = 1024, 32 * 25


def large_uploads(folder: Path, effort: Effort) -> Finding:
    """Submit a hundred photos of 20 MB at once, and again who was asked to come again (L2)."""
    number = UPLOADS if effort.repeats > 1 else 8
    found: list[str] = []
    with Plant(folder) as plant:
        photo = plant.photo[:-2] + bytes(UPLOAD_BYTES - len(plant.photo)) + plant.photo[-2:]
        rest_mb, peak = _rss_mb(plant), _Peak(plant)
        with peak, ThreadPoolExecutor(number) as pool:
            clients = [_Client(plant, n) for n in range(number)]
            for done in [pool.submit(client.submit, photo) for client in clients]:
                done.result()
        for client in track(clients, "uploads"):
            with violations(found, client.key):
                require(client.job_id, "L2", f"answers {dict(client.answers)}")
                plant.require_succeeded(client.job_id)
        ids = {client.job_id for client in clients if client.job_id}
    with violations(found, "memory"):
        require(peak.mb <= INSTANCE_MB - SPOOLED_MB, "L2", f"the API held {peak.mb:.0f} MB")
    answers = sum((client.answers for client in clients), Counter())
    p95_s = quantiles([client.took_s for client in clients], n=20)[-1]
    figure = (
        f"{dict(answers)}, {len(ids)} jobs done, lost {number - len(ids)}; p95 {p95_s:.1f} s; resident "
        f"{rest_mb:.0f} MB at rest, {peak.mb:.0f} MB at most of {INSTANCE_MB - SPOOLED_MB}"
    )
    return Finding(runs=number, violations=found, figure=figure)


class _Client:
    """Submits a photo under one key until it is taken, as often as it is asked to come again."""

    def __init__(self, plant: Plant, number: int) -> None:
        self._plant, self.key = plant, f"large-{number:04}"
        self.answers: Counter[int] = Counter()
        self.took_s, self.job_id = 0.0, ""

    def submit(self, photo: bytes) -> None:
        began = time.monotonic()
        for _ in range(TRIES):
            answer = self._post(photo)
            self.answers[answer.status_code] += 1
            if answer.status_code != http.client.SERVICE_UNAVAILABLE:
                break
            time.sleep(float(answer.headers["Retry-After"]))
        self.took_s = time.monotonic() - began
        if answer.status_code == http.client.ACCEPTED:
            self.job_id = answer.json()["id"]

    def _post(self, photo: bytes) -> httpx.Response:
        url, headers = f"{self._plant.api.url}/v1/jobs", {"Idempotency-Key": self.key}
        return loopback.post(url, files={"image": photo}, headers=headers, timeout=300)


def _rss_mb(plant: Plant) -> float:
    return plant.inner(plant.api).memory_info().rss / 1e6


class _Peak(Beside):
    """Watches how much memory the API holds."""

    def __init__(self, plant: Plant) -> None:
        super().__init__()
        self._plant, self.mb = plant, 0.0

    def run(self) -> None:
        while not self.over.wait(0.05):
            self.mb = max(self.mb, _rss_mb(self._plant))
