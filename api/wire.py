"""What a client is still sending: waited for in bounds, and read before a refusal is sent.

A connection that is closed over unread bytes is reset, and the answer is lost with it.
"""

import contextlib
import logging
import socket as sockets
import time
from typing import Any

from flask import Flask, Response, g, request

log = logging.getLogger(__name__)

#: A client that sends or takes nothing for so long gives its thread back.
STALL_S = 30.0

_DRAIN_BYTES, _DRAIN_S, _PIECE_BYTES = 64_000_000, 10.0, 1 << 16


def install(app: Flask) -> None:
    """Bound how long a silent client is waited for, and read what it sends to the end."""
    app.before_request(_limit_stalls)
    app.after_request(_drain)


def _limit_stalls() -> None:
    _set_timeout(STALL_S)


def _drain(response: Response) -> Response:
    if not request.content_length and "Transfer-Encoding" not in request.headers:
        return response
    stream, left = request.environ["wsgi.input"], _DRAIN_BYTES
    until = time.monotonic() + g.get("drain_s", _DRAIN_S)
    is_read = False
    try:
        while not is_read and left > 0 and (left_s := until - time.monotonic()) > 0:
            _set_timeout(left_s)
            piece = stream.read(_PIECE_BYTES)
            left -= len(piece)
            is_read = not piece
    except OSError:
        log.info("request.gone")
    except (MemoryError, ValueError):
        is_read = False  # gunicorn's reader, which copies what it reads ahead, has found no room for it
    if not is_read:
        stop_reading(request.environ.get("gunicorn.socket"))
    _set_timeout(STALL_S)
    return response


def stop_reading(socket: Any) -> None:
    """Read no more of what a client sends.

    Before it closes a connection gunicorn waits for the client to be silent, for 2 s, and no other is
    served meanwhile: a few that go on sending would stop the service.
    """
    with contextlib.suppress(OSError, AttributeError):  # it is gone, or there is none
        socket.shutdown(sockets.SHUT_RD)


def _set_timeout(seconds: float) -> None:
    # gunicorn's own timeout does not bound a threaded request; it makes the socket blocking again itself.
    if socket := request.environ.get("gunicorn.socket"):
        socket.settimeout(seconds)
