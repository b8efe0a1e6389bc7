"""SIGKILL of the API before and after every call of a port in requests that bring no photo (A6)."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from tests import loopback
from tests.chaos.kills import moments_of, plants, repeated
from tests.chaos.plant import Plant
from tests.chaos.rows import Effort, Finding
from tests.promises import require
from tests.world import push_body

Headers = dict[str, str]

_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What somebody asks of the API, and asks again when the connection breaks."""

    given: Callable[[Plant], str]  #: makes what it is about, and returns its name
    ask: Callable[[Plant, str, Headers], httpx.Response]
    answers: set[int]
    holds: Callable[[Plant, str, httpx.Response], None]  #: looks whether what was answered is so


def asked_and_killed(folder: Path, effort: Effort) -> Finding:
    """Kill the API at each moment of a submission by upload_id, a cancel, an erasure and a dead letter."""
    with plants(folder, effort.plants) as every:
        moments = [
            f"{name}: {what}"
            for name, errand in ERRANDS.items()
            for what in moments_of(every[0], "api", partial(_undisturbed, errand), who="traced")
        ]
        return repeated(every, moments, effort, _killed)


def _undisturbed(errand: Errand, plant: Plant) -> None:
    answer = errand.ask(plant, errand.given(plant), {"X-Request-Id": "traced"})
    require(answer.status_code in errand.answers, "A", f"{answer.status_code} undisturbed")


def _killed(plant: Plant, _number: int, moment: str) -> float:
    name, _, what = moment.partition(": ")
    errand, key = ERRANDS[name], f"key-{plant.new_id()}"
    headers = {"X-Request-Id": key, "Idempotency-Key": key}
    subject = errand.given(plant)
    order = plant.order("api", act="kill", who=key, only=what)
    began = time.monotonic()
    with contextlib.suppress(httpx.TransportError):
        errand.ask(plant, subject, headers)
    plant.require_done("api", order, what)
    plant.await_ready(plant.api)
    answer = _asked_again(errand, plant, subject, headers)
    errand.holds(plant, subject, answer)
    return time.monotonic() - began


def _asked_again(errand: Errand, plant: Plant, subject: str, headers: Headers) -> httpx.Response:
    """Come back, and once more after each "not now": a worker may be at the job."""
    until = time.monotonic() + _WITHIN_S
    while (answer := errand.ask(plant, subject, headers)).status_code == 503:
        require(time.monotonic() < until, "A", "it is never the time")
        time.sleep(0.1)
    require(answer.status_code in errand.answers, "A", f"{answer.status_code} to who came back")
    return answer


# --- errands ------------------------------------------------------------------------------------


def _post(plant: Plant, path: str, headers: Headers, **request: object) -> httpx.Response:
    return loopback.post(f"{plant.api.url}{path}", headers=headers, timeout=30, **request)


def _upload(plant: Plant) -> str:
    wanted = {"content_type": "image/jpeg", "bytes": len(plant.photo)}
    ticket = _post(plant, "/v1/uploads", {}, json=wanted).json()
    sent = loopback.put(ticket["url"], content=plant.photo, headers=ticket["headers"], timeout=30)
    require(sent.status_code == 204, "A", f"{sent.status_code} to a photo")
    return ticket["upload_id"]


def _has_one_job(plant: Plant, upload_id: str, answer: httpx.Response) -> None:
    plant.require_succeeded(answer.json()["id"])
    pinned = [
        path.parent.name
        for path in (plant.folder / "objects" / "jobs").glob("*/accepted.json")
        if upload_id in path.read_text()
    ]
    require(pinned == [answer.json()["id"]], "I1", f"{pinned} of one upload")


def _waiting(plant: Plant) -> str:
    """A job that no worker knows of until the next sweeps."""
    job_id = plant.new_id()
    plant.accept(job_id, publishes=False)
    return job_id


def _is_cancelled(plant: Plant, job_id: str, answer: httpx.Response) -> None:
    plant.settled(job_id)
    status = plant.promises.job(job_id).status  # a worker may have been faster, and is told so
    require(status == ("cancelled" if answer.status_code == 200 else "succeeded"), "A", f"it is {status}")
    if status == "cancelled":
        _nothing_left(plant, f"results/{job_id}/")


def _done(plant: Plant) -> str:
    job_id = plant.new_id()
    plant.accept(job_id)
    plant.require_succeeded(job_id)
    return job_id


def _is_erased(plant: Plant, job_id: str, _answer: httpx.Response) -> None:
    require(plant.promises.job(job_id).is_closed, "A", f"{job_id} is not closed")
    for prefix in (f"results/{job_id}/", f"inputs/upload-{job_id}", f"open/{job_id}."):
        _nothing_left(plant, prefix)


def _tried(plant: Plant) -> str:
    """A job whose one attempt was given back."""
    job_id = _waiting(plant)
    claim = f"jobs/{job_id}/e0/claims/1"
    plant.store.create(f"{claim}.json", b'{"worker": "elsewhere"}')
    plant.store.create(f"{claim}.released.json", b'{"reason": "storage"}')
    return job_id


def _is_buried(plant: Plant, job_id: str, _answer: httpx.Response) -> None:
    plant.settled(job_id)
    terminal = plant.promises.job(job_id).terminal
    slug = (terminal.error or {}).get("slug")
    require(slug == "dead-lettered" or terminal.status == "succeeded", "A", f"{terminal.status}: {slug}")


def _nothing_left(plant: Plant, prefix: str) -> None:
    """Require that nothing stays; an attempt that has lost deletes its own when it hears of it."""
    until = time.monotonic() + _WITHIN_S
    while left := [stat.name for stat in plant.store.list(prefix).objects]:
        require(time.monotonic() < until, "A", f"left over: {left}")
        time.sleep(0.02)


ERRANDS = {
    "submission by upload_id": Errand(
        given=_upload,
        ask=lambda plant, upload_id, headers: _post(
            plant, "/v1/jobs", headers, json={"upload_id": upload_id}
        ),
        answers={202},
        holds=_has_one_job,
    ),
    "cancel": Errand(
        given=_waiting,
        ask=lambda plant, job_id, headers: _post(plant, f"/v1/jobs/{job_id}/cancel", headers),
        answers={200, 409},
        holds=_is_cancelled,
    ),
    "erase": Errand(
        given=_done,
        ask=lambda plant, job_id, headers: loopback.delete(
            f"{plant.api.url}/v1/jobs/{job_id}", headers=headers, timeout=30
        ),
        answers={204},
        holds=_is_erased,
    ),
    "dead letter": Errand(
        given=_tried,
        ask=lambda plant, job_id, headers: _post(
            plant, "/internal/dead-letters", headers, content=push_body(job_id)
        ),
        answers={204},
        holds=_is_buried,
    ),
}
