"""Jobs: accept, read, cancel, erase."""

import logging
from typing import Any

from flask import Blueprint, Response, json, request
from werkzeug.datastructures import ETags

from api.identity import new_job_id, require_readable, tenant
from api.intake import read_submission
from api.job_view import etag, job_document, just_accepted
from api.promises import Caller, Promised, promise, require_engine
from api.services import Services, services
from api.waiting import wait_for_news, wanted_wait_s
from shared import settling
from shared.errors import AlreadySettledError, JobNotFoundError
from shared.history import History
from shared.jobs import Job, Kind
from shared.messages import is_job_id
from shared.records import Accepted, Terminal

log = logging.getLogger(__name__)
routes = Blueprint("jobs", __name__)


@routes.post("/v1/jobs")
def submit() -> Response:
    """Promise a job for a photo."""
    app, began = services(), services().monotonic()
    caller = tenant(request, app.settings)
    job_id, is_keyed = new_job_id(request, caller, app.settings)
    # Before the photo has come, so that the client does not wait for this after its last byte.
    before = app.ledger.promise(job_id) if is_keyed else None
    submission = read_submission(request)
    require_engine(app, submission.order.recipe.engine)
    if before:
        is_new = app.ledger.agree(before, submission.digest)
        promised = Promised(job_id=job_id, accepted=before, is_new=is_new)
    else:
        promised = promise(app, submission, Caller(tenant=caller, job_id=job_id, is_keyed=is_keyed))
    return _accepted(app, promised, began)


def _accepted(app: Services, promised: Promised, began: float) -> Response:
    job_id, accepted = promised.job_id, promised.accepted
    if promised.is_new:
        app.ledger.publish(job_id, 0, 0, by="api", traceparent=accepted.traceparent)
        _log_accepted(job_id, accepted, (app.monotonic() - began) * 1000)
        document = just_accepted(job_id, accepted)
    else:
        document = job_document(_job(job_id), app.ledger.clock())
    response = _answer(document, 202)
    response.headers["Location"] = document["links"]["self"]
    response.headers["Retry-After"] = "1"
    if not promised.is_new:
        response.headers["Idempotency-Replayed"] = "true"
    return response


@routes.get("/v1/jobs/<job_id>")
def read(job_id: str) -> Response:
    """Return a job, now or when there is news."""
    app = services()
    wait_s, known, has_waited = wanted_wait_s(request), request.if_none_match, False
    history, accepted = _glance(job_id, may_be_unchanged=bool(wait_s or known))
    if wait_s:
        history, has_waited = wait_for_news(app, history, wait_s, lambda seen: _is_news(app, seen, known))
    if known.contains_weak(etag(history)):
        response = Response(status=304)
    else:
        job = app.ledger.told(history, accepted)
        response = _answer(job_document(job, app.ledger.clock()), 200)
        if job.terminal is None:
            response.headers["Retry-After"] = "1"
    response.set_etag(etag(history))
    response.headers["Cache-Control"] = "private, no-cache"
    if has_waited:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
    return response


def _is_news(app: Services, history: History, known: ETags) -> bool:
    """Whether a history ends a wait: another one than the client knows, or one that moves no more."""
    if history.newest.terminal is not None:
        return True
    if known and not known.contains_weak(etag(history)):
        return True
    newest = history.newest.number
    return newest > 0 and app.ledger.look(history.job_id, newest).kind is Kind.CLOSING


@routes.post("/v1/jobs/<job_id>/cancel")
def cancel(job_id: str) -> Response:
    """Withdraw a job that has not settled."""
    app, job = services(), _job(job_id)
    terminal = job.terminal
    if terminal is None:
        ended = Terminal(
            status="cancelled", at=app.ledger.clock(), settled_by="client", attempt=job.worked.attempts
        )
        known = settling.Known(began=job.history.began(job.worked))
        terminal = settling.settle(app.ledger, job_id, job.worked.number, ended, known)
    if terminal.status != "cancelled":
        raise AlreadySettledError(f"The job has {terminal.status} already.")
    return _answer(job_document(_job(job_id), app.ledger.clock()), 200)


@routes.delete("/v1/jobs/<job_id>")
def erase(job_id: str) -> Response:
    """Delete a settled job's photo and pictures, now."""
    _job(job_id)
    settling.erase(services().ledger, job_id, kind="erasure", by="client")
    return Response(status=204)


def find_job(job_id: str) -> Job:
    """Return a job that the caller may read.

    Raises
    ------
    JobNotFoundError
        If there is none, or it is another tenant's.
    """
    return _job(job_id)


def _job(job_id: str) -> Job:
    return services().ledger.told(*_glance(job_id))


def _glance(job_id: str, *, may_be_unchanged: bool = False) -> tuple[History, Accepted | None]:
    """Look at a job that the caller may read; a stranger is refused before anything tells that it is there.

    For a client that may have seen it all already, a listing alone has to do.
    """
    app, caller = services(), tenant(request, services().settings)
    if not is_job_id(job_id):
        raise JobNotFoundError
    if may_be_unchanged and caller is None:
        history, accepted = app.ledger.history(job_id), None
    else:
        history, accepted = app.ledger.glance(job_id)
        if accepted is None:
            raise JobNotFoundError
        require_readable(accepted, caller)
    if history.accepted is None:
        raise JobNotFoundError
    return history, accepted


def _answer(document: dict[str, Any], status: int) -> Response:
    return Response(json.dumps(document), status, content_type="application/json")


def _log_accepted(job_id: str, accepted: Accepted, took_ms: float) -> None:
    photo = accepted.photo
    log.info(
        "job.accepted",
        extra={
            "job_id": job_id,
            "bytes": photo.bytes,
            "width": photo.width,
            "height": photo.height,
            "content_type": photo.content_type,
            "effects": [effect.name for effect in accepted.recipe.effects],
            "took_ms": round(took_ms, 1),
        },
    )
