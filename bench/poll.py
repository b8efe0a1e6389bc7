"""How long it takes to learn where a job stands, and that it has not moved."""

import json
from functools import partial
from pathlib import Path

from bench.effort import Effort
from bench.load import Call, Drive, Load, ask
from bench.photo import TYPICAL_BYTES, submission
from bench.processes import both
from bench.rows import Row
from bench.timings import in_turns, rows_of

_BARE = Call(method="GET", path="/v1/jobs/job_0", expects=200)


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Poll a queued job at 1 and at 16 clients, with and without its ETag, beside a bare GET."""
    rows: list[Row] = []
    with both(data) as (ours, theirs):
        whole, unchanged = _polls(ours.port)
        for clients in (1, 16):
            calls = effort.calls(effort.polls, clients)
            bare = Load(port=theirs.port, call=_BARE, clients=clients, calls=calls)
            for name, call, at_most_ms in (("poll", whole, 5.0), ("poll, 304", unchanged, 3.0)):
                what = f"{name}, {clients} client{'s' if clients > 1 else ''}"
                load = Load(port=ours.port, call=call, clients=clients, calls=calls)
                timings = in_turns(what, effort.rounds, partial(drive, load), partial(drive, bare))
                rows += rows_of(what, timings, at_most_ms if clients == 1 else None)
    return rows


def _polls(port: int) -> tuple[Call, Call]:
    """Submit a job; return the call that reads it and the one that finds it unchanged."""
    _, body = ask(port, submission(TYPICAL_BYTES))
    whole = Call(method="GET", path=f"/v1/jobs/{json.loads(body)['id']}", expects=200)
    answer, _ = ask(port, whole)
    headers = {"If-None-Match": answer.headers["ETag"]}
    return whole, Call(method="GET", path=whole.path, expects=304, headers=headers)
