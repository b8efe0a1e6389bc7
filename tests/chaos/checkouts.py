"""Services of earlier commits beside today's, on one data folder, one queue and the same sockets (R1)."""

import http.client
import io
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import httpx

from bench.machine import ROOT
from bench.processes import environment
from bench.progress import track
from ops.children import Child
from shared.pace import ONE_MACHINE
from tests import loopback
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import record, require
from tests.world import photo_bytes

#: The first whose services ran as a whole, and the last before dead letters were closed.
EARLIER = ("2de47f8", "73946bd")
JOBS, CANCELLED_EACH, ERASED_EACH, KILLED_EACH = 100, 10, 7, 25


def beside_earlier(folder: Path, effort: Effort) -> Finding:
    """Let earlier commits' APIs and workers share the jobs with today's, and kill workers of each (R1)."""
    roots = [root for commit in EARLIER if (root := checked_out(commit, folder / commit))]
    if len(roots) < len(EARLIER):
        return Finding(runs=0, figure=f"not run: this clone's history does not reach to {', '.join(EARLIER)}")
    found: list[str] = []
    with _Mixed(folder / "plant", roots) as plant:
        _await_all(plant)
        ids = _submitted(plant, Random(effort.seed))
        for job_id in track(ids, "jobs of three versions"):
            with violations(found, job_id):
                _require_as_promised(plant, job_id)
        with violations(found, "jobs that are erased"):
            _erase(plant, ids[::ERASED_EACH])
        with violations(found, "who did it"):
            figure = _shares(plant, ids)
    lost = len(found)
    figure = f"{len(ids)} jobs, lost {lost}; {figure if not lost else 'see above'}"
    return Finding(runs=len(ids), violations=found, figure=figure)


def checked_out(commit: str, root: Path) -> Path | None:
    """Unpack a commit of this project, or return ``None`` where the history does not have it."""
    try:
        done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(root, filter="data")
    return root


class _Mixed(Plant):
    """A plant on whose sockets an API and a worker of each other checkout listen too."""

    def __init__(self, folder: Path, roots: Sequence[Path]) -> None:
        super().__init__(folder, pace=ONE_MACHINE, in_flight=6)
        self.photo = photo_bytes(160)  # large enough for GrabCut, which is the guests' engine
        for root in roots:
            for service, host in (("api", self.api), ("worker", self.workers[0])):
                self.guests.append(self._guest(service, root, host))

    def _guest(self, service: str, root: Path, host: Child) -> Child:
        environ = environment(self.folder) | {
            "PYTHONPATH": str(root),
            "CUTOUT_REVISION": root.name,
            "CUTOUT_SLOTS": "2",
        }
        config, app = f"python:{service}.gunicorn_conf", f"{service}.app:from_environ()"
        # gunicorn looks for code where it stands first, which must not be today's checkout.
        command = ["/usr/bin/env", "-C", str(root), sys.executable, "-m", "gunicorn"]
        command += ["--config", config, "--bind", f"fd://{host.listener.fileno()}", app]
        name = f"{service}-{root.name}"
        return Child(name, host.url, command, environ, self.folder / f"{name}.log", host.listener)

    def everybody(self) -> list[Child]:
        return [self.api, *self.workers, *self.guests]


def _await_all(plant: _Mixed) -> None:
    """Wait until services of each version answer on both sockets, each with its own code."""
    versions = 1 + len(EARLIER)
    for child in (plant.api, plant.workers[0]):
        _await_answers(f"{child.url}/ready", lambda answer: answer.json()["revision"], versions)
    # The first version has no replays yet: it is its code that answers.
    _await_answers(f"{plant.api.url}/v1/replays", lambda answer: str(answer.status_code), 2)


def _await_answers(url: str, told: Callable[[httpx.Response], str], number: int) -> None:
    """Ask until there were so many different answers."""
    until, seen = time.monotonic() + 60, set()
    while len(seen) < number:
        require(time.monotonic() < until, "R1", f"{url} has answered {sorted(seen)} only")
        answer = loopback.get(url, timeout=30)
        if answer.status_code != http.client.SERVICE_UNAVAILABLE:
            seen.add(told(answer))


def _submitted(plant: _Mixed, dice: Random) -> list[str]:
    """Submit to whichever API takes it, cancel some, and kill a worker of whichever version now and then."""
    ids: list[str] = []
    workers = [child for child in plant.everybody() if child.name.startswith("worker")]
    for number in range(JOBS):
        answer = plant.submit(f"key-{number}")
        require(answer.status_code == http.client.ACCEPTED, "R1", f"{answer.status_code}: {answer.text}")
        ids.append(answer.json()["id"])
        if number % CANCELLED_EACH == 0:
            loopback.post(f"{plant.api.url}/v1/jobs/{ids[-1]}/cancel", timeout=30)
        if number % KILLED_EACH == KILLED_EACH // 2:
            plant.inner(dice.choice(workers)).kill()
    return ids


def _require_as_promised(plant: _Mixed, job_id: str) -> None:
    plant.settled(job_id)
    job = plant.promises.job(job_id)
    require(job.status in {"succeeded", "cancelled"}, "R1", f"it is {job.status}: {job.terminal.error}")
    for _ in range(2 * (1 + len(EARLIER))):  # whichever API answers
        told = loopback.get(f"{plant.api.url}/v1/jobs/{job_id}", timeout=30).json()
        require((told["status"], told["epoch"]) == (job.status, 0), "R1", f"told as {told['status']}")
        require(bool(told["results"]) == (job.status == "succeeded"), "R1", f"told {told['results']}")


def _erase(plant: _Mixed, ids: Sequence[str]) -> None:
    for job_id in ids:
        answer = loopback.delete(f"{plant.api.url}/v1/jobs/{job_id}", timeout=30)
        require(answer.status_code == http.client.NO_CONTENT, "R1", f"{answer.status_code} to an erasure")
        left = plant.store.list(f"results/{job_id}/").objects
        require(not left, "R1", f"{job_id} was erased and has {left}")


def _shares(plant: _Mixed, ids: list[str]) -> str:
    """Say what share each version had; whoever has stood by so far is given more to do."""
    accepted, done = _accepted(plant), Counter(_winner(plant, job_id) for job_id in ids)
    while (min(accepted.values()) == 0 or not _are_all(done)) and len(ids) < 2 * JOBS:
        ids.append(plant.submit(f"key-{len(ids)}").json()["id"])
        _require_as_promised(plant, ids[-1])
        accepted, done = _accepted(plant), done + Counter([_winner(plant, ids[-1])])
    require(min(accepted.values()) > 0 and _are_all(done), "R1", f"{accepted}, {dict(done)}")
    del done["nobody"]  # those that were cancelled
    return f"accepted by {accepted}, done by {dict(done)}"


def _are_all(done: Counter[str]) -> bool:
    return len(done.keys() - {"nobody"}) == 1 + len(EARLIER)


def _accepted(plant: _Mixed) -> dict[str, int]:
    """Return how many jobs each API has logged as accepted."""
    apis = [child for child in plant.everybody() if child.name.startswith("api")]
    return {child.name: child.log.read_text().count('"job.accepted"') for child in apis}


def _winner(plant: _Mixed, job_id: str) -> str:
    """Return the revision that has done a job."""
    terminal = record(plant.store, f"jobs/{job_id}/e0/terminal.json")
    if terminal["status"] != "succeeded":
        return "nobody"
    return record(plant.store, f"jobs/{job_id}/e0/claims/{terminal['attempt']}.json")["revision"]
