"""CORS: the same headers on every answer, errors included; a preflight is always 204.

Field report 5: headers that only successes carried made every failure look like a CORS fault.
"""

import logging
import re
from collections.abc import Callable, Iterable

from flask import Flask, Response, request

log = logging.getLogger(__name__)

ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, X-Request-Id"
EXPOSED_HEADERS = "Location, Retry-After, ETag, X-Request-Id, Idempotency-Replayed"
METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"


def install(app: Flask, origins: Iterable[str]) -> None:
    """Answer preflights, and add the headers to every answer."""
    is_ours = matcher(origins)

    @app.before_request
    def preflight() -> Response | None:
        return Response(status=204) if request.method == "OPTIONS" else None

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin and is_ours(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Methods"] = METHODS
            response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
            response.headers["Access-Control-Max-Age"] = "600"
        elif origin:
            log.info("cors.foreign_origin", extra={"origin": origin[:200]})
        return response


def matcher(origins: Iterable[str]) -> Callable[[str], bool]:
    """Return what tells our origins; in a pattern ``*`` stands for one label, or part of one."""
    patterns = [re.compile(re.escape(origin).replace(r"\*", r"[A-Za-z0-9-]+")) for origin in origins]
    return lambda origin: any(pattern.fullmatch(origin) for pattern in patterns)
