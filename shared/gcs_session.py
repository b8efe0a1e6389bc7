"""The HTTP session below the client: as many connections as threads, and the headers of each answer.

What an answer says about itself besides its document stands in its headers: the store's own time, and of
a download its version and checksum.
"""

import re
import threading
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from requests import Response, Session
from requests.adapters import HTTPAdapter

from shared.gcs_errors import FleetingError

_CRC32C = re.compile(r"crc32c=([A-Za-z0-9+/]+={0,2})")


class Answers:
    """The headers of the last answer that this thread got from a session."""

    def __init__(self, session: Session) -> None:
        self._last = threading.local()
        session.hooks["response"].append(self._keep)

    def now(self) -> datetime:
        """Return the store's time of the answer, to the second."""
        return parsedate_to_datetime(self._header("Date")).astimezone(UTC)

    def generation(self) -> int:
        """Return the version that was downloaded."""
        return int(self._header("X-Goog-Generation"))

    def crc32c(self) -> str:
        """Return the CRC32C of the whole object that was downloaded."""
        found = _CRC32C.search(self._header("X-Goog-Hash"))
        return found[1] if found else _missing("X-Goog-Hash")

    def _header(self, name: str) -> str:
        return self._last.headers.get(name) or _missing(name)

    def _keep(self, response: Response, *_args: Any, **_kwargs: Any) -> None:
        self._last.headers = response.headers


def widen(session: Session, connections: int) -> None:
    """Let a session keep a connection for each of so many threads, and send nothing twice by itself."""
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections, max_retries=0)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)


def _missing(header: str) -> str:
    raise FleetingError(f"Cloud Storage's answer lacks {header}.")
