"""Read a submission: a photo, or the upload that holds it, and what is wanted, refused before a write."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from flask import Request

from api.spool import Spool
from shared.errors import (
    FieldFault,
    ImageMissingError,
    InvalidValueError,
    MalformedRequestError,
    TooManyImagesError,
    UnknownFieldError,
    UnsupportedMediaTypeError,
)
from shared.orders import Order, read_order
from shared.photo_gate import PhotoFacts, inspect_photo
from shared.same_request import request_digest

_MAX_JSON_BYTES = 65_536
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A photo that came with its request and has passed the gate."""

    spool: Spool
    facts: PhotoFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A photo, or the id of the upload that is to hold it, and its order."""

    photo: Sent | str
    order: Order

    @property
    def digest(self) -> str:
        """What makes two submissions the same request."""
        recipe, metadata = self.order.recipe, self.order.metadata
        if isinstance(self.photo, str):
            return request_digest(recipe, metadata, upload=self.photo)
        return request_digest(recipe, metadata, photo=self.photo.spool.sha256)


def read_submission(request: Request) -> Submission:
    """Read and check a submission.

    Raises
    ------
    ServiceError
        A problem for the client.
    """
    if request.mimetype == "application/json":
        return _read_json(request)
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaTypeError(
            "Send multipart/form-data with the photo as image, or JSON with an upload_id."
        )
    if "boundary" not in request.mimetype_params:
        raise MalformedRequestError("The multipart body names no boundary.")
    _parse(request)
    spool = _one_photo(request)
    order = _order(_fields(request), is_form=True)
    spool.finish()
    spool.seek(0)
    facts = inspect_photo(cast("Any", spool.file), spool.size_bytes)
    return Submission(photo=Sent(spool=spool, facts=facts), order=order)


def _parse(request: Request) -> None:
    """Take the form in, spooling its files as they come."""
    try:
        names: set[str | None] = {*request.form, *request.files}
    except ValueError as error:
        raise MalformedRequestError("The multipart body is damaged, or ends too early.") from error
    if None in names:
        raise MalformedRequestError("A part of the form has no name.")


def _order(fields: Mapping[str, Any], *, is_form: bool) -> Order:
    try:
        order = read_order(fields, is_form=is_form)
    except RecursionError as error:
        raise MalformedRequestError("The JSON is nested too deeply.") from error
    _require_storable(order.metadata)
    return order


def _require_storable(value: object, depth: int = 1) -> None:
    """Refuse JSON that a record cannot hold, or that another reader of it would fail over."""
    if depth > _MAX_DEPTH:
        raise _invalid("metadata", f"metadata is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        raise _invalid("metadata", "metadata has half of a surrogate pair; expected Unicode text")
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    for item in inner:
        _require_storable(item, depth + 1)


def _one_photo(request: Request) -> Spool:
    strangers = sorted(name for name in request.files if name != "image")
    if strangers:
        faults = [
            FieldFault(name, f"{name} is not taken as a file; the photo is image") for name in strangers
        ]
        raise UnknownFieldError("; ".join(f.detail for f in faults), faults=faults)
    photos = request.files.getlist("image")
    if not photos:
        raise ImageMissingError(
            "There is no file part named image.", faults=[FieldFault("image", "a file is expected")]
        )
    if len(photos) > 1:
        raise TooManyImagesError(f"There are {len(photos)} images; send one a request.")
    return cast("Spool", photos[0].stream)


def _fields(request: Request) -> dict[str, str]:
    twice = [name for name, values in request.form.lists() if len(values) > 1]
    if twice:
        faults = [FieldFault(name, f"{name} is given more than once") for name in twice]
        raise InvalidValueError("; ".join(f.detail for f in faults), faults=faults)
    return request.form.to_dict()


def _read_json(request: Request) -> Submission:
    document = read_json_object(request)
    upload_id = document.pop("upload_id", None)
    order = _order(document, is_form=False)
    if upload_id is None:
        raise ImageMissingError(
            "JSON names its photo by upload_id; send a photo itself as multipart/form-data."
        )
    return Submission(photo=upload_id if isinstance(upload_id, str) else repr(upload_id), order=order)


def read_json_object(
    request: Request, max_bytes: int = _MAX_JSON_BYTES, *, may_be_absent: bool = False
) -> dict[str, Any]:
    """Read a body that is a JSON object; where it may be absent, that is an empty object."""
    body = request.stream.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise MalformedRequestError(f"The JSON has more than {max_bytes:,} bytes.")
    if may_be_absent and not body:
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError("The body is not JSON.") from error
    if not isinstance(document, dict):
        raise MalformedRequestError("The body is not a JSON object.")
    return document


def _invalid(field: str, detail: str) -> InvalidValueError:
    return InvalidValueError(detail, faults=[FieldFault(field, detail)])
