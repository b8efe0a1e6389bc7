"""Messages that come twice or a week late (D1 to D3)."""

import http.client
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from threading import Barrier

from bench.progress import track
from shared import settling
from shared.messages import Envelope, JobMessage, encode, json, wrap
from shared.records import Terminal
from shared.subscriptions import rfc3339
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import Promises, require
from tests.world import push_body

DUPLICATES = 32
WEEK_NS = 7 * 86_400 * 10**9
ANSWERED_WITHIN_MS = 50.0  #: in the middle; the slowest wait for whoever else this machine works for


def duplicated(folder: Path, effort: Effort) -> Finding:
    """Deliver one message 32 times at once (D1)."""
    found: list[str] = []
    answers: Counter[int] = Counter()
    with Plant(folder, slots=4, engine_s=0.3) as plant, ThreadPoolExecutor(DUPLICATES) as pool:
        for number in track(range(effort.repeats), "32 at once"):
            job_id = plant.new_id()
            plant.accept(job_id, publishes=False)
            with violations(found, f"run {number}"):
                start = Barrier(DUPLICATES)
                answers.update(pool.map(partial(_pushed_at_once, plant, job_id, start), range(DUPLICATES)))
                plant.require_succeeded(job_id)
                require(plant.inferences()[job_id] == 1, "D1", f"{plant.inferences()[job_id]} inferences")
    done = effort.repeats - len(found)
    with violations(found, "all of them"):
        require(set(answers) <= {204, 503}, "D1", f"answers {dict(answers)}")
    figure = f"{done} with 1 inference; answers {dict(answers)}"
    return Finding(runs=effort.repeats, violations=found, figure=figure)


def _pushed_at_once(plant: Plant, job_id: str, start: Barrier, _number: int) -> int:
    with closing(http.client.HTTPConnection(plant.workers[0].url.rpartition("/")[2], timeout=90)) as client:
        client.connect()
        start.wait(30)
        client.request("POST", "/push", push_body(job_id))
        return client.getresponse().status


def settled_already(folder: Path, effort: Effort) -> Finding:
    """Deliver a settled job's message again and again, each time over a connection of its own (D2)."""
    found: list[str] = []
    took_ms: list[float] = []
    with Plant(folder) as plant:
        for number in track(range(effort.repeats), "settled already"):
            with violations(found, f"run {number}"):
                took_ms += _again(plant)
    middle, slow = _middle_and_slow(took_ms)
    with violations(found, "all of them"):
        require(middle < ANSWERED_WITHIN_MS, "D2", f"the median is {middle:.1f} ms")
    figure = (
        f"204 with nothing changed and no inference, p50 {middle:.1f} ms, p95 {slow:.1f} ms, connecting too"
    )
    return Finding(runs=len(took_ms), violations=found, figure=figure)


def _again(plant: Plant) -> list[float]:
    job_id = plant.new_id()
    plant.accept(job_id)
    plant.require_succeeded(job_id)
    with _unchanged(plant):
        return [_took_ms(plant, push_body(job_id)) for _ in range(20)]


def week_old(folder: Path, effort: Effort) -> Finding:
    """Deliver envelopes of last week, of settled, cancelled, erased and unknown jobs (D3)."""
    found: list[str] = []
    took_ms: list[float] = []
    with Plant(folder) as plant:
        for number in track(range(effort.repeats), "week-old envelopes"):
            with violations(found, f"run {number}"):
                took_ms += _unmoved(plant)
    middle, slow = _middle_and_slow(took_ms)
    figure = (
        f"204 with nothing changed, p50 {middle:.1f} ms, p95 {slow:.1f} ms; envelopes and records a week old"
    )
    return Finding(runs=len(took_ms), violations=found, figure=figure)


def _unmoved(plant: Plant) -> list[float]:
    settled, cancelled, erased = (plant.new_id() for _ in range(3))
    for job_id in (settled, erased):
        plant.accept(job_id)
        plant.require_succeeded(job_id)
    plant.accept(cancelled, publishes=False)
    ended = Terminal(status="cancelled", at=datetime.now(UTC), settled_by="client")
    settling.settle(plant.ledger, cancelled, 0, ended)
    settling.erase(plant.ledger, erased, kind="erasure", by="client")
    for job_id in (settled, cancelled, erased):
        _age(plant, job_id)
    plant.promises = Promises(plant.ledger)  # a file's time is its generation: all that was seen is new
    with _unchanged(plant):
        return [
            _took_ms(plant, _envelope(job_id, epoch))
            for job_id in (settled, cancelled, erased, "job_unknown")
            for epoch in (0, 1, 7)
        ]


def _age(plant: Plant, job_id: str) -> None:
    """Make a job's records a week older, as the store tells it: its time of a write is the file's own."""
    for path in (plant.folder / "objects" / "jobs" / job_id).rglob("*.*"):
        written = path.stat().st_mtime_ns
        os.utime(path, ns=(written, written - WEEK_NS))


@contextmanager
def _unchanged(plant: Plant) -> Iterator[None]:
    """Require that nothing is written and nothing inferred."""
    before, inferences = _when_all_is_quiet(plant), plant.inferences()
    yield
    changed = {name for name, _ in _everything(plant).items() ^ before.items()}
    require(not changed, "D3", f"an old message has changed {sorted(changed)[:3]}")
    require(plant.inferences() == inferences, "D2", "an old message was worked on")


def _middle_and_slow(took_ms: list[float]) -> tuple[float, float]:
    return (median(took_ms), quantiles(took_ms, n=20)[-1]) if len(took_ms) > 1 else (0.0, 0.0)


def _when_all_is_quiet(plant: Plant) -> dict[str, int]:
    """Return every record's generation once nobody writes any: a beat or a sweep may be on its way."""
    before = _everything(plant)
    time.sleep(0.7)
    while (now := _everything(plant)) != before:
        before = now
        time.sleep(0.7)
    return now


def _everything(plant: Plant) -> dict[str, int]:
    return {s.name: s.generation for s in plant.store.list("").objects if not s.name.startswith("workers/")}


def _envelope(job_id: str, epoch: int) -> bytes:
    message = Envelope(message_id="old", data=encode(JobMessage(job_id=job_id, epoch=epoch)), attempt=19)
    published = datetime.now(UTC) - timedelta(days=7)
    return json.dumps(wrap(message, published_at=rfc3339(published))).encode()


def _took_ms(plant: Plant, body: bytes) -> float:
    """Push over a bare connection: what a client of its own takes to be made is not the worker's time."""
    began = time.monotonic()
    with closing(http.client.HTTPConnection(*plant.address(plant.workers[0]), timeout=90)) as client:
        client.request("POST", "/push", body)
        status = client.getresponse().status
    require(status == 204, "D3", f"{status} to an old message")
    return (time.monotonic() - began) * 1000
