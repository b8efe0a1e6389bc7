"""How long it takes to find a day's dead letters of one cause in a bucket, and what calls that takes.

The bucket is a fake in a process of its own that takes 20 ms longer for each call.  Theirs lists the day and
reads each record, 16 side by side, with Google's client.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from statistics import median

from google.cloud import storage as google

from bench.cloud import FakeStorage, fake_storage
from bench.progress import track
from bench.rows import Row
from shared import dead_letter_index
from shared.dead_letter_index import Filter
from shared.pace import CLOUD
from shared.reading import Reader
from shared.records import dead_name, write_once
from shared.side_by_side import in_thread

_LATENCY_MS, _AT_MOST_S = 20, 2.0
_SLUGS = ("dead-lettered", "poison", "timeout", "out-of-memory")
_AT_ONCE = 16


def measure(data: Path, rounds: int, many: int, day: datetime) -> list[Row]:
    """Fill a bucket, and look for one of the causes on both sides; theirs once, it takes too long."""
    with fake_storage(data) as storage:
        _fill(storage, many, day)
        reader = Reader(store=storage.connected(), pace=CLOUD, beside=in_thread)
        bucket = storage.bucket()
        with storage.slowed(_LATENCY_MS):
            before = storage.requests
            ours_s = [_ours(reader, many, day) for _ in track(range(rounds), "in a bucket")]
            after = storage.requests
            theirs_s = _theirs(bucket, many, day)
            last = storage.requests
    what = f"in a bucket, {_LATENCY_MS} ms a call: those that are poison of a day's {many}"
    calls = (after - before) / rounds
    return [
        Row(what=f"{what}, p50", unit="s", ours=median(ours_s), theirs=theirs_s, at_most=_AT_MOST_S),
        Row(what=f"{what}, calls", unit="calls", ours=calls, theirs=last - after),
    ]


def _ours(reader: Reader, many: int, day: datetime) -> float:
    began = time.perf_counter()
    found = dead_letter_index.find(reader, Filter(since=day, slug="poison"), day)
    count, _ = dead_letter_index.newest(found, 50)
    took_s = time.perf_counter() - began
    _require(count, many)
    return took_s


def _theirs(bucket: google.Bucket, many: int, day: datetime) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        blobs = bucket.list_blobs(prefix=f"dead/{day:%Y-%m-%d}/")
        found = pool.map(lambda blob: json.loads(blob.download_as_bytes())["slug"] == "poison", blobs)
        count = sum(track(list(found), "theirs in a bucket"))
    took_s = time.perf_counter() - began
    _require(count, many)
    return took_s


def _fill(storage: FakeStorage, many: int, day: datetime) -> None:
    store = storage.connected()

    def enter(number: int) -> None:
        told = {"slug": _SLUGS[number % len(_SLUGS)], "tenant": f"{number % 10:032x}", "engine": "grabcut"}
        write_once(store, dead_name(day, f"job_{number:032d}", 0), told, labels=told)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in track(list(pool.map(enter, range(many))), "fill a bucket"):
            pass


def _require(found: int, many: int) -> None:
    if found != many // len(_SLUGS):
        raise RuntimeError(f"{found} found, expected {many // len(_SLUGS)} of {many}")
