"""How much memory the API holds, and whether it grows with what has been uploaded.

The process that answers requests is looked at: at rest, after the first large uploads, and after ten times
as many.  Uploads are deleted behind it, so that less than 5 GB lie on the disk at once.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.effort import Effort
from bench.load import Drive, Load
from bench.photo import LARGE_BYTES, submission
from bench.processes import Server, both
from bench.progress import track
from bench.rows import Row

_CLIENTS = 4
_BATCH = 50
#: A photo is moved from the temporary folder to its place within this time.
_SETTLED_AFTER_S = 3.0


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Look at the resident memory of the API's child, and of the bare handler's beside it."""
    first, last = f"after {effort.uploads_first} uploads", f"after {effort.uploads} uploads"
    with both(data) as (ours, theirs):
        at_rest_mb = _resident_mb(ours), _resident_mb(theirs)
        for server in (ours, theirs):
            _upload(server, drive, effort.uploads_first, "memory, first uploads")
        early_mb = _resident_mb(ours), _resident_mb(theirs)
        # Theirs would go on for a minute and a half without telling anything about ours.
        _upload(ours, drive, effort.uploads - effort.uploads_first, "memory, more uploads")
        late_mb = _resident_mb(ours), None
    return [
        _row("API child's resident memory, at rest", at_rest_mb, 120),
        _row(f"API child's resident memory, {first} of 20 MB", early_mb, 120),
        _row(f"API child's resident memory, {last} of 20 MB", late_mb, 120),
        Row(what=f"growth from {first} to {last}", unit="MB", ours=late_mb[0] - early_mb[0], at_most=5),
    ]


def _row(what: str, ours_and_theirs_mb: tuple[float, float | None], at_most_mb: float) -> Row:
    ours_mb, theirs_mb = ours_and_theirs_mb
    return Row(what=what, unit="MB", ours=ours_mb, theirs=theirs_mb, at_most=at_most_mb)


def _upload(server: Server, drive: Drive, count: int, what: str) -> None:
    call = submission(LARGE_BYTES)
    batches = [min(_BATCH, count - begun) for begun in range(0, count, _BATCH)]
    with _forgetting(server):
        for calls in track(batches, what):
            drive(Load(port=server.port, call=call, clients=_CLIENTS, calls=calls))


@contextmanager
def _forgetting(server: Server) -> Iterator[None]:
    """Delete uploads behind the clients, all of them in the end."""
    is_over = threading.Event()

    def forget() -> None:
        while not is_over.wait(0.5):
            server.forget_uploads(_SETTLED_AFTER_S)

    thread = threading.Thread(target=forget)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        server.forget_uploads()


def _resident_mb(server: Server) -> float:
    resident_bytes: int = server.child.memory_info().rss
    return resident_bytes / 1e6
