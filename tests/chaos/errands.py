"""SIGKILL of the API before and after every call of a port in requests that bring no photo (A6)."""

from pathlib import Path

import httpx

from tests import loopback
from tests.chaos.acts import Act, Headers
from tests.chaos.killing import killed_in, patiently
from tests.chaos.plant import Plant
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import require_gone
from tests.promises import require
from tests.world import push_body


def asked_and_killed(folder: Path, effort: Effort) -> Finding:
    """Kill the API at each moment of a submission by upload_id, a cancel, an erasure and a dead letter."""
    return killed_in(ERRANDS, folder, patiently(effort))


# --- errands ------------------------------------------------------------------------------------


def post(plant: Plant, path: str, headers: Headers, **request: object) -> httpx.Response:
    return loopback.post(f"{plant.api.url}{path}", headers=headers, timeout=30, **request)


def upload(plant: Plant) -> str:
    wanted = {"content_type": "image/jpeg", "bytes": len(plant.photo)}
    ticket = post(plant, "/v1/uploads", {}, json=wanted).json()
    sent = loopback.put(ticket["url"], content=plant.photo, headers=ticket["headers"], timeout=30)
    require(sent.status_code == 204, "A", f"{sent.status_code} to a photo")
    return ticket["upload_id"]


def _has_one_job(plant: Plant, upload_id: str, answer: httpx.Response) -> None:
    plant.require_succeeded(answer.json()["id"])
    pinned = _jobs_of(plant, upload_id)
    require(pinned == [answer.json()["id"]], "I1", f"{pinned} of one upload")


def _has_one_job_or_none(plant: Plant, upload_id: str) -> None:
    pinned = _jobs_of(plant, upload_id)
    require(len(pinned) <= 1, "I1", f"{pinned} of one upload")
    for job_id in pinned:
        plant.require_succeeded(job_id)


def _jobs_of(plant: Plant, upload_id: str) -> list[str]:
    return [
        path.parent.name
        for path in (plant.folder / "objects" / "jobs").glob("*/accepted.json")
        if upload_id in path.read_text()
    ]


def _waiting(plant: Plant) -> str:
    """A job that no worker knows of until the next sweeps."""
    job_id = plant.new_id()
    plant.accept(job_id, publishes=False)
    return job_id


def _is_cancelled(plant: Plant, job_id: str, answer: httpx.Response) -> None:
    status = _is_settled(plant, job_id)  # a worker may have been faster, and is told so
    require(status == ("cancelled" if answer.status_code == 200 else "succeeded"), "A", f"it is {status}")


def _is_settled(plant: Plant, job_id: str) -> str:
    """Require that a job has ended by its client or by a worker, and return which."""
    plant.settled(job_id)
    status = plant.promises.job(job_id).status
    require(status in {"cancelled", "succeeded"}, "A", f"it is {status}")
    if status == "cancelled":
        nothing_left(plant, f"results/{job_id}/")
    return status


def done(plant: Plant) -> str:
    job_id = plant.new_id()
    plant.accept(job_id)
    plant.require_succeeded(job_id)
    return job_id


def _is_erased_or_kept(plant: Plant, job_id: str) -> None:
    """Require that an erasure that was begun is brought to its end by the sweep; else all is there."""
    if plant.store.list(f"jobs/{job_id}/e1/opened.json").objects:
        is_erased(plant, job_id)
    else:
        plant.promises.check_job(job_id)


def is_erased(plant: Plant, job_id: str, _answer: object = None) -> None:
    require(plant.promises.job(job_id).is_closed, "A", f"{job_id} is not closed")
    for prefix in (f"results/{job_id}/", f"inputs/upload-{job_id}", f"open/{job_id}."):
        nothing_left(plant, prefix)


def _tried(plant: Plant) -> str:
    """A job whose one attempt was given back."""
    job_id = _waiting(plant)
    claim = f"jobs/{job_id}/e0/claims/1"
    plant.store.create(f"{claim}.json", b'{"worker": "elsewhere"}')
    plant.store.create(f"{claim}.released.json", b'{"reason": "storage"}')
    return job_id


def _is_buried(plant: Plant, job_id: str, _answer: object = None) -> None:
    """Require that a job has been given up for dead, or has been done after all."""
    plant.settled(job_id)
    terminal = plant.promises.job(job_id).terminal
    slug = (terminal.error or {}).get("slug")
    require(slug == "dead-lettered" or terminal.status == "succeeded", "A", f"{terminal.status}: {slug}")


def nothing_left(plant: Plant, prefix: str) -> None:
    """Require that nothing stays; an attempt that has lost deletes its own when it hears of it."""
    require_gone(lambda: [stat.name for stat in plant.store.list(prefix).objects], "A")


ERRANDS = {
    "submission by upload_id": Act(
        given=upload,
        ask=lambda plant, upload_id, headers: post(plant, "/v1/jobs", headers, json={"upload_id": upload_id}),
        answers=frozenset({202}),
        holds=_has_one_job,
        left=_has_one_job_or_none,
    ),
    "cancel": Act(
        given=_waiting,
        ask=lambda plant, job_id, headers: post(plant, f"/v1/jobs/{job_id}/cancel", headers),
        answers=frozenset({200, 409}),
        holds=_is_cancelled,
        left=_is_settled,
    ),
    "erase": Act(
        given=done,
        ask=lambda plant, job_id, headers: loopback.delete(
            f"{plant.api.url}/v1/jobs/{job_id}", headers=headers, timeout=30
        ),
        answers=frozenset({204}),
        holds=is_erased,
        left=_is_erased_or_kept,
    ),
    "dead letter": Act(
        given=_tried,
        ask=lambda plant, job_id, headers: post(
            plant, "/internal/dead-letters", headers, content=push_body(job_id)
        ),
        answers=frozenset({204}),
        holds=_is_buried,
        left=_is_buried,
    ),
}
