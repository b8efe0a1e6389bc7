"""Services whose memory is capped, photos that do not fit into it, and others that do (C2)."""

import http.client
import io
import resource
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import httpx
import numpy as np
import psutil
from PIL import Image

from bench.progress import track
from ops.children import Child
from shared.pace import ONE_MACHINE
from tests import loopback
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import require_gone
from tests.promises import require

#: What a worker may have beside what it holds after small jobs; a large photo takes ten times.
WORKER_MAY_MB, LARGE_SIDES_PX = 96, (4000, 3000)
#: The same of an API, of whose threads each takes in a photo of 20 MB at once.
API_MAY_MB, AT_ONCE, SENT_BYTES = 2, 32, 20_000_000
#: Of the WebP its decoder says without memory that the file is damaged.
KINDS = ("JPEG", "WEBP")
SMALL_JOBS, TRIES, AGAIN_S = 10, 60, 0.2
_CUT, _BEGUN_AGAIN = "cut off", "begun again"


def little_memory(folder: Path, effort: Effort) -> Finding:
    """Cap the worker's memory, then the API's, and send both more than fits (C2)."""
    found: list[str] = []
    rounds = max(1, effort.repeats // 16)
    answers: Counter[object] = Counter()
    # The usual pace: here no claim is to be thought dead because a machine is busy.
    with Plant(folder, slots=2, pace=ONE_MACHINE) as plant, ThreadPoolExecutor(AT_ONCE) as pool:
        for number in track(range(rounds), "little memory"):
            with violations(found, f"large photos {number}"):
                _large_among_small(plant, f"{number}")
            with violations(found, f"uploads {number}"):
                _uploads_at_once(plant, pool, f"{number}", answers)
        with violations(found, "files"):
            _require_none_left(folder)
    figure = (
        f"{rounds * len(KINDS)} large photos given up as out-of-memory, {rounds * SMALL_JOBS} small done; "
        f"API's answers {dict(answers)}"
    )
    return Finding(runs=rounds * (len(KINDS) + SMALL_JOBS + AT_ONCE), violations=found, figure=figure)


def _require_none_left(folder: Path) -> None:
    """Require that no temporary file stays; one that is being written goes soon."""
    places = (folder / "tmp", folder / "objects" / ".tmp")
    require_gone(lambda: [path.name for place in places for path in place.iterdir()], "C2")


@contextmanager
def _capped(plant: Plant, child: Child, megabytes: int) -> Iterator[None]:
    """Let a service's process have so much memory beside what it has, and the next one of its master."""
    inner = plant.inner(child)
    most = inner.memory_info().vms + megabytes * 1_000_000
    processes = (inner, psutil.Process(child.pid))
    for process in processes:
        process.rlimit(psutil.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for process in processes:
            if process.is_running():
                process.rlimit(psutil.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


# --- the worker ---------------------------------------------------------------------------------


def _large_among_small(plant: Plant, name: str) -> None:
    """Submit a photo that does not fit, with small ones before and behind it."""
    plant.require_succeeded(_accepted(plant, f"warm-{name}", plant.photo))
    before = plant.inner(plant.workers[0]).pid
    with _capped(plant, plant.workers[0], WORKER_MAY_MB):
        small = [_accepted(plant, f"before-{name}-{n}", plant.photo) for n in range(SMALL_JOBS // 2)]
        large = [_accepted(plant, f"large-{name}-{kind}", _large(kind)) for kind in KINDS]
        small += [_accepted(plant, f"behind-{name}-{n}", plant.photo) for n in range(SMALL_JOBS // 2)]
        for job_id in small:
            plant.require_succeeded(job_id)
        for kind, job_id in zip(KINDS, large, strict=True):
            _require_given_up(plant, kind, job_id)
    plant.require_succeeded(_accepted(plant, f"after-{name}", plant.photo))
    require(plant.inner(plant.workers[0]).pid == before, "C2", "the worker's process has died")


def _require_given_up(plant: Plant, kind: str, job_id: str) -> None:
    plant.settled(job_id)
    job = plant.promises.job(job_id)
    ends = [plant.promises.end_of_claim(job_id, 0, claim) for claim in job.worked.claims.values()]
    slug = (job.terminal.error or {}).get("slug")
    is_so = (slug, ends) == ("out-of-memory", ["out-of-memory"] * 3)
    require(is_so, "C2", f"the {kind} ended as {slug}: {ends}")


def _large(kind: str) -> bytes:
    """Return a photo of few bytes and many pixels."""
    width, height = LARGE_SIDES_PX
    rows = np.linspace(40, 200, height, dtype=np.uint8)[:, None, None]
    file = io.BytesIO()
    Image.fromarray(np.broadcast_to(rows, (height, width, 3)).copy()).save(file, kind, quality=30)
    return file.getvalue()


def _accepted(plant: Plant, key: str, photo: bytes) -> str:
    url, headers = f"{plant.api.url}/v1/jobs", {"Idempotency-Key": key}
    answer = loopback.post(url, files={"image": photo}, headers=headers, timeout=30)
    require(answer.status_code == http.client.ACCEPTED, "C2", f"{answer.status_code}: {answer.text}")
    return answer.json()["id"]


# --- the API ------------------------------------------------------------------------------------


def _uploads_at_once(plant: Plant, pool: ThreadPoolExecutor, name: str, answers: Counter[object]) -> None:
    """Send photos of 20 MB on all threads at once; who is turned away comes again until it is accepted."""
    photo = plant.photo + bytes(SENT_BYTES - len(plant.photo))
    start = Barrier(AT_ONCE)

    def submitted(number: int) -> str:
        start.wait(30)
        return _at_last(plant, f"upload-{name}-{number}", photo, answers)

    def warmed(number: int) -> int:
        start.wait(30)
        return loopback.get(f"{plant.api.url}/v1/jobs/job_{number}?wait=1", timeout=30).status_code

    list(pool.map(warmed, range(AT_ONCE)))  # so that the threads are there
    before = plant.inner(plant.api).pid
    with _capped(plant, plant.api, API_MAY_MB):
        ids = list(pool.map(submitted, range(AT_ONCE)))
    # gunicorn itself may find no memory where it takes connections in: then its master starts it again.
    answers[_BEGUN_AGAIN] += plant.inner(plant.api).pid != before
    require(set(answers) <= {202, 503, _CUT, _BEGUN_AGAIN}, "C2", f"answers {dict(answers)}")
    require(answers[503] > 0, "C2", "the memory has always sufficed")
    for job_id in ids:
        plant.require_succeeded(job_id)


def _at_last(plant: Plant, key: str, photo: bytes, answers: Counter[object]) -> str:
    url, headers = f"{plant.api.url}/v1/jobs", {"Idempotency-Key": key}
    for _ in range(TRIES):
        try:
            answer = loopback.post(url, files={"image": photo}, headers=headers, timeout=30)
        except httpx.TransportError:
            answers[_CUT] += 1
        else:
            answers[answer.status_code] += 1
            if answer.status_code == http.client.ACCEPTED:
                return answer.json()["id"]
        time.sleep(AGAIN_S)
    raise TimeoutError(f"{key} was never accepted")
