"""Whether Cloud Storage refuses changes for their pace in a run of jobs: it takes one a second to a name.

Jobs are tiny and done at once, some are delivered twice, some cancelled; that is the worst for the rule.
Theirs: the same number of jobs that keep one status object each and replace it twice, as is often done.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from google.api_core.exceptions import TooManyRequests
from google.cloud import storage as google

from bench.cloud import FakeStorage, fake_storage
from bench.effort import Effort
from bench.load import Drive
from bench.machine import ROOT
from bench.progress import track
from bench.protocols_line import Line
from bench.rows import Row
from shared.side_by_side import in_thread
from worker.matting.disc import DiscModel

_AT_ONCE = 16
_PHOTO = ROOT / "tests" / "photos" / "cat.jpg"
_EVERY_TWICE, _EVERY_CANCELLED = 20, 25


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Run both over the fake with the rule on, and count what it refused."""
    del drive  # the jobs are made here, where they are worked on
    with fake_storage(data) as storage:
        storage.told(one_change_a_second=1)
        line = Line(storage.connected(), DiscModel(), in_thread, slots=_AT_ONCE)
        ours = _refused(storage, f"{effort.jobs} jobs", effort.jobs, lambda number: _job(line, number))
        bucket = storage.bucket()
        theirs = _refused(
            storage, f"{effort.jobs} status objects", effort.jobs, lambda number: _status(bucket, number)
        )
    what = f"changes refused for their pace (429) in {effort.jobs} jobs"
    return [Row(what=what, unit="refusals", ours=ours, theirs=theirs, at_most=0)]


def _refused(storage: FakeStorage, what: str, jobs: int, do: Callable[[int], None]) -> int:
    before = storage.refused_for_pace()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        done = [pool.submit(do, number) for number in range(jobs)]
        for job in track(done, what):
            job.result()
    return storage.refused_for_pace() - before


def _job(line: Line, number: int) -> None:
    job_id = line.submit(_PHOTO.read_bytes())
    if number % _EVERY_CANCELLED == 0:
        line.cancel(job_id)
    for _ in range(2 if number % _EVERY_TWICE == 0 else 1):
        line.deliver(job_id)
    expected = "cancelled" if number % _EVERY_CANCELLED == 0 else "succeeded"
    if (status := line.job(job_id)["status"]) != expected:
        raise RuntimeError(f"a job of the run is {status}, expected {expected}")


def _status(bucket: google.Bucket, number: int) -> None:
    blob = bucket.blob(f"statuses/{number}.json")
    for status in ("queued", "processing", "done"):
        with suppress(TooManyRequests):
            blob.upload_from_string(f'{{"status": "{status}"}}', retry=None)
