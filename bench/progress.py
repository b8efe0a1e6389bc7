"""What a waiting person sees on standard error: a bar on a terminal, else a line a phase."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track as bar

T = TypeVar("T")


def track(steps: Sequence[T], what: str) -> Iterator[T]:
    """Go through the steps of a phase, and say how far it is."""
    began = time.monotonic()
    console = Console(stderr=True)
    if console.is_terminal:
        yield from bar(steps, description=what, console=console, transient=True)
    else:
        yield from steps
    print(f"bench: {what}, {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
