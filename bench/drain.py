"""How fast a long queue of jobs is drained, beside the same broker pushing to a handler that does the least.

Both queues are full before anything is pushed; they are drained in turns, a part at a time, by two workers
under the same gunicorn settings with the same number of pushes in flight.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
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

#: What `./cutout up` gives a worker, and what a larger machine might.
_SLOTS, _MORE_SLOTS = 1, 4
_PARTS = 5
#: To count what is left takes 10 ms of both sides' processor where 10,000 wait.
_LOOK_S = 0.25
_DRAINS_WITHIN_S = 1800.0
_PILOT = 10**9  #: no number of the others
#: 60 % of their rate is this many times their time.
_TIMES_AT_MOST = round(1 / 0.6, 2)

_Side = tuple[SqliteQueue, Server]


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Drain a long queue with as many slots as a worker has by itself, and a shorter one with more."""
    del drive  # the broker is the client
    by_itself = _measured(data / "by-itself", _SLOTS, effort.drained, _TIMES_AT_MOST)
    return [*by_itself, *_measured(data / "more", _MORE_SLOTS, effort.drained // _PARTS)]


def _measured(data: Path, slots: int, count: int, times_at_most: float | None = None) -> list[Row]:
    """Fill both queues, find out how much a job writes, and drain them in turns."""
    bare = data / "bare"
    bare.mkdir(parents=True)
    promising, other = Promising.on(data), SqliteQueue(data / "bare.db")
    with five_ms(data, "ours()", slots) as ours:
        files, folders = _creates_of_one(promising, data / "objects", ours)
        jobs = promising.promise(count, f"drain, promising {count:,} jobs")
        for job_id in track(jobs, "drain, their queue"):
            other.publish(JOBS, encode(JobMessage(job_id=job_id)))
        with five_ms(data, f"theirs({str(bare)!r}, {files}, {folders})", slots) as theirs:
            ours_s, theirs_s = _drained_s((promising.queue, ours), (other, theirs), slots + 1, count)
    _require_done(promising, jobs)
    what = f"drain of {count:,} jobs, {slots} at once"
    creates = f"{files} files and {folders} folders made durably a job"
    return [
        Row(what=f"{what}; {creates}", unit="s", ours=ours_s, theirs=theirs_s, ratio_at_most=times_at_most),
        Row(what=f"{what}, rate", unit="jobs/s", ours=count / ours_s, theirs=count / theirs_s),
    ]


def _creates_of_one(promising: Promising, objects: Path, ours: Server) -> tuple[int, int]:
    """Let one job be done without the broker; count the files and folders that the worker makes for it."""
    (job_id,) = promising.promise(1, "drain, one job", first=_PILOT)

    def there() -> Counter[bool]:
        return Counter(
            path.is_dir() for kind in ("jobs", "results") for path in _under(objects / kind / job_id)
        )

    before = there()
    ask(ours.port, push_of(job_id))
    _require_done(promising, [job_id])
    made = there() - before
    return made[False], made[True]


def _under(folder: Path) -> Iterator[Path]:
    """Return a folder and everything in it, if it is there."""
    if folder.exists():
        yield folder
        yield from folder.rglob("*")


def _drained_s(ours: _Side, theirs: _Side, in_flight: int, jobs: int) -> tuple[float, float]:
    """Drain both queues a part at a time, and return the seconds that each took in all."""
    took_s = [0.0, 0.0]
    for part in track(range(1, _PARTS + 1), "drain, in turns"):
        for number, (queue, server) in enumerate((ours, theirs)):
            began = time.monotonic()
            _drain(queue, server, in_flight, down_to=jobs - jobs * part // _PARTS)
            took_s[number] += time.monotonic() - began
    return took_s[0], took_s[1]


def _drain(queue: SqliteQueue, server: Server, in_flight: int, down_to: int) -> None:
    endpoint = f"http://127.0.0.1:{server.port}/push"
    rules = Subscription(name="worker", topic=JOBS, endpoint=endpoint, max_in_flight=in_flight)
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
