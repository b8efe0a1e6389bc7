"""How fast a long queue of jobs is drained, beside the same broker pushing to a handler that does the least.

Both queues are full before anything is pushed; they are drained in turns, a part at a time, by two workers
under the same gunicorn settings with the same number of pushes in flight.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from bench.effort import Effort
from bench.jobs import Promising
from bench.load import Drive, ask
from bench.processes import Server, five_ms
from bench.progress import track
from bench.redelivery import push_of
from bench.rows import Row
from shared.messages import JOBS, JobMessage, encode
from shared.push import Pusher
from shared.sqlite_queue import SqliteQueue
from shared.subscriptions import Subscription

_SLOTS = 4
_IN_FLIGHT = _SLOTS + 1
_PARTS = 5
_LOOK_S = 0.05
_DRAINS_WITHIN_S = 1800.0
_PILOT = 10**9  #: no number of the others
#: 60 % of their rate is this many times their time.
_TIMES_AT_MOST = 1 / 0.6

_Side = tuple[SqliteQueue, Server]


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Fill both queues, find out how much a job writes, and drain them in turns."""
    del drive  # the broker is the client
    bare = data / "bare"
    bare.mkdir(parents=True)
    promising, other = Promising.on(data), SqliteQueue(data / "bare.db")
    with five_ms(data, "ours()", _SLOTS) as ours:
        creates = _creates_of_one(promising, ours)
        jobs = promising.promise(effort.drained, f"drain, promising {effort.drained:,} jobs")
        for job_id in track(jobs, "drain, their queue"):
            other.publish(JOBS, encode(JobMessage(job_id=job_id)))
        with five_ms(data, f"theirs({str(bare)!r}, {creates})", _SLOTS) as theirs:
            ours_s, theirs_s = _drained_s((promising.queue, ours), (other, theirs), effort.drained)
    _require_done(promising, jobs)
    what = f"drain of {effort.drained:,} jobs: engine of 5 ms, {creates} durable creates a job"
    return [
        Row(what=what, unit="s", ours=ours_s, theirs=theirs_s, ratio_at_most=round(_TIMES_AT_MOST, 2)),
        Row(
            what="drain, rate", unit="jobs/s", ours=effort.drained / ours_s, theirs=effort.drained / theirs_s
        ),
    ]


def _creates_of_one(promising: Promising, ours: Server) -> int:
    """Let one job be done without the broker, and count what the worker has created for it."""
    (job_id,) = promising.promise(1, "drain, one job", first=_PILOT)
    store = promising.ledger.store

    def there() -> int:
        return sum(len(store.list(f"{kind}/{job_id}/").objects) for kind in ("jobs", "results"))

    before = there()
    ask(ours.port, push_of(job_id))
    _require_done(promising, [job_id])
    return there() - before


def _drained_s(ours: _Side, theirs: _Side, jobs: int) -> tuple[float, float]:
    """Drain both queues a part at a time, and return the seconds that each took in all."""
    took_s = [0.0, 0.0]
    for part in track(range(1, _PARTS + 1), "drain, in turns"):
        for number, (queue, server) in enumerate((ours, theirs)):
            began = time.monotonic()
            _drain(queue, server, down_to=jobs - jobs * part // _PARTS)
            took_s[number] += time.monotonic() - began
    return took_s[0], took_s[1]


def _drain(queue: SqliteQueue, server: Server, down_to: int) -> None:
    endpoint = f"http://127.0.0.1:{server.port}/push"
    rules = Subscription(name="worker", topic=JOBS, endpoint=endpoint, max_in_flight=_IN_FLIGHT)
    pusher, until = Pusher(queue, [rules]), time.monotonic() + _DRAINS_WITHIN_S
    pusher.start()
    try:
        while sum(depth.waiting + depth.in_flight for depth in queue.depth()) > down_to:
            if time.monotonic() > until:
                raise TimeoutError(f"the queue was not drained within {_DRAINS_WITHIN_S:g} s")
            time.sleep(_LOOK_S)
    finally:
        pusher.stop()


def _require_done(promising: Promising, jobs: Sequence[str]) -> None:
    """Check that it is jobs done that were counted, and not answers."""
    for job_id in jobs:
        job = promising.ledger.job(job_id)
        if job is None or job.status != "succeeded":
            raise RuntimeError(f"{job_id} is {job and job.status}, expected succeeded")
