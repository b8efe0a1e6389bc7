"""How long it takes to count and to plan a replay of a day's 10,000 dead letters.

A plan freezes its selection, so that all of it stands in the API's memory once; nothing is opened here.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from bench.load import Call, ask
from bench.processes import Server
from bench.progress import track
from bench.rows import Row
from bench.timings import p95_ms

_AT_MOST_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """A replay of what has failed since a day, ordered of an API over and over."""

    server: Server
    day: datetime

    def rows(self, rounds: int, many: int) -> Iterator[Row]:
        """Measure how long it takes."""
        for name, is_dry in (("counting", True), ("planning", False)):
            took_s = [self.order(many, is_dry=is_dry) for _ in track(range(rounds), name)]
            what = f"{name} a replay of a day's {many}"
            yield Row(what=f"{what}, p50", unit="s", ours=median(took_s), at_most=_AT_MOST_S)
            yield Row(what=f"{what}, p95", unit="s", ours=p95_ms(took_s) / 1000)

    def order(self, many: int, *, is_dry: bool) -> float:
        """Order a replay, or only its count; return how long that took."""
        order = {"reason": "a benchmark", "filters": {"since": f"{self.day:%Y-%m-%d}"}, "dry_run": is_dry}
        call = Call(
            method="POST",
            path="/v1/replays",
            expects=200 if is_dry else 201,
            headers={"Content-Type": "application/json"},
            body=json.dumps(order).encode(),
        )
        began = time.perf_counter()
        _, body = ask(self.server.port, call)
        took_s = time.perf_counter() - began
        if (count := json.loads(body)["count"]) != many:
            raise RuntimeError(f"{count} selected, expected {many}")
        return took_s
