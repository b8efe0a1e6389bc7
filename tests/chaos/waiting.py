"""Waiting for what has to come soon, in processes that tell nobody when it has."""

import time
from collections.abc import Callable, Collection

from tests.promises import require

WITHIN_S = 20.0


def comes(is_so: Callable[[], object], within_s: float = WITHIN_S) -> bool:
    """Wait for something to be so, and say whether it came to be."""
    over = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > over:
            return False
        time.sleep(0.01)
    return True


def require_gone(left: Callable[[], Collection[str]], row: str) -> None:
    """Require that nothing stays of what goes soon."""
    require(comes(lambda: not left()), row, f"left over: {sorted(left())[:5]}")
