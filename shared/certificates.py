"""Certificates by key id, fetched as seldom as their publisher asks for, and kept while they cannot be had.

A key that is known never waits for the publisher to be reachable; one that is not known is looked for at
most once in ten seconds, however many ask. Keys that are no longer published are forgotten.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

#: Between two fetches, so that made-up key ids and an outage cost little.
PAUSE_S = 10.0
#: A fetch of another thread is waited for this long.
_WAIT_S = 5.0
_LEAST_AGE_S, _GREATEST_AGE_S = 60.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Published:
    """What the publisher answered: certificates by key id, and for how long to believe it."""

    certificates: Mapping[str, str]  #: PEM
    max_age_s: float


class Certificates:
    """A cache for any number of threads; ``fetch`` may raise whatever it likes."""

    def __init__(
        self, fetch: Callable[[], Published], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch, self._monotonic = fetch, monotonic
        self._known: Mapping[str, str] = {}
        self._believed_until = self._next_fetch = monotonic()
        self._fetching = threading.Lock()

    def of(self, key_id: str) -> str | None:
        """Return the certificate of a key, or ``None`` if it is not known to be published."""
        if key_id not in self._known:
            self._refresh(_WAIT_S)
        elif self._monotonic() >= self._believed_until:
            self._refresh(0)  # one thread looks, the others go on with what they have
        return self._known.get(key_id)

    def _refresh(self, wait_s: float) -> None:
        if self._fetching.acquire(timeout=wait_s):
            try:
                self._fetch_if_due()
            finally:
                self._fetching.release()

    def _fetch_if_due(self) -> None:
        if self._monotonic() < self._next_fetch:
            return
        self._next_fetch = self._monotonic() + PAUSE_S
        try:
            published = self._fetch()
        except Exception as error:  # noqa: BLE001 - whatever it is, what we have is better than nothing
            extra = {"reason": repr(error), "known": len(self._known)}
            log.error("push_token.certificates_unavailable", extra=extra)  # noqa: TRY400 - the network's fault
            return
        self._known = dict(published.certificates)
        age_s = min(max(published.max_age_s, _LEAST_AGE_S), _GREATEST_AGE_S)
        self._believed_until = self._monotonic() + age_s
        log.info(
            "push_token.certificates_fetched", extra={"known": len(self._known), "believed_for_s": age_s}
        )
