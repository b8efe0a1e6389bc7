"""Messages that come twice, late or to a worker that has been asleep (D), and publications that fail (P1)."""

import contextlib
import http.client
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from threading import Barrier

from bench.progress import track
from shared import settling
from shared.messages import Envelope, JobMessage, encode, json, wrap
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import require
from tests.world import push_body

DUPLICATES = 32
#: From the claim to the terminal record, which decides who has won.
_FROZEN_AT = (
    "after store.create jobs/*/claims/1.json",
    "before store.read inputs/*",
    "during model",
    "after store.create results/*/color",
    "after store.create results/*/matte",
    "before store.create jobs/*/terminal.json",
    "after store.create jobs/*/terminal.json",
)
LAST_WEEK = "2026-01-01T00:00:00Z"


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


def week_old(folder: Path, effort: Effort) -> Finding:
    """Deliver envelopes of last week: of settled, cancelled, erased, unknown jobs and epochs (D2, D3)."""
    found: list[str] = []
    took_ms: list[float] = []
    with Plant(folder) as plant:
        for number in track(range(effort.repeats), "week-old envelopes"):
            with violations(found, f"run {number}"):
                took_ms += _unmoved(plant)
    figure = (
        f"204 with nothing changed, p50 {median(took_ms):.1f} ms, p95 {quantiles(took_ms, n=20)[-1]:.1f} ms"
    )
    return Finding(runs=len(took_ms), violations=found, figure=figure)


def _unmoved(plant: Plant) -> list[float]:
    settled, erased = plant.new_id(), plant.new_id()
    for job_id in (settled, erased):
        plant.accept(job_id)
        plant.require_succeeded(job_id)
    settling.erase(plant.ledger, erased, kind="erasure", by="client")
    before, inferences = _when_all_is_quiet(plant), plant.inferences()
    took_ms = [
        _took_ms(plant, _envelope(job_id, epoch))
        for job_id in (settled, erased, "job_unknown")
        for epoch in (0, 1, 7)
    ]
    changed = {name for name, _ in _everything(plant).items() ^ before.items()}
    require(not changed, "D3", f"an old envelope has changed {sorted(changed)[:3]}")
    require(plant.inferences() == inferences, "D2", "an old envelope was worked on")
    return took_ms


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
    return json.dumps(wrap(message, published_at=LAST_WEEK)).encode()


def _took_ms(plant: Plant, body: bytes) -> float:
    began = time.monotonic()
    status = plant.push(body)
    require(status == 204, "D3", f"{status} to an old envelope")
    return (time.monotonic() - began) * 1000


def frozen(folder: Path, effort: Effort) -> Finding:
    """Stop a worker past its beat after each thing it writes, let another finish, let it go on (D4, D5)."""
    found: list[str] = []
    fenced = runs = 0
    with Plant(folder, workers=2) as plant:
        for moment in track(_FROZEN_AT * max(1, effort.repeats // 8), "frozen and thawed"):
            runs += 1
            with violations(found, moment):
                fenced += _thawed_late(plant, moment)
    figure = f"{fenced} of {runs} were overtaken; none changed a record or left a picture"
    return Finding(runs=runs, violations=found, figure=figure)


def _thawed_late(plant: Plant, moment: str) -> bool:
    job_id = plant.new_id()
    name = plant.order("worker", act="stop", who=job_id, only=moment)
    plant.accept(job_id)
    plant.require_succeeded(job_id)
    winner = plant.promises.job(job_id).terminal.attempt
    with contextlib.suppress(FileNotFoundError):
        (plant.folder / "orders" / "worker" / name).unlink()  # the moment never came
    for child in plant.workers:
        plant.inner(child).send_signal(signal.SIGCONT)
    _wait_until(lambda: _pictures(plant, job_id) == {str(winner)}, "the loser's pictures are still there")
    time.sleep(0.1)
    plant.promises.check_job(job_id)
    plant.promises.check_settled(job_id)
    return winner > 1


def _pictures(plant: Plant, job_id: str) -> set[str]:
    return {stat.name.split("/")[3] for stat in plant.store.list(f"results/{job_id}/").objects}


def _wait_until(is_so: Callable[[], bool], otherwise: str, within_s: float = 20) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        require(time.monotonic() < until, "D5", otherwise)
        time.sleep(0.02)


def unpublished(folder: Path, effort: Effort) -> Finding:
    """Let the publication fail, hang, or be done without an answer while a client waits (P1)."""
    found: list[str] = []
    answered_s: list[float] = []
    troubles = {
        "error": {"act": "fail", "only": "before queue.publish *"},
        "hang": {"act": "fail", "only": "before queue.publish *", "seconds": 2.0},
        "lost answer": {"act": "fail", "only": "after queue.publish *"},
    }
    with Plant(folder) as plant:
        for _ in range(effort.repeats):
            for trouble, order in troubles.items():
                with violations(found, trouble):
                    key = f"key-{plant.new_id()}"
                    plant.order("api", who=key, **order)
                    began = time.monotonic()
                    answer = plant.submit(key)
                    answered_s.append(time.monotonic() - began)
                    require(answer.status_code == 202, "P1", f"{answer.status_code} after {trouble}")
                    require(answered_s[-1] <= 12, "P1", f"answered after {answered_s[-1]:.1f} s")
                    plant.require_succeeded(answer.json()["id"])
    figure = f"lost {len(found)} of {len(answered_s)}; answered after {max(answered_s):.1f} s at most"
    return Finding(runs=len(answered_s), violations=found, figure=figure)
