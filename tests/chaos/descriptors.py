"""Services that may hold few files open, and clients who make them want more (C2)."""

import http.client
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import httpx

from bench.progress import track
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import comes
from tests.promises import require

FILES, AT_ONCE, TRIES, AGAIN_S = 64, 32, 50, 0.2
#: Each service may have one connection more than before: the sweep and the pusher keep theirs.
KEPT = 1
_CUT = "cut off"

Open = dict[str, tuple[int, int]]  #: process id and number of open files, by service


def few_files(folder: Path, effort: Effort) -> Finding:
    """Submit 32 photos at once, again and again, to services that may hold 64 files open (C2)."""
    found: list[str] = []
    rounds = max(2, effort.repeats // 2)
    answers: Counter[object] = Counter()
    with Plant(folder, files=FILES) as plant, ThreadPoolExecutor(AT_ONCE) as pool:
        plant.require_succeeded(plant.submit("key-first").json()["id"])
        before = _open(plant)
        for number in track(range(rounds), "32 at once"):
            start = Barrier(AT_ONCE)
            keys = [f"key-{number:03}-{n:03}" for n in range(AT_ONCE)]
            for done in [pool.submit(_accepted, plant, key, start, answers) for key in keys]:
                with violations(found, f"round {number}"):
                    plant.require_succeeded(done.result())
        lost = len(found)
        with violations(found, "files"):
            is_as = comes(lambda: _is_as(before, _open(plant)))
            require(is_as, "C2", f"{before} before, {_open(plant)} after")
        after = _open(plant)
    with violations(found, "answers"):
        require(set(answers) <= {202, 503, _CUT}, "C2", f"answers {dict(answers)}")
        require(answers[503] > 0, "C2", "the files have always sufficed")
    grown = max(after[name][1] - files for name, (_, files) in before.items())
    figure = f"{FILES} files: answers {dict(answers)}, lost {lost}; open files grown by {grown}"
    return Finding(runs=rounds * AT_ONCE, violations=found, figure=figure)


def _accepted(plant: Plant, key: str, start: Barrier, answers: Counter[object]) -> str:
    """Submit until it is accepted, as often as one is asked to come again; return the job's id."""
    start.wait(30)
    for _ in range(TRIES):
        try:
            answer = plant.submit(key)
        except httpx.RemoteProtocolError:
            answers[_CUT] += 1  # who had sent nothing yet makes room for the others
        else:
            answers[answer.status_code] += 1
            if answer.status_code == http.client.ACCEPTED:
                return answer.json()["id"]
        time.sleep(AGAIN_S)
    raise TimeoutError(f"{key} was never accepted")


def _open(plant: Plant) -> Open:
    inner = {child.name: plant.inner(child) for child in (plant.api, *plant.workers)}
    return {name: (process.pid, process.num_fds()) for name, process in inner.items()}


def _is_as(before: Open, now: Open) -> bool:
    """Whether the same processes hold no more files than before, but for connections that are kept."""
    return all(now[name][0] == pid and now[name][1] <= files + KEPT for name, (pid, files) in before.items())
