"""Of hundreds of reads that go wrong, each gives the bytes of one version, whole, or says that it cannot."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from shared.errors import StoreUnavailableError
from tests.gcs_fake_faults import Fault
from tests.gcs_world import GcsWorld, gcs_world

#: How many; ten kinds of fault meet each kind of read often enough in the first.
READS = [250, pytest.param(1_000, marks=pytest.mark.exhaustive)]
FAULTS = [
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
]


@dataclass
class Tally:
    """What became of the reads."""

    counts: Counter = field(default_factory=Counter)
    faults: Counter = field(default_factory=Counter)


def read_one(world: GcsWorld, versions: dict[int, bytes], chance: random.Random) -> str:
    """Read while things go wrong; say what came of it."""
    try:
        if chance.random() < 0.5:
            blob = world.store.read("a")
            is_right = blob.data == versions[blob.stat.generation]
        else:
            with world.store.open("a") as stream:
                is_right = stream.read() in versions.values()
    except StoreUnavailableError:
        return "unavailable"
    return "right" if is_right else "silently corrupt"


def replace(world: GcsWorld, versions: dict[int, bytes], chance: random.Random) -> None:
    data = chance.randbytes(chance.choice([1, 100, 5_000, 200_000]))
    stat = world.store.replace("a", data, generation=max(versions))
    versions[stat.generation] = data


def faulted_reads(world: GcsWorld, chance: random.Random, reads: int) -> Tally:
    """Read so often, one to three faults before each answer; every fifth time it is replaced in between."""
    tally, faults = Tally(), world.fake.faults
    versions = {world.store.create("a", b"first").generation: b"first"}
    for turn in range(reads):
        faults.meanwhile.clear()
        if turn % 5 == 0:
            faults.meanwhile["read", faults.calls["read"] + 1] = lambda: replace(world, versions, chance)
        world.fake.is_wrapping = chance.random() < 0.3
        planned = [chance.choice(FAULTS) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
        for number, fault in enumerate(planned):
            faults.plan("read", fault, calls=[number])
        tally.faults.update(fault.name for fault in planned)
        tally.counts[read_one(world, versions, chance)] += 1
        faults.clear()
    assert len(versions) == reads // 5 + 1
    return tally


@pytest.mark.parametrize("reads", READS)
def test_no_read_is_silently_corrupt(record_property, reads: int) -> None:
    with gcs_world() as world:
        tally = faulted_reads(world, random.Random(3), reads)
        assert world.fake.calls["read"] == reads + tally.faults.total()
    record_property("faulted_reads", dict(tally.counts))
    record_property("faults", dict(tally.faults))
    print(f"{reads} reads, {tally.faults.total()} faults: {dict(tally.counts)}")  # noqa: T201 -- the figure
    assert tally.faults.keys() == {fault.name for fault in FAULTS}
    assert tally.counts["silently corrupt"] == 0
    assert tally.counts == {"right": reads}
