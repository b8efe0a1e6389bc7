"""Cloud Storage is asked no more than is needed, by as many threads as there are, for ten seconds at most."""

import gc
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import NoSuchObjectError, StoreUnavailableError
from shared.gcs_patience import Patience
from tests.contracts.stores import at_once
from tests.gcs_fake import running
from tests.gcs_fake_faults import Fault
from tests.gcs_world import GcsWorld, connected, gcs_world
from tests.world import TurnedClock


@pytest.fixture
def world() -> Iterator[GcsWorld]:
    with gcs_world() as world:
        yield world


MIB = 1 << 20

CALLS = {
    "read": (lambda s, _: s.read("a"), {"read": 1}),
    "open": (lambda s, _: s.open("a").close(), {"read": 1}),
    "stat": (lambda s, _: s.stat("a"), {"stat": 1}),
    "list": (lambda s, _: s.list("a"), {"list": 1}),
    "page": (lambda s, _: s.page("a"), {"list": 1}),
    "ping": (lambda s, _: s.ping(), {"stat": 1}),
    "replace": (lambda s, g: s.replace("a", b"2", generation=g), {"insert": 1}),
    "delete": (lambda s, g: s.delete("a", generation=g), {"delete": 1}),
    "delete whatever is there": (lambda s, _: s.delete("a"), {"stat": 1, "delete": 1}),
    "create nothing": (lambda s, _: s.create("b", b""), {"insert": 1}),
    "create 8 MiB": (lambda s, _: s.create("b", bytes(8 * MIB)), {"insert": 1}),
    "create more": (
        lambda s, _: s.create("b", bytes(8 * MIB + 1)),
        {"resumable.start": 1, "resumable.chunk": 1},
    ),
    "create 25 MB": (
        lambda s, _: s.create("b", bytes(25_000_000)),
        {"resumable.start": 1, "resumable.chunk": 2},
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_each_call_costs_its_requests_and_no_other(world, call) -> None:
    generation = world.store.create("a", b"1").generation
    world.fake.faults.calls.clear()
    do, expected = CALLS[call]
    do(world.store, generation)
    assert dict(world.fake.calls) == expected


def test_the_bucket_itself_is_never_asked_for(world) -> None:
    """The client would do so in the background, at the first call and after what is not there."""
    world.store.create("a", b"1")
    for name in ("a", "missing"):
        for look in (world.store.read, world.store.stat):
            try:
                look(name)
            except NoSuchObjectError:
                continue
    world.store.list("a")
    world.store.delete("a")
    time.sleep(0.2)  # for a thread that must not be there
    assert set(world.fake.calls) == {"insert", "read", "stat", "list", "delete"}


def test_a_listing_reads_every_page_each_with_patience_of_the_same_call(world) -> None:
    written = [f"a/{number:04}" for number in range(2_100)]
    for name in written:
        world.fake.objects.insert("photos", {"name": name}, b"", {"ifGenerationMatch": "0"})
    world.fake.faults.plan("list", Fault.UNAVAILABLE, calls=[1, 3])
    listing = world.store.list("a/")
    assert [stat.name for stat in listing.objects] == written
    assert world.fake.calls["list"] == 5
    world.fake.faults.plan("list", Fault.UNAVAILABLE, calls=range(2, 1000))
    with pytest.raises(StoreUnavailableError):
        world.store.list("a/")


def test_a_listing_is_as_old_as_its_first_page() -> None:
    """What was seen first must not look older than it was: a claim would be taken for dead."""
    at = [datetime(2026, 1, 1, tzinfo=UTC)]
    with running(lambda: at[0]) as fake:
        store = connected(fake)
        for number in range(1_001):
            fake.objects.insert("photos", {"name": f"{number:04}"}, b"", {"ifGenerationMatch": "0"})
        at[0] += timedelta(seconds=5)
        fake.faults.meanwhile["list", 1] = lambda: at.__setitem__(0, at[0] + timedelta(minutes=5))
        listing = store.list("")
        store._calls._client.close()
    assert {stat.age for stat in listing.objects} == {timedelta(seconds=5)}


def test_forty_threads_have_forty_connections_and_keep_them(world, caplog) -> None:
    world.store.create("a", b"1")
    world.fake.latency_s = 0.2
    with caplog.at_level(logging.WARNING, "urllib3"):
        at_once(40, lambda _: world.store.read("a"))
        at_once(40, lambda _: world.store.read("a"))
    assert world.fake.peak_at_once > 20  # the default pool would do as many, and throw 30 away each time
    assert world.fake.connections <= 41
    assert caplog.records == []


def test_an_answer_that_nobody_reads_keeps_no_connection(world) -> None:
    world.fake.faults.always("read", Fault.EXPIRED)
    gc.disable()  # it would close what was left behind, some time
    try:
        for _ in range(5):
            with pytest.raises(StoreUnavailableError):
                world.store.read("missing")
    finally:
        gc.enable()
    assert world.fake.connections == 1


def test_ten_seconds_are_the_most_that_a_call_takes(world) -> None:
    world.fake.faults.always("insert", Fault.UNAVAILABLE)
    began = world.naps.monotonic()
    with pytest.raises(StoreUnavailableError):
        world.store.create("a", b"1")
    assert 7 < world.naps.monotonic() - began <= 10
    assert 5 <= world.fake.calls["insert"] <= 60


def test_a_readiness_probe_does_not_wait_that_long(world) -> None:
    world.fake.faults.always("stat", Fault.UNAVAILABLE)
    began = world.naps.monotonic()
    with pytest.raises(StoreUnavailableError):
        world.store.ping()
    assert world.naps.monotonic() - began <= 2


def test_silence_is_not_waited_for_beyond_the_time_of_the_call() -> None:
    with running() as fake:
        store = connected(fake, Patience(total_s=1.0, silence_s=0.7))
        fake.faults.always("read", Fault.STALL)
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            store.read("a")
        assert 0.5 < time.monotonic() - began < 2
        assert fake.calls["read"] >= 1
        store._calls._client.close()


def test_a_store_that_is_not_there_is_unavailable() -> None:
    with running() as fake:
        store = connected(fake, Patience(total_s=0.5))
    with pytest.raises(StoreUnavailableError):
        store.stat("a")


def test_one_change_a_second_is_waited_for() -> None:
    clock = TurnedClock()
    patience = Patience(sleep=lambda s: clock.turn(seconds=s), monotonic=clock.monotonic)
    with running(clock) as fake:
        fake.objects.one_change_a_second = True
        store = connected(fake, patience)
        generation = store.create("a", b"1").generation
        replaced = store.replace("a", b"2", generation=generation)
        assert replaced.updated - TurnedClock().time >= timedelta(seconds=1)
        assert fake.refused
        assert {status for _, status in fake.refused} == {429}
        store._calls._client.close()


def test_bodies_of_no_announced_length_and_compressed_documents_are_read(world) -> None:
    world.fake.is_wrapping = True
    data = bytes(range(256)) * 5_000
    world.store.create("a", data)
    assert world.store.read("a").data == data
    assert world.store.stat("a").size == len(data)
    assert len(world.store.list("").objects) == 1
    world.fake.faults.plan("read", Fault.TRUNCATED)
    assert world.store.read("a").data == data
    assert world.fake.faults.done == {("read", Fault.TRUNCATED): 1}
