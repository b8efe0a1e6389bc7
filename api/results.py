"""Results: a stable URL for each picture, which signs afresh or serves the bytes itself."""

import logging
from datetime import timedelta
from typing import Any

from flask import Blueprint, redirect, request, send_file
from werkzeug.wrappers import Response as Answer

from api.job_view import is_expired
from api.jobs import find_job
from api.services import services
from shared.catalogue import find_effect
from shared.errors import (
    ExpiredError,
    InternalError,
    JobNotSettledError,
    NoSuchObjectError,
    ResultNotFoundError,
)
from shared.jobs import Job

log = logging.getLogger(__name__)
routes = Blueprint("results", __name__)

_LIFETIME = timedelta(minutes=15)
_CACHED_S = 3600
_EXTENSIONS = {"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg"}


@routes.get("/v1/jobs/<job_id>/results/<name>")
def read(job_id: str, name: str) -> Answer:
    """Return one picture of a job."""
    app, job = services(), find_job(job_id)
    picture = _find(job, name)
    _require_kept(job)
    filename = f"{job_id}-{name}{_EXTENSIONS.get(picture['content_type'], '')}"
    url = app.ledger.store.download_url(
        picture["object"], filename=filename, content_type=picture["content_type"], lifetime=_LIFETIME
    )
    return redirect(url, 302) if url else _serve(job, picture, filename)


def _require_kept(job: Job) -> None:
    now, until = services().ledger.clock(), job.accepted.expires_at
    if is_expired(job, now):
        why = "deleted, as was asked for" if now < until else f"kept until {until.isoformat()}"
        raise ExpiredError(f"The job's pictures were {why}.")


def _find(job: Job, name: str) -> dict[str, Any]:
    if job.terminal is None:
        raise JobNotSettledError("The job has not settled yet; its results come when it succeeds.")
    outcome = job.terminal.outcome if job.status == "succeeded" else {}
    effect = find_effect(name)
    picture = outcome.get(name) if name in {"matte", "preview"} else None
    found = picture or outcome.get("results", {}).get(effect.name if effect else name)
    if not found:
        names = [*outcome.get("results", {}), *(n for n in ("matte", "preview") if n in outcome)]
        raise ResultNotFoundError(f"The job has {job.status}; its results are: {', '.join(names) or 'none'}.")
    picture_found: dict[str, Any] = found
    return picture_found


def _serve(job: Job, picture: dict[str, Any], filename: str) -> Answer:
    try:
        stream = services().ledger.store.open(picture["object"])
    except NoSuchObjectError as error:
        _require_kept(find_job(job.id))  # it may have been erased while we looked
        raise InternalError(f"{picture['object']} was promised and is not there") from error
    response = send_file(
        stream,
        mimetype=picture["content_type"],
        download_name=filename,
        etag=picture["sha256"],
        conditional=False,
        max_age=_CACHED_S,
    )
    response.headers["Cache-Control"] = f"private, max-age={_CACHED_S}"
    response.headers["Content-Disposition"] = f'inline; filename="{filename}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.content_length = picture["bytes"]
    # A range that cannot be satisfied is passed over, as HTTP allows: the whole picture is no error.
    is_apt = request.range is not None and request.range.range_for_length(picture["bytes"]) is not None
    environ = {k: v for k, v in request.environ.items() if is_apt or k != "HTTP_RANGE"}
    return response.make_conditional(environ, accept_ranges=True, complete_length=picture["bytes"])
