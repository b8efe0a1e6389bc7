"""How long a photo waits for its 202, and a delivery for its terminal record, where a store call takes 50 ms.

Of accepting, theirs is a handler that uploads the photo in one call and answers.  Of working, theirs is
the same job with each call made after the one before, as it was once.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from bench.cloud import FakeStorage, cloud_settings, fake_storage, pubsub
from bench.effort import Effort
from bench.load import Drive
from bench.paced import seconds_after_the_last_byte
from bench.photo import TYPICAL_BYTES, photo, submission
from bench.processes import Server, api, bare
from bench.progress import track
from bench.protocols_line import Line
from bench.rows import Row
from bench.timings import in_turns, rows_of
from shared.pubsub_topology import Pusher, opened
from shared.side_by_side import Beside, here, in_thread
from shared.topology import topology
from worker.matting.grabcut import GrabCut

_CALL_MS = 50.0
_ACCEPTED_WITHIN_MS, _BEYOND_THE_PIPELINE_MS = 200.0, 300.0
_STAGES = ("decode", "matte", "foreground", "encode")


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Submit to the API as it runs, over both emulators; then deliver to a worker in this process."""
    del drive  # one client, which mostly waits
    with fake_storage(data) as storage:
        return [*_accepting(data, storage, effort), *_working(storage, effort)]


# --- accepting ------------------------------------------------------------------------------------


def _accepting(data: Path, storage: FakeStorage, effort: Effort) -> list[Row]:
    rows: list[Row] = []
    with pubsub(data) as project:
        with opened(project) as maker:
            nowhere = "http://127.0.0.1:9"  # nobody works on these jobs
            maker.make(topology(), Pusher(urls={"api": nowhere, "worker": nowhere}))
        settings = cloud_settings(storage, project)
        with api(data, settings) as ours, bare(data, settings) as theirs, storage.slowed(_CALL_MS):
            for what, is_keyed in (("", False), (", with an Idempotency-Key", True)):
                name = f"202 after the last byte of 2 MB, {_CALL_MS:g} ms a call{what}"
                timings = in_turns(
                    name,
                    effort.rounds,
                    _submits(ours, effort, is_keyed=is_keyed),
                    _submits(theirs, effort, is_keyed=is_keyed),
                )
                rows += rows_of(name, timings, _ACCEPTED_WITHIN_MS)
    return rows


def _submits(server: Server, effort: Effort, *, is_keyed: bool) -> Callable[[], list[float]]:
    call = submission(TYPICAL_BYTES)

    def measure_once() -> list[float]:
        keys = [{"Idempotency-Key": secrets.token_hex(8)} if is_keyed else {} for _ in range(effort.submits)]
        return [seconds_after_the_last_byte(server.port, call, **key) for key in keys]

    return measure_once


# --- working --------------------------------------------------------------------------------------


@dataclass
class _Side:
    """Deliveries of one side: how long each took to its terminal record, and its pipeline's own part."""

    line: Line
    whole_ms: list[float] = field(default_factory=list)
    beyond_ms: list[float] = field(default_factory=list)

    def deliver(self, storage: FakeStorage) -> None:
        job_id = self.line.submit(photo(TYPICAL_BYTES))
        with storage.slowed(_CALL_MS):
            began = monotonic()
            self.line.deliver(job_id)
            ended = self.line.ended(f"create jobs/{job_id}/e0/terminal.json")
        self.whole_ms.append((ended - began) * 1000)
        self.beyond_ms.append(self.whole_ms[-1] - _own_ms(self.line.job(job_id)["timings_ms"]))


def _working(storage: FakeStorage, effort: Effort) -> list[Row]:
    ours, theirs = _side(storage, in_thread), _side(storage, here)
    for number in track(range(effort.deliveries + 1), "deliveries over a slow store"):
        for side in (ours, theirs):
            side.deliver(storage)
            if not number:  # the first of each warms the machine up
                side.whole_ms.clear()
                side.beyond_ms.clear()
    what = f"delivery of 12 MP with two effects to its terminal record, {_CALL_MS:g} ms a call, p50"
    return [
        _row(what, ours.whole_ms, theirs.whole_ms),
        _row(f"{what}, beyond the pipeline", ours.beyond_ms, theirs.beyond_ms, _BEYOND_THE_PIPELINE_MS),
    ]


def _side(storage: FakeStorage, beside: Beside) -> _Side:
    return _Side(Line(storage.connected(), GrabCut(), beside))


def _own_ms(timings_ms: dict[str, Any]) -> float:
    """Return what the pipeline itself took: everything between the photo's bytes and the pictures'."""
    return float(sum(timings_ms[stage] for stage in _STAGES) + sum(timings_ms["effects"].values()))


def _row(what: str, ours: list[float], theirs: list[float], at_most: float | None = None) -> Row:
    return Row(what=what, unit="ms", ours=median(ours), theirs=median(theirs), at_most=at_most)
