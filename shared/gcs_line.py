"""The line to Cloud Storage below its client: a connection for each thread, and no end to none of them.

What an answer says about itself besides its document stands in its headers: the store's own time, and of
a download its version and checksum.  They are kept for the thread that asked.
"""

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from shared.gcs_errors import FleetingError
from shared.gcs_patience import Budget

_CRC32C = re.compile(r"crc32c=([A-Za-z0-9+/]+={0,2})")
_PIECE_BYTES = 1 << 16


class Line(HTTPAdapter):
    """Carries a session's requests, none of them twice by itself."""

    def __init__(self, connections: int) -> None:
        super().__init__(pool_connections=4, pool_maxsize=connections, max_retries=0)
        self._thread = threading.local()

    def carry(self, session: Session) -> None:
        """Carry what a session sends from now on."""
        for scheme in ("https://", "http://"):
            session.mount(scheme, self)

    def within(self, budget: Budget) -> tuple[float, float]:
        """Bind this thread's requests to a budget; return the next one's timeout."""
        self._thread.budget = budget
        return budget.timeout()

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request; its answer's body must be in while there is time, however it trickles."""
        response: Response = super().send(request, *args, **kwargs)
        self._thread.headers = response.headers
        # The client and requests read by this; it would wait for each piece to be full.
        response.raw.stream = partial(_pieces, response.raw, self._thread.budget.require)
        if not response.ok:
            _ = response.content  # else a 401 that is answered by new credentials keeps its connection
        return response

    def now(self) -> datetime:
        """Return the store's time of the last answer, to the second."""
        return parsedate_to_datetime(self._header("Date")).astimezone(UTC)

    def generation(self) -> int:
        """Return the version that was downloaded."""
        return int(self._header("X-Goog-Generation"))

    def crc32c(self) -> str:
        """Return the CRC32C of the whole object that was downloaded."""
        found = _CRC32C.search(self._header("X-Goog-Hash"))
        return found[1] if found else _missing("X-Goog-Hash")

    def _header(self, name: str) -> str:
        return self._thread.headers.get(name) or _missing(name)


def _pieces(raw: Any, require_time: Callable[[], None], *_size: int, decode_content: bool) -> Iterator[bytes]:
    try:
        while piece := raw.read1(_PIECE_BYTES, decode_content=decode_content):
            require_time()
            yield piece
    except BaseException:
        raw.close()
        raise


def _missing(header: str) -> str:
    raise FleetingError(f"Cloud Storage's answer lacks {header}.")
