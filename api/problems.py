"""Every error as ``application/problem+json``: one handler, one shape, nothing of ours leaked."""

import logging
from collections.abc import Mapping

from flask import Flask, Response, g, json, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from shared.errors import (
    ImageTooLargeError,
    InternalError,
    JobNotSettledError,
    MalformedRequestError,
    MemoryShortError,
    MethodNotAllowedError,
    NotFoundError,
    ServiceError,
    StoreFullError,
    TransientError,
    UnauthenticatedError,
    UnsupportedMediaTypeError,
    every_error,
)

log = logging.getLogger(__name__)

#: What Python says where the system starts no thread: its stack is memory too.
_NO_THREAD = "can't start new thread"
_OF_STATUS: Mapping[int, type[ServiceError]] = {
    400: MalformedRequestError,
    404: NotFoundError,
    405: MethodNotAllowedError,
    413: ImageTooLargeError,
    415: UnsupportedMediaTypeError,
}


def install(app: Flask) -> None:
    """Make every error of an application a problem."""
    app.register_error_handler(ServiceError, _of_ours)
    app.register_error_handler(HTTPException, _of_werkzeug)
    app.register_error_handler(Exception, _of_a_bug)
    app.add_url_rule("/problems/<slug>", endpoint="problem", view_func=explain)


def explain(slug: str) -> Response:
    """Say what a problem's type means: its URLs must lead somewhere."""
    kind = every_error().get(slug)
    if kind is None:
        raise NotFoundError(f"There is no problem {slug!r}; /docs lists those there are.")
    document = {
        "type": f"/problems/{slug}",
        "title": kind.title,
        "status": kind.status,
        "meaning": kind.__doc__,
    }
    return Response(json.dumps(document), content_type="application/json")


def problem(error: ServiceError) -> Response:
    """Return an error's answer."""
    document = error.problem() | {"request_id": g.get("request_id", "")}
    response = Response(json.dumps(document), error.status, content_type="application/problem+json")
    if isinstance(error, UnauthenticatedError):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TransientError | JobNotSettledError):
        response.headers["Retry-After"] = "5" if isinstance(error, StoreFullError) else "1"
    return response


def _of_ours(error: ServiceError) -> Response:
    if isinstance(error, InternalError):
        return _of_a_bug(error)
    if isinstance(error, TransientError):
        # Our own trouble: the operator wants to see it, the client only when to come back.
        log.warning("request.deferred", extra={"reason": type(error).__name__, "detail": error.detail})
    else:
        log.info("request.refused", extra={"slug": error.slug, "detail": error.detail, "path": request.path})
    return problem(error)


def _of_werkzeug(error: HTTPException) -> Response:
    kind = _OF_STATUS.get(error.code or 500)
    if kind is ImageTooLargeError and not _is_too_long():
        kind = MalformedRequestError  # the form parser says 413 of too many or too long text fields
    if kind is None:
        return _of_a_bug(error) if (error.code or 500) >= 500 else _of_ours(MalformedRequestError())  # noqa: PLR2004
    response = _of_ours(kind(_detail(kind, error)))
    if allow := dict(error.get_headers()).get("Allow"):
        response.headers["Allow"] = allow
    return response


def _is_too_long() -> bool:
    length, limit = request.content_length, request.max_content_length
    return length is not None and limit is not None and length > limit


def _detail(kind: type[ServiceError], error: HTTPException) -> str:
    if isinstance(error, RequestEntityTooLarge) and kind is MalformedRequestError:
        return "The form has more than 32 parts, or text of more than 200,000 bytes."
    if kind is ImageTooLargeError:
        return "The request is larger than 25,000,000 bytes of photo and its form."
    if kind is MethodNotAllowedError:
        return f"{request.method} is not offered for {request.path}."
    if kind is NotFoundError:
        return f"There is nothing at {request.path}; /docs lists what there is."
    return error.description or kind.title


def _of_a_bug(error: Exception) -> Response:
    if isinstance(error, MemoryError) or _NO_THREAD in str(error):
        return _of_ours(MemoryShortError("There is too little memory at the moment; try again."))
    log.error("request.crashed", exc_info=error, extra={"path": request.path, "method": request.method})
    return problem(InternalError("Something went wrong on our side; quote the request id when you tell us."))
