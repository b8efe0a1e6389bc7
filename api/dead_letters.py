"""Dead letters for operators: find them, look at one, open its photo, write some off."""

import logging
from datetime import timedelta

from flask import Blueprint, Response, jsonify, redirect, request, send_file
from werkzeug.wrappers import Response as Answer

from api import damage
from api.job_view import is_expired
from api.operator_orders import FILTERS, read_filter, read_resolution
from api.operators import for_operator, read_limit, require_known
from api.services import Services
from shared import dead_letter_index, dead_letters
from shared.dead_letter_index import DeadLetter
from shared.errors import (
    DeadLetterNotFoundError,
    ExpiredError,
    JobNotFoundError,
    JobNotSettledError,
    NoSuchObjectError,
)
from shared.jobs import Job
from shared.messages import is_job_id
from shared.records import UNKNOWN_TYPE

log = logging.getLogger(__name__)
routes = Blueprint("dead_letters", __name__)

_LIFETIME = timedelta(minutes=5)


@routes.get("/v1/dead-letters")
def find() -> Response:
    """List the open dead letters that are meant, newest first; to look at them is no delivery."""
    app = for_operator()
    require_known(*FILTERS, "limit")
    limit, given = read_limit(), request.args.to_dict()
    given.pop("limit", None)
    now = app.ledger.clock()
    found = dead_letter_index.find(app.ledger, read_filter(given, now), now)
    count, newest = dead_letter_index.newest(found, limit)
    read = dead_letter_index.read(app.ledger, newest)
    return jsonify(count=count, truncated=count > limit, dead_letters=[letter.document() for letter in read])


@routes.get("/v1/dead-letters/<job_id>")
def show(job_id: str) -> Response:
    """Tell of each time that a job has failed by no fault of its photo; the photo stays closed."""
    app = for_operator()
    job, letters = _told(app, job_id)
    if not letters:
        raise DeadLetterNotFoundError(f"{_standing(job)}; it has no dead letter.")
    return jsonify(
        id=job_id,
        epoch=job.epoch,
        status=job.status,
        expires_at=job.accepted.expires_at.isoformat(),
        photo=job.accepted.photo.public(),
        photo_kept=not is_expired(job, app.ledger.clock()),
        dead_letters=[letter.document() for letter in letters],
    )


@routes.get("/v1/dead-letters/<job_id>/photo")
def open_photo(job_id: str) -> Answer:
    """Hand out the photo of a job that has a dead letter, and put on record that it was opened."""
    app = for_operator()
    job, letters = _told(app, job_id)
    if not letters:
        raise DeadLetterNotFoundError(f"{job_id} has no dead letter; its photo is nobody's business.")
    if is_expired(job, app.ledger.clock()):
        raise ExpiredError("The job's photo is no longer kept.")
    log.warning("dead_letter.photo_opened", extra={"job_id": job_id})
    photo = job.accepted.photo
    kind = photo.content_type or UNKNOWN_TYPE
    url = app.ledger.store.download_url(photo.name, filename=job_id, content_type=kind, lifetime=_LIFETIME)
    return redirect(url, 302) if url else _serve(app, job)


@routes.post("/v1/dead-letters/resolve")
def resolve() -> Response:
    """Write down that nothing more is to be done about jobs that have failed; all of them, or none."""
    app = for_operator()
    statement = read_resolution(request)
    jobs = [_failed(app, job_id) for job_id in statement.jobs]
    document = {"by": statement.by, "reason": statement.reason, "at": app.ledger.clock().isoformat()}
    resolved = [job.id for job in jobs if dead_letters.resolve(app.ledger.store, job, document)]
    log.info("dead_letter.resolved", extra={"jobs": resolved, "by": statement.by, "reason": statement.reason})
    return jsonify(resolved=resolved, already=[job.id for job in jobs if job.id not in resolved])


def _told(app: Services, job_id: str) -> tuple[Job, list[DeadLetter]]:
    """Return a job and every dead letter that it has had."""
    with damage.named(app.ledger, job_id):
        job = _job(app, job_id)
        return job, dead_letter_index.of_job(app.ledger, job)


def _failed(app: Services, job_id: str) -> Job:
    """Return a job that has failed, and by no fault of its photo."""
    with damage.named(app.ledger, job_id):
        job = _job(app, job_id)
        if job.terminal and dead_letters.is_due(job.terminal):
            return job
    if job.terminal is None and job.worked.number > 0:
        raise JobNotSettledError(
            f"{job_id} was opened again by a replay, and is {job.status}; resolve it if it fails again."
        )
    raise DeadLetterNotFoundError(f"{_standing(job)}: there is nothing to resolve.")


def _standing(job: Job) -> str:
    """Say why a job may have no dead letter."""
    if job.terminal is None or job.status != "failed":
        return f"{job.id} is {job.status}"
    slug = (job.terminal.error or {}).get("slug")
    if dead_letters.is_due(job.terminal):
        return f"{job.id} has just failed ({slug}), and is not in the index yet: the sweep sees to that"
    return f"{job.id} has failed by its photo's own fault ({slug})"


def _job(app: Services, job_id: str) -> Job:
    job = app.ledger.job(job_id) if is_job_id(job_id) else None
    if job is None:
        raise JobNotFoundError(f"There is no job {job_id[:80]}.")
    return job


def _serve(app: Services, job: Job) -> Answer:
    photo = job.accepted.photo
    try:
        stream = app.ledger.store.open(photo.name)
    except NoSuchObjectError as error:
        raise ExpiredError("The job's photo is no longer there.") from error
    response = send_file(
        stream, mimetype=photo.content_type or UNKNOWN_TYPE, download_name=job.id, as_attachment=True
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response
