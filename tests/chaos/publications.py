"""Publications that fail, hang, or are done without an answer, while a client waits (P1)."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.progress import track
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import require

ANSWERED_WITHIN_S = 12.0
#: The API gives a publication 2 s (shared/ledger.py); without a limit of its own it would be 10 s.
HUNG_AT_MOST_S = 2.0 + 1.5
#: Clients whose publication hangs at the same time.
_AT_ONCE = 5


def unpublished(folder: Path, effort: Effort) -> Finding:
    """Let the publication fail, hang, or be done without an answer while a client waits (P1)."""
    found: list[str] = []
    with Plant(folder) as plant:
        troubles = _Troubles(plant)
        for _ in track(range(effort.repeats), "unpublished"):
            for trouble in (troubles.error, troubles.lost_answer):
                with violations(found, trouble.__name__):
                    trouble()
        for number in track(_groups(effort.repeats), "hung"):
            with violations(found, f"{number} hang"):
                troubles.hang(number)
    hung_s, answered_s = max(troubles.hung_s, default=0), max(troubles.answered_s, default=0)
    runs = 3 * effort.repeats
    figure = (
        f"lost {len(found)} of {runs}; answered after {hung_s:.1f} s at most while the queue's file was "
        f"locked, {answered_s:.1f} s elsewhere"
    )
    return Finding(runs=runs, violations=found, figure=figure)


def _groups(number: int) -> list[int]:
    """Return how many hang at once: each waits as long as it would alone."""
    return [min(_AT_ONCE, number - start) for start in range(0, number, _AT_ONCE)]


@dataclass
class _Troubles:
    """What may befall a publication; each requires that it has, and that the job is done all the same."""

    plant: Plant
    answered_s: list[float] = field(default_factory=list)
    hung_s: list[float] = field(default_factory=list)

    def error(self) -> None:
        self._ordered("before queue.publish *")

    def lost_answer(self) -> None:
        self._ordered("after queue.publish *")

    def _ordered(self, moment: str) -> None:
        key = f"key-{self.plant.new_id()}"
        name = self.plant.order("api", act="fail", who=key, only=moment)
        job_id, took_s = self._submitted(key)
        self.plant.require_done("api", name, "the publication did not fail")
        self._require_made_good(job_id)
        self.answered_s.append(took_s)

    def hang(self, number: int) -> None:
        """Lock the queue's file until clients are answered: only its own limit ends each publication."""
        keys = [f"key-{self.plant.new_id()}" for _ in range(number)]
        with _locked(self.plant.queue.path), ThreadPoolExecutor(number) as clients:
            answers = list(clients.map(self._submitted, keys))
        for job_id, took_s in answers:
            is_soon = took_s <= HUNG_AT_MOST_S
            require(is_soon, "P1", f"answered after {took_s:.1f} s of a publication that hangs")
            self._require_made_good(job_id)
            self.hung_s.append(took_s)

    def _submitted(self, key: str) -> tuple[str, float]:
        began = time.monotonic()
        answer = self.plant.submit(key)
        took_s = time.monotonic() - began
        require(answer.status_code == 202, "P1", f"answered {answer.status_code}")
        require(took_s <= ANSWERED_WITHIN_S, "P1", f"answered after {took_s:.1f} s")
        return answer.json()["id"], took_s

    def _require_made_good(self, job_id: str) -> None:
        """Require that the API's own publication was not taken, and that the job is done."""
        require(_has_failed(self.plant, job_id), "P1", f"{job_id} was published without trouble")
        self.plant.require_succeeded(job_id)


def _has_failed(plant: Plant, job_id: str) -> bool:
    lines = [json.loads(line) for line in plant.api.log.read_text().splitlines() if job_id in line]
    return any(x["message"] == "job.publish_failed" and x["publication"] == 0 for x in lines)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the broker's file as a writer that has come to a halt does."""
    with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
