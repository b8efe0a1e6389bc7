"""How long a sweep takes, and that settled jobs, however many, do not make it longer.

A sweep that finds nothing due looks at each open job; one that finds everything due publishes each again.
Records of settled jobs are hard links to one file: a sweep that opened any would read them all the same.
"""

import os
import time
from pathlib import Path
from statistics import median

from bench.effort import Effort
from bench.jobs import Promising
from bench.load import Call, Drive, ask
from bench.processes import Server, api
from bench.progress import track
from bench.rows import Row
from shared.pace import ONE_MACHINE

_AT_MOST_S = 5.0
_UNCHANGED = 1.25  #: of medians on a machine where others are at work
_LOOKS = 7
#: A file may have so many names (ext4: 65,000).
_LINKS_AT_MOST = 30_000
_SWEEP = Call(method="POST", path="/internal/sweep", expects=200)
_RECORDS = ("accepted.json", "e0/terminal.json", "e0/announced.json")


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Sweep open jobs with nothing else on the disk, and again beside many that have settled."""
    del drive  # a sweep has one caller
    promising = Promising.on(data)
    with api(data) as server:
        promising.promise(effort.swept, f"sweep, promising {effort.swept:,} jobs")
        time.sleep(ONE_MACHINE.republish_after.total_seconds())  # publications of all are due
        publishing_s = _swept_s(server)
        alone_s = _looks_s(server)
        _settle(data / "objects" / "jobs", effort.settled)
        beside_s = _looks_s(server)
    what = f"sweep of {effort.swept:,} open jobs"
    return [
        Row(what=f"{what}, all published again", unit="s", ours=publishing_s, at_most=_AT_MOST_S),
        Row(what=f"{what}, nothing due, p50", unit="s", ours=alone_s, at_most=_AT_MOST_S),
        Row(
            what=f"the same beside {effort.settled:,} settled jobs (theirs: without them), p50",
            unit="s",
            ours=beside_s,
            theirs=alone_s,
            at_most=_AT_MOST_S,
            ratio_at_most=_UNCHANGED,
        ),
    ]


def _swept_s(server: Server) -> float:
    began = time.monotonic()
    ask(server.port, _SWEEP)
    return time.monotonic() - began


def _looks_s(server: Server) -> float:
    """Return the median of sweeps; one in which publications have come due is the slowest, and passes."""
    return median(_swept_s(server) for _ in track(range(_LOOKS), "sweep, looking"))


def _settle(jobs: Path, number: int) -> None:
    """Lay down the records of settled jobs."""
    template = jobs.parent / ".tmp" / "settled.json"
    links = 0
    for count in track(range(number), f"sweep, {number:,} settled jobs"):
        job = jobs / f"job_settled{count:016}"
        (job / "e0").mkdir(parents=True)
        for record in _RECORDS:
            if links % _LINKS_AT_MOST == 0:
                template = template.with_name(f"settled-{links}.json")
                template.write_text("{}")
            os.link(template, job / record)
            links += 1
