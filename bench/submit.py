"""How long it takes until a 2 MB photo is accepted: gated, durable, promised, published."""

from pathlib import Path

from bench.effort import Effort
from bench.load import Drive, Load
from bench.photo import TYPICAL_BYTES, submission
from bench.processes import Server, both
from bench.rows import Row
from bench.timings import Measure, in_turns, rows_of

#: By number of clients: milliseconds, and how often the bare handler's time.
_TARGETS = {1: (50.0, 3.0), 16: (None, 2.0)}


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Submit at 1 and at 16 clients, ours and bare in turns."""
    rows: list[Row] = []
    with both(data) as (ours, theirs):
        for clients, (at_most_ms, ratio_at_most) in _TARGETS.items():
            what = f"accepted 2 MB, {_count(clients)}"
            calls = effort.calls(effort.submits, clients)
            timings = in_turns(
                what,
                effort.rounds,
                _round(ours, drive, clients, calls),
                _round(theirs, drive, clients, calls),
            )
            rows += rows_of(what, timings, at_most_ms, ratio_at_most)
    return rows


def _round(server: Server, drive: Drive, clients: int, calls: int) -> Measure:
    load = Load(port=server.port, call=submission(TYPICAL_BYTES), clients=clients, calls=calls)

    def measure_once() -> list[float]:
        seconds = drive(load)
        server.forget_uploads()
        return seconds

    return measure_once


def _count(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"
