"""When a request is worth a thread: its head is there, and the first bytes of a body, or all of a short one.

This only ever decides when a thread is given; what the request says is read by gunicorn's parser alone.
"""

import re

#: Of a body so much must have come: at the least rate that is taken it is there in time.
FIRST_BYTES = 16_384
HEAD_AT_MOST_BYTES = 65_536
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
#: The client waits for us to ask for the body.
_EXPECTS = re.compile(rb"\r\nexpect:", re.IGNORECASE)


class HeadTooLargeError(Exception):
    """A head does not end."""


def wanted_bytes(seen: bytes) -> int:
    """Return how much of a request must have come before it is worth a thread, given what has come.

    Raises
    ------
    HeadTooLargeError
        If the head is longer than any client's.
    """
    skipped = len(seen) - len(seen.lstrip(b"\r\n"))  # gunicorn passes over an empty line, and reads on
    head, end, body = seen[skipped:].partition(b"\r\n\r\n")
    if not end:
        if len(seen) >= HEAD_AT_MOST_BYTES:
            raise HeadTooLargeError
        return len(seen) + 1
    fields = head + b"\r\n"
    if _EXPECTS.search(fields):
        return 0
    before = skipped + len(head) + len(end)
    if _CHUNKED.search(fields):
        is_enough = body.startswith(b"0\r\n") or b"\r\n0\r\n" in body or len(body) >= FIRST_BYTES
        return 0 if is_enough else len(seen) + 1
    length = _LENGTH.search(fields)
    return before + min(int(length[1]), FIRST_BYTES) if length else 0
