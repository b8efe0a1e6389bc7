"""Whether bytes that were damaged, cut off or swapped on their way are ever taken for the object's.

Theirs is Google's client as it comes, which compares checksums where the answer has one.
"""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from google.cloud.storage.retry import DEFAULT_RETRY

from bench.cloud import FakeStorage, fake_storage
from bench.effort import Effort
from bench.load import Drive
from bench.progress import track
from bench.rows import Row
from shared.errors import ServiceError
from shared.gcs_patience import Patience
from tests.gcs_fake_faults import Fault

_FAULTS = (
    Fault.CORRUPT,
    Fault.TRUNCATED,
    Fault.LOST,
    Fault.RESET,
    Fault.GARBLED,
    Fault.UNNAMED,
    Fault.UNAVAILABLE,
    Fault.INTERNAL,
    Fault.TOO_MANY,
    Fault.TIMEOUT,
)
_SIZES_BYTES = (1, 100, 5_000, 200_000)

Read = Callable[[str], bytes]


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Read with a fault before each answer, the same faults on both sides, and compare every byte."""
    del drive  # what is measured is the bytes, not the time
    with fake_storage(data) as storage:
        objects = _objects(storage)
        ours = _tally(storage, objects, effort.faulted_reads, _our_read(storage), "ours")
        theirs = _tally(storage, objects, effort.faulted_reads, _their_read(storage), "theirs")
    what = f"of {effort.faulted_reads} faulted reads"
    return [
        Row(
            what=f"{what}: silently corrupt",
            unit="reads",
            ours=ours["corrupt"],
            theirs=theirs["corrupt"],
            at_most=0,
        ),
        Row(what=f"{what}: right in the end", unit="reads", ours=ours["right"], theirs=theirs["right"]),
        Row(what=f"{what}: refused with an error", unit="reads", ours=ours["error"], theirs=theirs["error"]),
    ]


def _objects(storage: FakeStorage) -> dict[str, bytes]:
    chance, store = random.Random(1), storage.connected()
    objects = {f"reads/{size}": chance.randbytes(size) for size in _SIZES_BYTES}
    for name, content in objects.items():
        store.create(name, content)
    return objects


def _our_read(storage: FakeStorage) -> Read:
    # Waiting between tries is not what is measured.
    store = storage.connected(Patience(sleep=lambda _: None))
    return lambda name: store.read(name).data


def _their_read(storage: FakeStorage) -> Read:
    bucket = storage.bucket()
    retry = DEFAULT_RETRY.with_delay(initial=0.001, maximum=0.001)
    return lambda name: bytes(bucket.blob(name).download_as_bytes(retry=retry))


def _tally(storage: FakeStorage, objects: dict[str, bytes], reads: int, read: Read, who: str) -> Counter[str]:
    chance, tally = random.Random(2), Counter[str]()
    for _ in track(range(reads), f"faulted reads, {who}"):
        for number in range(chance.choice((1, 1, 1, 2, 3))):
            storage.told(site="read", fault=chance.choice(_FAULTS).name, first=number, last=number)
        name = chance.choice(list(objects))
        tally[_outcome(lambda: read(name), objects[name])] += 1  # noqa: B023 - called at once
        storage.told(reset=1)
    return tally


def _outcome(read: Callable[[], bytes], expected: bytes) -> str:
    try:
        return "right" if read() == expected else "corrupt"
    except ServiceError:
        return "error"
    except Exception:  # noqa: BLE001 - theirs raises what its libraries raise
        return "error"
