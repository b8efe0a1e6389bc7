"""Every object store takes a finished file, leaves it in place, and makes objects independent of it."""

import pytest

from shared.errors import NameTakenError
from tests.contracts.stores import at_once, names


def test_a_source_is_left_in_place_and_may_go_afterwards(store, tmp_path) -> None:
    source = tmp_path / "spooled"
    source.write_bytes(b"photo")
    store.create("inputs/1", source)
    assert source.read_bytes() == b"photo"
    source.unlink()
    assert store.read("inputs/1").data == b"photo"


def test_one_source_makes_objects_that_know_nothing_of_each_other(store, tmp_path) -> None:
    source = tmp_path / "spooled"
    source.write_bytes(b"photo")
    first = store.create("inputs/1", source)
    second = store.create("inputs/2", source)
    with pytest.raises(NameTakenError):
        store.create("inputs/1", source)
    store.replace("inputs/2", b"other", generation=second.generation)
    blob = store.read("inputs/1")
    assert (blob.data, blob.stat.generation) == (b"photo", first.generation)
    assert store.stat("inputs/1").updated == first.updated


def test_one_source_in_many_threads_makes_objects_that_keep_their_generations(store, tmp_path) -> None:
    source = tmp_path / "spooled"
    source.write_bytes(b"photo")
    created = at_once(8, lambda number: store.create(f"inputs/{number}", source))
    assert {s.name: s.generation for s in created} == {
        s.name: s.generation for s in store.list("inputs/").objects
    }


def test_a_source_that_is_a_link_gives_the_bytes_it_leads_to(store, tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"photo")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    store.create("inputs/1", tmp_path / "link")
    (tmp_path / "link").unlink()
    (tmp_path / "file").unlink()
    assert store.read("inputs/1").data == b"photo"


def test_a_missing_source_is_the_callers_error(store, tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        store.create("inputs/1", tmp_path / "missing")
    assert names(store) == []
