"""Turns a submission into a promise: for the photo that came with it, or for one that was uploaded before."""

from dataclasses import dataclass, replace
from datetime import datetime

from flask import request

from api.fleet import deployed_engine
from api.intake import Sent, Submission
from api.services import Services
from shared.errors import (
    EngineUnavailableError,
    FieldFault,
    IdempotencyKeyReusedError,
    UploadUsedError,
)
from shared.records import Accepted, PhotoPin, input_prefix, new_token
from shared.uploads import Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who submits, and the job that is to come of it."""

    tenant: str | None
    job_id: str
    is_keyed: bool  #: whether a retry would bring the same job id


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """What was promised, now or before."""

    job_id: str
    accepted: Accepted
    is_new: bool


def promise(app: Services, submission: Submission, caller: Caller) -> Promised:
    """Promise a job that has not been promised yet, as far as was seen.

    Raises
    ------
    ServiceError
        A problem for the client; nothing was promised.
    """
    if isinstance(submission.photo, Sent):
        accepted = _promise(app, submission, caller, _pin(submission.photo, caller.job_id))
        is_new = app.ledger.accept(caller.job_id, accepted, submission.photo.spool.path)
        return Promised(job_id=caller.job_id, accepted=accepted, is_new=is_new)
    return _promise_upload(app, submission, submission.photo, caller)


def _promise_upload(app: Services, submission: Submission, upload_id: str, caller: Caller) -> Promised:
    uploads = Uploads(store=app.ledger.store, clock=app.ledger.clock, beside=app.ledger.beside)
    upload = uploads.find(upload_id, caller.tenant)
    uploads.require_time(upload)
    photo = uploads.pin(upload)
    upload = uploads.take(upload, caller.job_id, is_keyed=caller.is_keyed)
    holder = upload.job_id or ""
    if holder != caller.job_id:
        if caller.is_keyed or not upload.is_open_to_all or app.ledger.promise(holder):
            raise _used(upload_id)
        # Who comes back without a key, and was promised nothing, goes on where it was cut off.
        caller = replace(caller, job_id=holder)
    accepted = _promise(app, submission, caller, photo)
    try:
        is_new = app.ledger.accept(holder, accepted, None)
    except IdempotencyKeyReusedError as error:
        raise error if caller.is_keyed else _used(upload_id) from error
    if not is_new and not caller.is_keyed:
        raise _used(upload_id)
    return Promised(job_id=holder, accepted=accepted, is_new=is_new)


def _used(upload_id: str) -> UploadUsedError:
    detail = f"upload {upload_id} belongs to another job; begin another upload"
    return UploadUsedError(f"U{detail[1:]}.", faults=[FieldFault("upload_id", detail)])


def require_engine(app: Services, wanted: str | None) -> None:
    """Refuse an engine that is known not to be the deployed one."""
    deployed = deployed_engine(app) if wanted else None
    if deployed and deployed["name"] != wanted:
        detail = f"engine is {wanted!r}; deployed is {deployed['name']}"
        raise EngineUnavailableError(detail, faults=[FieldFault("engine", detail)])


def _promise(app: Services, submission: Submission, caller: Caller, photo: PhotoPin) -> Accepted:
    now: datetime = app.ledger.clock()
    return Accepted(
        created_at=now,
        expires_at=now + app.settings.retention,
        recipe=submission.order.recipe,
        photo=photo,
        request_digest=submission.digest,
        owner=caller.tenant,
        metadata=submission.order.metadata,
        traceparent=request.headers.get("traceparent", "")[:200] or None,
    )


def _pin(photo: Sent, job_id: str) -> PhotoPin:
    """Return all but the generation of a photo, which the ledger pins once it is stored."""
    return PhotoPin(
        # Named after its job: a photo whose job was never promised is told from one that is kept.
        name=f"{input_prefix(job_id)}{new_token()}{new_token()}",
        generation=0,
        bytes=photo.spool.size_bytes,
        crc32c=photo.spool.crc32c,
        sha256=photo.spool.sha256,
        content_type=photo.facts.content_type,
        width=photo.facts.width,
        height=photo.facts.height,
    )
