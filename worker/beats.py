"""The pulse of a claim: shows that its attempt lives, and notices when the job was settled elsewhere."""

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.errors import TransientError
from shared.history import Release
from shared.jobs import Claim
from shared.ledger import Ledger
from shared.logs import bound, bound_fields
from shared.threads import Threads

log = logging.getLogger(__name__)

_THREADS = Threads("beats")

#: How many beats long a claim whose writing is in doubt is looked for.
_DOUBTS = 4


@dataclass
class Pulse:
    """Beats for one claim until it is concluded; a release that storage refuses is tried again."""

    ledger: Ledger
    claim: Claim
    stands_ready: Callable[[], bool] = lambda: False
    settled_elsewhere: threading.Event = field(default_factory=threading.Event)
    _concluded: threading.Event = field(default_factory=threading.Event)
    _owed: tuple[Release, str] | None = None
    _doubts: int = 0

    def tick(self) -> None:
        """Do what is due at one beat."""
        try:
            if self._doubts:
                self._resolve()
                return
            if self._owed:
                self._release(*self._owed)
                return
            self.claim = self.ledger.beat(self.claim, stands_ready=self.stands_ready())
            if self.ledger.is_settled(self.claim):
                self.settled_elsewhere.set()
        except TransientError as error:
            log.warning("claim.beat_missed", extra={"claim": self.claim.number, "reason": repr(error)})

    @property
    def is_concluded(self) -> bool:
        """Whether there is nothing left to beat or to say."""
        return self._concluded.is_set()

    def conclude(self) -> None:
        """Stop beating: the job has been settled."""
        self._concluded.set()

    def release(self, reason: Release, detail: str) -> None:
        """Give the claim back, now or as soon as storage takes it: an outage must not look like a death."""
        self._owed = (reason, detail)
        with contextlib.suppress(TransientError):
            self._release(reason, detail)

    def doubt(self) -> None:
        """Find out whether a claim was written though storage did not say so, and give it back if it was.

        Left alone it would look like a death, and count.  A write may land late: ask more than once.
        """
        self._doubts = _DOUBTS

    def _resolve(self) -> None:
        if self.ledger.is_claimed(self.claim):
            self._doubts = 0
            self._owed = (Release.STORAGE, "Storage did not say that the claim was written.")
            self._release(*self._owed)
        else:
            self._doubts -= 1
            if not self._doubts:
                self._concluded.set()

    def _release(self, reason: Release, detail: str) -> None:
        self.ledger.release(self.claim, reason, detail)
        self._concluded.set()
        log.info(
            "claim.released", extra={"claim": self.claim.number, "reason": reason.value, "detail": detail}
        )

    def _tick_whatever_happens(self) -> None:
        try:
            self.tick()
        except Exception:
            # A pulse that stopped for a fault of ours would look like a death.
            log.exception("claim.beat_crashed", extra={"claim": self.claim.number})

    def start(self) -> None:
        """Beat in a thread of its own."""
        fields = bound_fields()

        def beat() -> None:
            with bound(**fields):
                while not self._concluded.wait(self.ledger.pace.beat.total_seconds()):
                    self._tick_whatever_happens()

        _THREADS.start(beat)
