"""What a job with two effects costs: calls of the store and the queue by name, and the requests they take.

A call of ours may be several requests of Cloud Storage; both are counted, the requests by the fake itself.
The engine is a quick one: a job of more than 10 s would look for a cancel, one of more than 15 s beat.
"""

from itertools import pairwise
from pathlib import Path

from bench.cloud import FakeStorage, fake_storage
from bench.effort import Effort
from bench.load import Drive
from bench.photo import TYPICAL_BYTES, photo
from bench.protocols_line import Line, without_ids
from bench.rows import Row
from shared.side_by_side import here
from worker.matting.disc import DiscModel

_CALLS, _PUBLISHES = 16, 2


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Do a job without and a job with an Idempotency-Key, and tell every call of the first."""
    del drive, effort  # a job is counted, not timed
    with fake_storage(data) as storage:
        plain = _done(storage)
        keyed = _done(storage, **{"Idempotency-Key": "order-1"})
    return [*_sums(plain, "a job"), *_sums(keyed, "a job with an Idempotency-Key"), *_by_name(plain)]


def _done(storage: FakeStorage, **headers: str) -> Line:
    """Do a job one call after the other: what is requested from one end to the next is one call's."""
    began = storage.requests
    line = Line(storage.connected(), DiscModel(), here, meter=lambda: storage.requests - began)
    job_id = line.submit(photo(TYPICAL_BYTES), **headers)
    line.deliver(job_id)
    calls, publishes = list(line.told_store.calls), list(line.told_queue.calls)
    job = line.job(job_id)
    if job["status"] != "succeeded":
        raise RuntimeError(f"the job to be counted has {job['status']}: {job['error']}")
    line.told_store.calls, line.told_queue.calls = calls, publishes  # without what it took to look
    return line


def _sums(line: Line, what: str) -> list[Row]:
    calls, publishes = line.told_store.calls, line.told_queue.calls
    return [
        Row(what=f"{what}: store calls", unit="calls", ours=len(calls), at_most=_CALLS),
        Row(what=f"{what}: requests to Cloud Storage", unit="requests", ours=calls[-1][1], at_most=_CALLS),
        Row(what=f"{what}: publishes", unit="calls", ours=len(publishes), at_most=_PUBLISHES),
    ]


def _by_name(line: Line) -> list[Row]:
    ends = pairwise([("", 0.0), *line.told_store.calls])
    return [
        Row(what=f"{number}. {without_ids(name)}", unit="requests", ours=at - before)
        for number, ((_, before), (name, at)) in enumerate(ends, 1)
    ]
