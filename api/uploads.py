"""Photos that come before their job: a ticket to upload one, and its door where the store has none."""

from typing import Any

from flask import Blueprint, Response, json, request

from api.identity import tenant
from api.intake import read_json_object
from api.job_view import base_url
from api.services import services
from api.spool import Spool, new_spool
from shared.errors import (
    FieldFault,
    ImageEmptyError,
    ImageTooLargeError,
    InvalidValueError,
    NotFoundError,
    UnknownFieldError,
    UnsupportedImageError,
    UnsupportedMediaTypeError,
)
from shared.photo_gate import MAX_DIRECT_BYTES, TYPES
from shared.places import is_in_the_cloud
from shared.ports import UploadTicket
from shared.uploads import Upload, Uploads

routes = Blueprint("uploads", __name__)

_PIECE_BYTES = 1 << 18


@routes.post("/v1/uploads")
def begin() -> Response:
    """Let a client upload a photo straight to the store, or to this service where there is no such door."""
    owner = tenant(request, services().settings)
    content_type, size_bytes = _wishes()
    uploads = _uploads()
    upload = uploads.begin(content_type, size_bytes, owner)
    ticket = uploads.ticket(upload, MAX_DIRECT_BYTES) or _own_ticket(upload)
    document = {
        "upload_id": upload.id,
        "method": ticket.method,
        "url": ticket.url,
        "headers": dict(ticket.headers),
        "max_bytes": ticket.max_bytes,
        "expires_at": ticket.expires_at.isoformat(timespec="milliseconds"),
    }
    return Response(json.dumps(document), 201, content_type="application/json")


@routes.put("/v1/uploads/<upload_id>")
def receive(upload_id: str) -> Response:
    """Take an upload's photo, where the store has no door of its own; the URL is the right to send it."""
    if is_in_the_cloud(services().settings.store):
        # Here a photo would lie in memory, twice as large as any that comes with its job.
        raise NotFoundError("Photos are not taken here; PUT this one to the URL of its ticket.")
    uploads = _uploads()
    upload = uploads.find(upload_id)
    uploads.require_time(upload)
    spool = _spooled()
    if spool.size_bytes == 0:
        raise ImageEmptyError("The body has no bytes; expected the photo's file.")
    uploads.receive(upload, spool.path)
    return Response(status=204)


def _uploads() -> Uploads:
    ledger = services().ledger
    return Uploads(store=ledger.store, clock=ledger.clock, beside=ledger.beside)


def _own_ticket(upload: Upload) -> UploadTicket:
    return UploadTicket(
        url=f"{base_url()}/v1/uploads/{upload.id}",
        headers={"Content-Type": upload.document["content_type"]},
        max_bytes=MAX_DIRECT_BYTES,
        expires_at=upload.expires_at,
    )


def _wishes() -> tuple[str, int]:
    """Read what is to be uploaded: its type, and how many bytes it has."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaTypeError("Send JSON with content_type and bytes.")
    document = read_json_object(request)
    strangers = sorted(document.keys() - {"content_type", "bytes"})
    if strangers:
        faults = [FieldFault(n, f"{n} is not a field of an upload: content_type, bytes") for n in strangers]
        raise UnknownFieldError("; ".join(f.detail for f in faults), faults=faults)
    content_type, size_bytes = document.get("content_type"), document.get("bytes")
    if not isinstance(content_type, str) or content_type not in TYPES:
        detail = f"content_type is {_shown(content_type)}; expected one of: {', '.join(TYPES)}"
        raise UnsupportedImageError(detail, faults=[FieldFault("content_type", detail)])
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 1:
        detail = f"bytes is {_shown(size_bytes)}; expected how many bytes the file has, 1 or more"
        raise InvalidValueError(detail, faults=[FieldFault("bytes", detail)])
    if size_bytes > MAX_DIRECT_BYTES:
        detail = f"bytes is {_shown(size_bytes)}; at most {MAX_DIRECT_BYTES:,} are taken"
        raise ImageTooLargeError(detail, faults=[FieldFault("bytes", detail)])
    return content_type, size_bytes


def _shown(value: Any) -> str:
    return repr(value)[:80]


def _spooled() -> Spool:
    """Take the body in, as far as it may go."""
    # The spool says it better than the framework, which would count the bytes of what is too long anyway.
    request.max_content_length = None
    if (request.content_length or 0) > MAX_DIRECT_BYTES:
        raise ImageTooLargeError(
            f"The body has {request.content_length:,} bytes; at most {MAX_DIRECT_BYTES:,} are taken."
        )
    spool = new_spool(MAX_DIRECT_BYTES)
    while piece := request.stream.read(_PIECE_BYTES):
        spool.write(piece)
    spool.finish()
    return spool
