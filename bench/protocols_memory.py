"""How much memory the API holds with both of Google's clients, at rest and after uploads of two sizes."""

from pathlib import Path

from bench.cloud import cloud_settings, fake_storage, pubsub
from bench.effort import Effort
from bench.load import Drive, Load
from bench.photo import LARGE_BYTES, TYPICAL_BYTES, submission
from bench.processes import Server, api, bare
from bench.rows import Row
from shared.pubsub_topology import Pusher, opened
from shared.topology import topology

_TARGET_MB = 160.0
_CLIENTS = 4


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Look at the process that answers, and at a bare handler with one of the clients beside it."""
    with fake_storage(data) as storage, pubsub(data) as project:
        with opened(project) as maker:
            maker.make(topology(), Pusher(urls=dict.fromkeys(("api", "worker"), "http://127.0.0.1:9")))
        settings = cloud_settings(storage, project)
        with api(data, settings) as ours, bare(data, settings) as theirs:
            rows = [_row("at rest", ours, theirs)]
            for size_bytes in (TYPICAL_BYTES, LARGE_BYTES):
                for server in (ours, theirs):
                    call = submission(size_bytes)
                    drive(Load(port=server.port, call=call, clients=_CLIENTS, calls=effort.cloud_uploads))
                photos = f"{effort.cloud_uploads} uploads of {size_bytes // 1_000_000} MB"
                rows.append(_row(f"after {photos} by {_CLIENTS} clients", ours, theirs))
    return rows


def _row(what: str, ours: Server, theirs: Server) -> Row:
    return Row(
        what=f"API child's resident memory with both clients, {what}",
        unit="MB",
        ours=_resident_mb(ours),
        theirs=_resident_mb(theirs),
        at_most=_TARGET_MB,
    )


def _resident_mb(server: Server) -> float:
    resident_bytes: int = server.child.memory_info().rss
    return resident_bytes / 1e6
