"""A client on a phone's network: its photo comes in pieces, and its wait begins with the last of them."""

import http.client
import time
from contextlib import closing
from dataclasses import replace

from bench.load import Call, WrongAnswerError

#: 50 megabits a second: 2 MB in a third of a second.
_BYTES_A_SECOND = 50_000_000 / 8
_PIECE_BYTES = 65_536


def seconds_after_the_last_byte(port: int, call: Call, **headers: str) -> float:
    """Make a call with its body at a phone's pace; return how long its answer took from the last byte on."""
    call = replace(call, headers={**call.headers, **headers})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.connect()
        _send(connection, call)
        sent = time.perf_counter()
        answer = connection.getresponse()
        body = answer.read()
        took_s = time.perf_counter() - sent
    if answer.status != call.expects:
        raise WrongAnswerError(
            f"{call.path} answered {answer.status}, expected {call.expects}: {body[:500]!r}"
        )
    return took_s


def _send(connection: http.client.HTTPConnection, call: Call) -> None:
    body = call.body or b""
    connection.putrequest(call.method, call.path)
    for name, value in {**call.headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders()
    began = time.perf_counter()
    for place in range(0, len(body), _PIECE_BYTES):
        time.sleep(max(0.0, began + place / _BYTES_A_SECOND - time.perf_counter()))
        connection.send(body[place : place + _PIECE_BYTES])
