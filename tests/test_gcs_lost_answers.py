"""When an answer is lost, what others did in the meantime is never taken for ours, nor undone."""

from collections.abc import Callable, Iterator

import pytest

from shared.errors import GenerationMismatchError, NameTakenError, StoreUnavailableError
from tests.gcs_fake_faults import Fault
from tests.gcs_world import GcsWorld, connected, gcs_world


@pytest.fixture
def world() -> Iterator[GcsWorld]:
    with gcs_world(silence_s=0.5) as world:
        yield world


@pytest.fixture
def other(world) -> Iterator[object]:
    """Another process's store."""
    store = connected(world.fake)
    yield store
    store._calls._client.close()


def meanwhile(world: GcsWorld, site: str, do: Callable[[], object], *, call: int = 1) -> None:
    """Let something happen right before a call, counted from 0 and from now, reaches the store."""
    world.fake.faults.calls.clear()

    def once() -> None:
        world.fake.faults.meanwhile.clear()
        do()

    world.fake.faults.meanwhile[site, call] = once


def test_the_same_bytes_of_two_writers_are_told_apart(world, other) -> None:
    """Not by their bytes: both mark the same epoch with the same two."""
    meanwhile(world, "insert", lambda: other.create("open/job.e0", b"{}"))
    world.fake.faults.plan("insert", Fault.RESET)
    with pytest.raises(NameTakenError):
        world.store.create("open/job.e0", b"{}")
    assert world.kept("open/job.e0") == [b"{}"]


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.LATE])
def test_a_photo_that_was_stored_unheard_is_ours(world, fault) -> None:
    photo = bytes(range(256)) * 40_000  # 10 MB: resumable
    world.fake.faults.plan("resumable.chunk", fault)
    stat = world.store.create("inputs/1", photo, content_type="image/jpeg")
    assert world.store.stat("inputs/1").generation == stat.generation
    assert world.kept("inputs/1") == [photo]


def test_a_create_whose_object_was_deleted_meanwhile_is_made_again(world, other) -> None:
    meanwhile(world, "stat", lambda: other.delete("a"), call=0)
    world.fake.faults.plan("insert", Fault.LOST, calls=[0])
    stat = world.store.create("a", b"ours")
    assert world.store.read("a").stat.generation == stat.generation


def test_a_replace_that_others_have_built_on_is_in_doubt(world, other) -> None:
    first = world.store.create("a", b"1")
    meanwhile(
        world, "insert", lambda: other.replace("a", b"3", generation=other.stat("a").generation), call=1
    )
    world.fake.faults.plan("insert", Fault.LOST)
    with pytest.raises(StoreUnavailableError):
        world.store.replace("a", b"2", generation=first.generation)
    assert world.kept("a") == [b"1", b"2", b"3"]
    assert world.store.read("a").data == b"3"


def test_a_replace_that_lost_its_race_before_it_was_heard_is_not_done(world, other) -> None:
    first = world.store.create("a", b"1")
    meanwhile(world, "insert", lambda: other.replace("a", b"3", generation=first.generation), call=1)
    world.fake.faults.plan("insert", Fault.UNAVAILABLE)
    with pytest.raises(StoreUnavailableError):
        world.store.replace("a", b"2", generation=first.generation)
    assert world.kept("a") == [b"1", b"3"]


def test_a_counter_under_lost_answers_counts_no_step_twice(world) -> None:
    world.store.create("counter", b"0")
    done = 0
    for turn in range(30):
        if turn % 3:
            world.fake.faults.plan("insert", Fault.LOST)
        blob = world.store.read("counter")
        count = int(blob.data) + 1
        world.store.replace("counter", b"%d" % count, generation=blob.stat.generation)
        done += 1
    assert int(world.store.read("counter").data) == done == 30


@pytest.mark.parametrize("named", [True, False])
def test_a_repeated_delete_spares_what_was_created_in_between(world, other, named) -> None:
    first = world.store.create("a", b"1")
    meanwhile(world, "delete", lambda: other.create("a", b"2"), call=1)
    world.fake.faults.plan("delete", Fault.LOST)
    with pytest.raises(StoreUnavailableError):
        world.store.delete("a", generation=first.generation if named else None)
    assert world.store.read("a").data == b"2"


def test_a_delete_of_whatever_is_there_hits_what_replaced_it_in_time(world, other) -> None:
    first = world.store.create("a", b"1")
    meanwhile(world, "delete", lambda: other.replace("a", b"2", generation=first.generation), call=0)
    world.store.delete("a")
    assert world.fake.objects._live == {}
    assert dict(world.fake.calls) == {"stat": 2, "insert": 1, "delete": 2}


def test_who_hears_the_first_answer_asks_no_second_question(world) -> None:
    world.store.create("a", b"1")
    world.fake.faults.calls.clear()
    with pytest.raises(NameTakenError):
        world.store.create("a", b"2")
    with pytest.raises(GenerationMismatchError):
        world.store.replace("a", b"2", generation=1)
    assert dict(world.fake.calls) == {"insert": 2}
