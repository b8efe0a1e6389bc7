"""Every object store creates a name once, replaces only for who read the current version, and deletes."""

from contextlib import suppress
from datetime import timedelta

import pytest

from shared.errors import GenerationMismatchError, NameTakenError, NoSuchObjectError
from shared.ports import Stat
from tests.contracts.stores import at_once, names

# --- creating -------------------------------------------------------------------------------------


def test_what_was_created_is_read_back_whole_with_its_stat(store) -> None:
    created = store.create("jobs/a/accepted.json", b'{"a": 1}')
    blob = store.read("jobs/a/accepted.json")
    assert blob.data == b'{"a": 1}'
    assert (created.name, created.size) == ("jobs/a/accepted.json", 8)
    seen = [store.stat("jobs/a/accepted.json"), *store.list("jobs/a/").objects]
    assert [(s.name, s.size, s.generation, s.updated) for s in seen] == [
        (created.name, created.size, created.generation, created.updated)
    ] * 2
    version = blob.stat
    assert (version.name, version.size, version.generation) == (created.name, 8, created.generation)


def test_what_was_answered_is_there_when_the_store_is_opened_again(subject) -> None:
    created = subject.store.create("a/b", b"one")
    replaced = subject.store.replace("a/b", b"two", generation=created.generation)
    subject.store.create("a/c", b"three")
    subject.store.delete("a/c")
    again = subject.again()
    assert (again.read("a/b").data, again.stat("a/b").generation) == (b"two", replaced.generation)
    assert names(again) == ["a/b"]


def test_an_object_is_created_once(store) -> None:
    created = store.create("a", b"first")
    with pytest.raises(NameTakenError):
        store.create("a", b"second")
    assert (store.read("a").data, store.read("a").stat.generation) == (b"first", created.generation)
    assert store.stat("a").updated == created.updated


@pytest.mark.parametrize("name", ["a", "deep/in/folders/that/are/new"])
def test_of_sixteen_creators_one_wins_and_the_bytes_are_the_winners(store, name) -> None:
    def create(number: int) -> Stat | None:
        with suppress(NameTakenError):
            return store.create(name, b"%d" % number * 10_000)
        return None

    answers = at_once(16, create)
    ((winner, stat),) = [(number, stat) for number, stat in enumerate(answers) if stat]
    blob = store.read(name)
    assert blob.data == b"%d" % winner * 10_000
    assert blob.stat.generation == stat.generation
    assert names(store) == [name]


@pytest.mark.parametrize("size", [0, 1, 5_000_000, 9_437_184])
def test_any_size_is_kept(store, size, tmp_path) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "source").write_bytes(data)
    assert store.create("bytes", data).size == size
    assert store.create("path", tmp_path / "source").size == size
    for name in ("bytes", "path"):
        assert store.read(name).data == data
        assert store.stat(name).size == size
        with store.open(name) as stream:
            assert stream.read() == data


def test_labels_are_told_by_a_page_or_not_at_all_and_stay_with_their_version(store) -> None:
    created = store.create("a", b"1", labels={"slug": "poison", "tenant": ""})
    store.create("b", b"1")
    labelled, bare = store.page("").objects
    assert (labelled.labels, bare.labels) in [({"slug": "poison", "tenant": ""}, {}), ({}, {})]
    store.replace("a", b"2", generation=created.generation)
    assert [stat.labels for stat in store.page("").objects] == [{}, {}]


def test_a_content_type_is_taken(store) -> None:
    store.create("photo", b"\xff\xd8\xff", content_type="image/jpeg")
    assert store.read("photo").data == b"\xff\xd8\xff"


# --- replacing ------------------------------------------------------------------------------------


def test_only_who_read_the_current_version_replaces_it(store) -> None:
    first = store.create("a", b"1")
    second = store.replace("a", b"22", generation=first.generation)
    assert (second.name, second.size) == ("a", 2)
    assert second.generation != first.generation
    with pytest.raises(GenerationMismatchError):
        store.replace("a", b"333", generation=first.generation)
    blob = store.read("a")
    assert (blob.data, blob.stat.generation) == (b"22", second.generation)


@pytest.mark.parametrize("name", ["missing", "missing/in/a/folder", "a/gone", "a"])
def test_what_does_not_exist_is_not_replaced(store, name) -> None:
    generation = store.create("a/b", b"").generation
    store.create("a/gone", b"")
    store.delete("a/gone")
    with pytest.raises(GenerationMismatchError):
        store.replace(name, b"new", generation=generation)
    assert names(store) == ["a/b"]


def test_a_counter_that_eight_threads_count_up_loses_nothing(store) -> None:
    store.create("counter", b"0")

    def count_one() -> None:
        while True:
            blob = store.read("counter")
            with suppress(GenerationMismatchError):
                store.replace("counter", b"%d" % (int(blob.data) + 1), generation=blob.stat.generation)
                return

    at_once(8, lambda _: [count_one() for _ in range(25)])
    assert store.read("counter").data == b"200"


def test_no_version_of_a_name_repeats_a_generation(store) -> None:
    generations = []
    for _ in range(20):
        generations.append(store.create("a", b"").generation)
        for _ in range(3):
            generations.append(store.replace("a", b"", generation=generations[-1]).generation)
        store.delete("a")
    assert len(set(generations)) == len(generations)


def test_a_host_whose_clock_is_set_back_repeats_no_generation(subject) -> None:
    first = subject.store.create("a", b"")
    subject.time.by -= timedelta(hours=1)
    assert subject.store.stat("a").age >= timedelta(0)
    assert subject.store.list("").now >= first.updated
    second = subject.store.replace("a", b"", generation=first.generation)
    assert second.generation != first.generation
    listing = subject.store.list("")
    for stat in (second, subject.store.stat("a"), *listing.objects):
        assert stat.age >= timedelta(0)
        assert stat.updated <= listing.now


def test_a_replace_and_a_delete_that_race_have_one_winner(store) -> None:
    for attempt in range(20):
        generation = store.create(f"a/{attempt}", b"old").generation

        def race(number: int, name=f"a/{attempt}", generation=generation) -> str:
            try:
                if number:
                    store.delete(name, generation=generation)
                    return "deleted"
                store.replace(name, b"new", generation=generation)
            except GenerationMismatchError:
                return "lost"
            return "replaced"

        answers = at_once(2, race)
        is_there = f"a/{attempt}" in names(store)
        # Deleted first: replace must see it gone.  Replaced first: delete must see another version.
        assert (answers, is_there) in [(["replaced", "lost"], True), (["lost", "deleted"], False)]


# --- deleting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", ["read", "open", "stat"])
@pytest.mark.parametrize("name", ["never", "never/in/a/folder", "a/gone", "a", "a/b/c"])
def test_what_is_not_there_is_said_to_be_missing(store, read, name) -> None:
    store.create("a/b", b"")
    store.create("a/gone", b"")
    store.delete("a/gone")
    with pytest.raises(NoSuchObjectError):
        getattr(store, read)(name)


def test_deleting_what_is_gone_is_fine(store) -> None:
    generation = store.create("a/b", b"").generation
    for _ in range(2):
        store.delete("a/b", generation=generation)
        store.delete("a/b")
    store.delete("never/there", generation=7)
    assert names(store) == []


def test_a_folder_of_objects_is_nothing_to_delete(store) -> None:
    store.create("a/b", b"")
    store.delete("a")
    assert names(store) == ["a/b"]


def test_a_delete_that_names_a_generation_spares_every_other(store) -> None:
    first = store.create("a", b"1")
    second = store.replace("a", b"2", generation=first.generation)
    with pytest.raises(GenerationMismatchError):
        store.delete("a", generation=first.generation)
    assert store.read("a").data == b"2"
    store.delete("a", generation=second.generation)
    assert names(store) == []


def test_a_name_is_free_again_after_its_delete(store) -> None:
    store.create("a/b/c", b"1")
    store.delete("a/b/c")
    store.create("a/b", b"2")
    store.delete("a/b")
    store.create("a/b/c", b"3")
    assert store.read("a/b/c").data == b"3"


def test_creates_and_deletes_around_each_other_lose_nothing(store) -> None:
    """Folders that become empty come and go under the creators' feet."""

    def come_and_go(number: int) -> None:
        for turn in range(20):
            store.create(f"a/b/c/{number}", b"%d" % turn)
            assert store.read(f"a/b/c/{number}").data == b"%d" % turn
            assert f"a/b/c/{number}" in names(store, "a/")
            store.delete(f"a/b/c/{number}")

    at_once(6, come_and_go)
    assert names(store) == []
