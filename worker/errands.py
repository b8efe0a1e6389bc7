"""What an attempt has under way beside its rendering: a few pictures on their way to the store, no more.

An error surfaces at the next errand, or at the end: before the job is settled, as if nothing had been
side by side.  Whoever gives the attempt up waits for what is under way, and can then delete it.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from shared.side_by_side import Beside

#: Errands under way at once, four pictures and a look, and the bytes that they may hold together; a larger
#: picture goes alone.
_AT_MOST, _AT_MOST_BYTES = 5, 32_000_000


@dataclass
class Errands:
    """Pieces of work that were started and not yet waited for."""

    beside: Beside
    _under_way: deque[tuple[Future[object], int]] = field(default_factory=deque)

    def start(self, errand: Callable[[], object], *, holds_bytes: int = 0) -> None:
        """Start an errand once there is room for it; raise what an earlier one has raised."""
        while self._under_way and (self._is_full(holds_bytes) or self._under_way[0][0].done()):
            self._await_oldest()
        self._under_way.append((self.beside(errand), holds_bytes))

    def finish(self) -> None:
        """Wait until everything is done; raise what one has raised."""
        while self._under_way:
            self._await_oldest()

    def abandon(self) -> None:
        """Wait until nothing is under way, however it ends."""
        while self._under_way:
            future, _ = self._under_way.popleft()
            future.exception()

    def _is_full(self, more_bytes: int) -> bool:
        held_bytes = sum(size for _, size in self._under_way)
        return len(self._under_way) >= _AT_MOST or held_bytes + more_bytes > _AT_MOST_BYTES

    def _await_oldest(self) -> None:
        future, _ = self._under_way.popleft()
        future.result()
