"""``Prefer: wait=n``: hold a poll until there is news, without ever holding the service."""

import re
from collections.abc import Callable

from flask import Request

from api.services import Services
from shared.history import History

MAX_WAIT_S = 20

#: Looks at the store follow each other by this and then by half as much again, up to the last.
_FIRST_LOOK_S, _GROWTH, _LAST_LOOK_S = 0.05, 1.5, 0.5

_WAIT = re.compile(
    r"(?:^|[,;])\s*wait\s*=\s*(?P<quote>\"?)(?P<seconds>\d{1,9})(?P=quote)\s*(?:$|[,;])", re.ASCII
)


def wanted_wait_s(request: Request) -> int:
    """Return how long a client is ready to wait; what cannot be read is no preference."""
    match = _WAIT.search(request.headers.get("Prefer", ""))
    return min(int(match["seconds"]), MAX_WAIT_S) if match else 0


def wait_for_news(
    services: Services, history: History, wait_s: float, is_news: Callable[[History], bool]
) -> tuple[History, bool]:
    """Return a job's history once it is news, or as it is when the time is over, and whether it waited.

    Does not wait when half of the threads are waiting already.
    """
    if is_news(history):
        return history, True
    if not services.waiters.acquire(blocking=False):
        return history, False
    try:
        until, pause = services.monotonic() + wait_s, _FIRST_LOOK_S
        while not is_news(history) and (left := until - services.monotonic()) > 0:
            services.sleep(min(pause, left))
            pause = min(pause * _GROWTH, _LAST_LOOK_S)
            history = services.ledger.history(history.job_id)
    finally:
        services.waiters.release()
    return history, True
