"""Results: a stable URL for each picture, which signs afresh or serves the bytes itself."""

import logging
import mimetypes
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


@routes.get("/v1/jobs/<job_id>/results/<name>")
def read(job_id: str, name: str) -> Answer:
    """Return one picture of a job."""
    app, job = services(), find_job(job_id)
    picture = _find(job, name)
    if is_expired(job, app.ledger.clock()):
        raise ExpiredError(
            f"The job's pictures were kept until {job.accepted.expires_at.isoformat()} at the latest."
        )
    extension = mimetypes.guess_extension(picture["content_type"]) or ""
    filename = f"{job_id}-{name}{extension}"
    url = app.ledger.store.download_url(
        picture["object"], filename=filename, content_type=picture["content_type"], lifetime=_LIFETIME
    )
    return redirect(url, 302) if url else _serve(picture, filename)


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


def _serve(picture: dict[str, Any], filename: str) -> Answer:
    try:
        stream = services().ledger.store.open(picture["object"])
    except NoSuchObjectError as error:
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
    return response.make_conditional(request, accept_ranges=True, complete_length=picture["bytes"])
