"""Large uploads at once (L2), and a crowd of slow clients (L3)."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles
from typing import Self

import httpx

from tests.chaos.plant import Plant
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
