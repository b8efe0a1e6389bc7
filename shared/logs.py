"""Logs as events: one JSON line a fact, in the shape that Cloud Logging reads.

``log.info("job.settled", extra={...})`` names the event; what is bound to the current delivery or
request comes along. Never image bytes, signed URLs or secrets.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039 - never changed in place

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add fields to every event logged inside, in this thread or task."""
    token = _bound.set({**_bound.get(), **{k: v for k, v in fields.items() if v is not None}})
    try:
        yield
    finally:
        _bound.reset(token)


def bound_fields() -> dict[str, Any]:
    """Return what is bound now, to be bound again in a thread that is started."""
    return dict(_bound.get())


class EventFormatter(logging.Formatter):
    """Formats a record as one JSON object."""

    def __init__(self, service: str, revision: str) -> None:
        super().__init__()
        self._base = {"service": service, "revision": revision}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        event: dict[str, Any] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "logger": record.name,
            **self._base,
            **_bound.get(),
            **{k: v for k, v in vars(record).items() if k not in _OWN},
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str, ensure_ascii=False)


def configure(service: str, revision: str, stream: TextIO = sys.stderr) -> None:
    """Send every event of this process to a stream; called once by each service's start."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(EventFormatter(service, revision))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
