"""SIGKILL around every call of a port: of the worker in a job (W), of the API in a submission (A)."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx

from shared import records
from tests.chaos.acts import Act, Headers
from tests.chaos.killing import killed_in, patiently
from tests.chaos.past import MINUTES, ago
from tests.chaos.plant import Plant
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import require_gone
from tests.promises import require


def worker_killed(folder: Path, effort: Effort) -> Finding:
    """Kill the worker before and after each call of a port, and in the middle of an inference."""
    finding = killed_in(JOBS, folder, patiently(effort))
    require(any("during model" in str(m) for m in finding.details["moments"]), "W", "no inference")
    return finding


def api_killed(folder: Path, effort: Effort) -> Finding:
    """Kill the API before and after each call of a port; half the clients come back with their key."""
    return killed_in(SUBMISSIONS, folder, effort)


# --- a job --------------------------------------------------------------------------------------


def accept_and_wait(plant: Plant, job_id: str, _headers: Headers) -> None:
    """Promise a job, and wait until it has settled, whoever dies of it."""
    plant.accept(job_id)
    plant.settled(job_id)


def has_succeeded(plant: Plant, job_id: str, _answer: object, *, too_many: int = 1) -> None:
    """Require that it has, with so many inferences too many at most, and without a loser's picture."""
    plant.require_succeeded(job_id)
    done = plant.inferences()[job_id]
    require(done <= 1 + too_many, "I4", f"{job_id}: {done} inferences")
    winner = records.results_prefix(job_id, 0, plant.promises.job(job_id).terminal.attempt)
    require_gone(lambda: [name for name in _pictures(plant, job_id) if not name.startswith(winner)], "W")


def _pictures(plant: Plant, job_id: str) -> list[str]:
    return [stat.name for stat in plant.store.list(f"results/{job_id}/").objects]


# --- a submission -------------------------------------------------------------------------------


def key_of(plant: Plant) -> str:
    """An Idempotency-Key that nobody has used."""
    return f"key-{plant.new_id()}"


def job_of(key: str) -> str:
    """The job that a key without a tenant stands for."""
    digest = hmac.digest(b"b" * 32, f"|{key}".encode(), hashlib.sha256)
    return f"job_{base64.b32encode(digest[:20]).decode().lower()}"


def submit(plant: Plant, key: str, headers: Headers) -> httpx.Response:
    return plant.submit(key, request_id=headers["X-Request-Id"])


def _cut_off(plant: Plant) -> str:
    """A key whose first request left a marker behind that is too old to commit under."""
    key = key_of(plant)
    ago(plant, MINUTES).mark(job_of(key), 0)
    return key


def _submit_beside(plant: Plant, key: str, headers: Headers) -> httpx.Response:
    """Submit, while another request with the same key is faster."""
    who, before = headers["X-Request-Id"], "before store.create jobs/*/accepted.json"
    hold = plant.order("api", act="hold", who=who, only=before, seconds=0.2)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(submit, plant, key, headers)
        while not (plant.is_done("api", hold) or late.done()):
            time.sleep(0.01)
        plant.submit(key)
        plant.take_back("api", hold)
        return late.result()


def _losing(only: str) -> Callable[[Plant, str, Headers], httpx.Response]:
    """Submit, while the answer to one write is lost."""

    def ask(plant: Plant, key: str, headers: Headers) -> httpx.Response:
        lost = plant.order("api", act="lose", who=headers["X-Request-Id"], only=f"after store.create {only}")
        try:
            return submit(plant, key, headers)
        finally:
            plant.take_back("api", lost)

    return ask


def is_promised(plant: Plant, key: str, answer: httpx.Response) -> None:
    """Require one job for the key, and that it succeeds."""
    require(answer.json()["id"] == job_of(key), "I1", f"{answer.json()['id']} for {key}")
    plant.require_succeeded(job_of(key))


def is_promised_or_not(plant: Plant, key: str) -> None:
    """Require that the job succeeds if it was promised; a client that has no answer may never come back."""
    left = [stat.name for stat in plant.store.list(f"jobs/{job_of(key)}/").objects]
    if left:
        require(records.accepted_name(job_of(key)) in left, "I6", f"{key}: {left} without a promise")
        plant.require_succeeded(job_of(key))


JOBS = {
    "a job": Act(
        ask=accept_and_wait,
        holds=has_succeeded,
        service="worker",
        whose="subject",
        # A slow machine beats, and thinks an attempt dead: the worker's other acts see to those.
        beside=r"Ledger[.](beat|is_settled) |claims/2|e0/2/|_delete_losers",
    )
}
_SUBMISSION = Act(
    given=key_of, ask=submit, answers=frozenset({202}), holds=is_promised, left=is_promised_or_not
)
_VARIATION = replace(_SUBMISSION, is_variation=True)
SUBMISSIONS = {
    "submission": _SUBMISSION,
    "submission after one that was cut off": replace(_VARIATION, given=_cut_off),
    "submission beside a faster one": replace(_VARIATION, ask=_submit_beside),
    "submission whose photo's answer is lost": replace(_VARIATION, ask=_losing("inputs/*")),
    "submission whose promise's answer is lost": replace(_VARIATION, ask=_losing("jobs/*/accepted.json")),
}
