"""A job as its client sees it: every member always there, URLs absolute, nothing that only we understand."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import request

from api.services import services
from shared.history import History
from shared.jobs import Job
from shared.records import Accepted

_PHASES = {"queued": "queued", "processing": "processing"}


def base_url() -> str:
    """Return what this system's absolute URLs start with."""
    return services().settings.public_url or request.host_url.rstrip("/")


def etag(history: History) -> str:
    """Return what changes when the job does: epoch, status, attempt, terminal record."""
    newest = history.newest
    terminal = newest.terminal.generation if newest.terminal else 0
    facts = f"{history.job_id}|{newest.number}|{newest.attempts}|{terminal}"
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def is_expired(job: Job, now: datetime) -> bool:
    """Whether the job's pictures are gone, or about to be."""
    return job.is_closed or now >= job.accepted.expires_at


def just_accepted(job_id: str, accepted: Accepted) -> dict[str, Any]:
    """Return the document of a job that has just been promised, without asking the store."""
    return _document(job_id, accepted, "queued") | {"epoch": 0, "attempt": 0}


def job_document(job: Job, now: datetime) -> dict[str, Any]:
    """Return the document of a job."""
    first = job.worked.claims.get(1)
    document = _document(job.id, job.accepted, job.status) | {
        "started_at": _iso(first.claimed.updated) if first and first.claimed else None,
        "attempt": job.worked.attempts,
        "epoch": job.epoch,
    }
    if job.terminal:
        document |= {"finished_at": _iso(job.terminal.at), "error": job.terminal.error}
        document["input"] |= job.terminal.outcome.get("input") or {}
        if job.status == "succeeded":
            document |= _outcome(job.id, job.terminal.outcome, is_expired=is_expired(job, now))
    return document


def _document(job_id: str, accepted: Accepted, status: str) -> dict[str, Any]:
    url = f"{base_url()}/v1/jobs/{job_id}"
    return {
        "id": job_id,
        "status": status,
        "phase": _PHASES.get(status, "settled"),
        "created_at": _iso(accepted.created_at),
        "started_at": None,
        "finished_at": None,
        "expires_at": _iso(accepted.expires_at),
        "attempt": 0,
        "epoch": 0,
        "eta_seconds": None,
        "recipe": accepted.recipe.document(),
        "metadata": dict(accepted.metadata),
        "input": accepted.photo.public(),
        "results": {},
        "matte": None,
        "preview": None,
        "subject": None,
        "print": None,
        "engine": None,
        "timings_ms": None,
        "error": None,
        "links": {"self": url, "cancel": f"{url}/cancel"},
    }


def _outcome(job_id: str, outcome: Mapping[str, Any], *, is_expired: bool) -> dict[str, Any]:
    """Return what the worker found; pictures that are gone are not shown."""
    facts = {name: outcome.get(name) for name in ("subject", "print", "engine", "timings_ms")}
    if is_expired:
        return facts
    pictures = {name: _picture(job_id, name, picture) for name, picture in outcome.get("results", {}).items()}
    others = {
        name: _picture(job_id, name, outcome[name]) for name in ("matte", "preview") if outcome.get(name)
    }
    return facts | others | {"results": pictures}


def _picture(job_id: str, name: str, picture: Mapping[str, Any]) -> dict[str, Any]:
    facts = {k: picture.get(k) for k in ("content_type", "width", "height", "bytes", "sha256")}
    return {"url": f"{base_url()}/v1/jobs/{job_id}/results/{name}", **facts}


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
