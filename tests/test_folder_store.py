"""A folder of objects says when it is full or gone, and minds neither what is left nor what vanishes."""

import errno
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared import drafts as making
from shared import folder_files
from shared.errors import NameTakenError, NoSuchObjectError, StoreFullError, StoreUnavailableError
from shared.folder_files import sync_folder
from shared.folder_store import FolderStore, translate
from shared.memory_store import MemoryStore
from tests.contracts.stores import names


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(root) -> FolderStore:
    return FolderStore(root)


def drafts(root: Path) -> list[Path]:
    return list((root / ".tmp").iterdir())


@contextmanager
def limit(kind: int, soft: int) -> Iterator[None]:
    """Lower one of this process's limits for a while."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


# --- no room, no folder ---------------------------------------------------------------------------


@pytest.fixture
def large_source(tmp_path) -> Path:
    """Return a file that has an object already and must therefore be copied for the next one."""
    source = tmp_path / "source"
    source.write_bytes(b"x" * 200_000)
    (tmp_path / "other").hardlink_to(source)
    return source


def test_a_full_disk_is_said_to_be_full_shows_nothing_leaves_nothing_and_heals(
    store, root, large_source
) -> None:
    kept = store.create("kept", b"old")
    writes = [
        lambda: store.create("new/bytes", b"x" * 200_000),
        lambda: store.create("new/file", large_source),
        lambda: store.replace("kept", b"x" * 200_000, generation=kept.generation),
    ]
    with limit(resource.RLIMIT_FSIZE, 100_000):
        for write in writes:
            with pytest.raises(StoreFullError):
                write()
            assert (names(store), drafts(root)) == (["kept"], [])
        assert store.read("kept").data == b"old"
        store.create("small", b"fits")
        store.delete("small")
    for write in writes:
        write()
    assert [stat.size for stat in store.list("").objects] == [200_000] * 3


def test_a_process_without_free_descriptors_finds_the_store_unavailable(store) -> None:
    generation = store.create("a/b", b"old").generation
    calls = [
        lambda: store.read("a/b"),
        lambda: store.open("a/b"),
        lambda: store.list("a/"),
        lambda: store.page("a/"),
        lambda: store.create("a/c", b""),
        lambda: store.replace("a/b", b"new", generation=generation),
        lambda: store.delete("a/b"),
    ]
    with limit(resource.RLIMIT_NOFILE, 0):
        for call in calls:
            with pytest.raises(StoreUnavailableError) as caught:
                call()
            assert type(caught.value) is StoreUnavailableError
    assert (names(store), store.read("a/b").data) == (["a/b"], b"old")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_translated_as_such(number) -> None:
    assert type(translate(OSError(number, "", "/secret/path"))) is StoreFullError


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOENT, None]
)
def test_whatever_else_the_kernel_says_passes_and_shows_no_path(number) -> None:
    error = translate(OSError(number, "", "/secret/path") if number else OSError("/secret/path"))
    assert type(error) is StoreUnavailableError
    assert "secret" not in error.detail + str(error)


@pytest.mark.parametrize("is_empty_mount", [False, True])
def test_a_folder_that_is_gone_is_unavailable_and_not_empty(store, root, is_empty_mount) -> None:
    """A disk that is not mounted must not make a worker believe that there is no such job."""
    generation = store.create("a/b", b"").generation
    root.rename(root.with_name("moved"))
    if is_empty_mount:
        root.mkdir()
    calls = [
        store.ping,
        lambda: store.read("a/b"),
        lambda: store.open("a/b"),
        lambda: store.stat("a/b"),
        lambda: store.list(""),
        lambda: store.list("a/"),
        lambda: store.page("a/"),
        lambda: store.create("a/c", b""),
        lambda: store.replace("a/b", b"", generation=generation),
        lambda: store.delete("a/b"),
        lambda: store.sweep_temporary(timedelta(0)),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailableError):
            call()
    assert not (root / "a").exists()
    if is_empty_mount:
        root.rmdir()
    root.with_name("moved").rename(root)
    store.ping()
    assert names(store) == ["a/b"]


# --- files without a name --------------------------------------------------------------------------


def test_bytes_in_the_making_have_no_name_that_a_killed_writer_could_leave(store, root, monkeypatch) -> None:
    store.create("a/first", b"makes the folder")
    seen, seal = [], making._seal
    monkeypatch.setattr(making, "_seal", lambda *given: (seen.append({*root.rglob("*")}), seal(*given))[1])
    store.create("a/b", b"here")
    assert seen == [{root / ".tmp", root / ".clock", root / "a", root / "a" / "first"}]
    assert store.read("a/b").data == b"here"


_MOUNTS = """
22 1 0:20 / /proc rw - proc proc rw
29 1 {major}:{minor} / / rw,relatime shared:1 - ext4 /dev/root rw
30 29 {major}:{minor} /sub /data rw master:2 propagate_from:1 - {kind} /dev/vdb rw
"""


@pytest.mark.parametrize(
    ("kind", "has_unnamed"), [("ext4", True), ("xfs", True), ("tmpfs", True), ("btrfs", False)]
)
def test_files_go_without_a_name_only_where_they_are_known_to_survive_a_power_cut(
    root, monkeypatch, kind: str, has_unnamed: bool
) -> None:
    device = root.parent.stat().st_dev
    mounts = _MOUNTS.strip().format(major=os.major(device), minor=os.minor(device), kind=kind)
    monkeypatch.setattr(Path, "read_text", lambda _: mounts)
    assert FolderStore(root)._drafts._has_unnamed is has_unnamed


@pytest.mark.parametrize("mounts", ["", "29 1 0:0 / / rw - ext4 /dev/other rw"])
def test_a_file_system_of_unknown_kind_names_its_files(root, monkeypatch, mounts: str) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: mounts)
    assert not FolderStore(root)._drafts._has_unnamed


def test_without_proc_files_have_names(root, monkeypatch) -> None:
    def fail(_path: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", fail)
    assert not FolderStore(root)._drafts._has_unnamed


def test_a_folder_that_vanishes_under_a_creator_is_not_made_again(store, root, monkeypatch) -> None:
    store.create("a/first", b"makes the folder")
    place = store._place

    def be_late(*given):
        root.rename(root.with_name("elsewhere"))
        return place(*given)

    monkeypatch.setattr(store, "_place", be_late)
    with pytest.raises(StoreUnavailableError):
        store.create("a/b/c", b"nowhere")
    assert not root.exists()


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_a_file_system_that_names_every_file_is_asked_once(store, root, monkeypatch, code) -> None:
    store.create("a/first", b"makes the folder")
    asked, opened = [], os.open

    def refuse(path, flags, *given) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            asked.append(path)
            raise OSError(code, os.strerror(code))
        return opened(path, flags, *given)

    monkeypatch.setattr(os, "open", refuse)
    store.create("a/b", b"here")
    store.create("a/c", b"too")
    assert (asked, names(store), drafts(root)) == ([root / "a"], ["a/b", "a/c", "a/first"], [])


def test_a_disk_that_refuses_to_open_a_file_is_not_taken_for_one_that_cannot(store, monkeypatch) -> None:
    store.create("a/first", b"makes the folder")
    opened = os.open

    def refuse(path, flags, *given) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, *given)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreUnavailableError, match="Read-only"):
        store.create("a/b", b"here")


def test_a_name_without_folders_that_is_taken_at_the_last_moment_is_taken(store, root, monkeypatch) -> None:
    opened = os.open

    def be_late(path, flags, *given) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            (root / "a").write_bytes(b"theirs")
        return opened(path, flags, *given)

    monkeypatch.setattr(os, "open", be_late)
    with pytest.raises(NameTakenError):
        store.create("a", b"ours")
    assert (root / "a").read_bytes() == b"theirs"


# --- what the dead left ---------------------------------------------------------------------------


def test_what_killed_writers_left_is_swept_by_age_and_no_object_with_it(store, root, tmp_path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"photo")
    os.utime(source, ns=(0, 0))
    store.create("a", b"")
    (root / ".tmp" / "left").write_bytes(b"half")
    (root / ".tmp" / "linked").hardlink_to(source)  # young, whatever the source's own time says
    assert store.sweep_temporary(timedelta(hours=1)) == 0
    assert store.sweep_temporary(timedelta(0)) == 2
    assert (drafts(root), names(store), source.read_bytes()) == ([], ["a"], b"photo")


def test_what_killed_writers_left_is_no_object_and_in_nobodys_way(store, root) -> None:
    (root / ".tmp" / "left").write_bytes(b"half")
    (root / "a" / "b").mkdir(parents=True)
    assert names(store) == []
    store.create("a/b", b"here")
    assert names(store) == ["a/b"]


# --- folders and links ----------------------------------------------------------------------------


def test_a_clock_that_stands_still_makes_new_generations_all_the_same(root) -> None:
    store = FolderStore(root, clock_ns=lambda: 1_700_000_000_000_000_000)
    generations = [store.create("a", b"").generation]
    for _ in range(3):
        generations.append(store.replace("a", b"", generation=generations[-1]).generation)
    assert generations == sorted(set(generations))


def test_a_folder_that_was_pruned_is_synced_by_the_one_above_it(root) -> None:
    (root / "kept").mkdir(parents=True)
    sync_folder(root, root / "kept" / "pruned" / "too")
    with pytest.raises(FileNotFoundError):
        sync_folder(root / "gone", root / "gone" / "too")


def test_folders_that_vanish_under_creators_and_walkers_are_no_error(store, root) -> None:
    def come_and_go(number: int) -> None:
        for turn in range(60):
            store.create(f"a/b/{turn % 2}/c/{number}", b"")
            store.delete(f"a/b/{turn % 2}/c/{number}")

    with ThreadPoolExecutor(6) as threads:
        writers = [threads.submit(come_and_go, number) for number in range(4)]
        while not all(writer.done() for writer in writers):
            for stat in store.list("a/").objects:
                with suppress(NoSuchObjectError):
                    store.read(stat.name)
        for writer in writers:
            writer.result()
    assert names(store) == []
    assert sorted(path.name for path in root.iterdir()) == [".clock", ".tmp", "a"]
    assert list((root / "a").iterdir()) == []


def test_a_page_looks_into_no_folder_that_comes_whole_before_or_after_it(store, root, monkeypatch) -> None:
    for day in range(1, 10):
        for number in range(3):
            store.create(f"dead/{day}/{number}", b"")
    monkeypatch.setattr(folder_files, "_PAGE", 3)
    looked, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: looked.append(folder) or scandir(folder))
    found = store.page("dead/", "dead/4/2")
    assert [stat.name for stat in found.objects] == ["dead/5/0", "dead/5/1", "dead/5/2"]
    assert {os.path.relpath(folder, root) for folder in looked} == {"dead", "dead/4", "dead/5", "dead/6"}


@pytest.mark.parametrize("a_page", [1, 2, 4])
def test_a_page_goes_on_after_any_name_whatever_is_there_now(store, monkeypatch, a_page: int) -> None:
    there = sorted(["a/z", "a-b", "a.b", "a0", "a b/c", "ab/c", "a/b/c", "a/b-c", "a/b.c", "a/b0", "a/b/d/e"])
    for name in there:
        store.create(name, b"")
    monkeypatch.setattr(folder_files, "_PAGE", a_page)
    for gone in ("", *there, "a", "a/b", "a/b/c/d", "a/b/", "a-", "a/a/x", "aa", "b"):
        following = [name for name in there if name > gone]
        assert [stat.name for stat in store.page("a", gone).objects] == following[:a_page]


def test_empty_folders_hide_nothing_from_a_page_however_many_they_are(store, root, monkeypatch) -> None:
    for number in range(10):
        (root / "dead" / str(number)).mkdir(parents=True)
    store.create("dead/last", b"")
    monkeypatch.setattr(folder_files, "_PAGE", 3)
    assert [stat.name for stat in store.page("dead/").objects] == ["dead/last"]


def test_a_finished_file_is_linked_and_not_copied(store, root, tmp_path) -> None:
    source = tmp_path / "spooled"
    source.write_bytes(b"x" * 1000)
    store.create("inputs/1", source)
    assert (root / "inputs" / "1").samefile(source)
    store.create("inputs/2", source)
    assert not (root / "inputs" / "2").samefile(source)
    assert drafts(root) == []


def test_a_name_that_is_taken_costs_no_draft(store, root) -> None:
    """What a full disk holds already is still said to be taken."""
    store.create("a", b"")
    with limit(resource.RLIMIT_FSIZE, 0), pytest.raises(NameTakenError):
        store.create("a", b"x" * 10)
    assert drafts(root) == []


@pytest.mark.parametrize("make", [FolderStore, lambda _: MemoryStore(lambda: datetime.now(UTC))])
@pytest.mark.parametrize(
    ("first", "second"), [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c/d"), ("a/b/c/d", "a/b")]
)
def test_a_name_cannot_be_an_object_and_a_folder_at_once(make, root, first, second) -> None:
    """Files cannot do it, so the memory that stands for them in tests refuses it too."""
    store = make(root)
    store.create(first, b"kept")
    with pytest.raises(ValueError, match="at once"):
        store.create(second, b"")
    assert names(store) == [first]
    store.delete(first)
    store.create(second, b"now")
    assert store.read(second).data == b"now"


def test_a_store_needs_its_folders_and_its_clock_only_and_makes_them_for_its_owner_alone(root) -> None:
    FolderStore(root / "deep" / "down")
    store = FolderStore(root / "deep" / "down")
    made = root / "deep" / "down"
    assert [path.name for path in made.iterdir()] == [".tmp"]
    store.list("")
    assert sorted(path.name for path in made.iterdir()) == [".clock", ".tmp"]
    assert [path.stat().st_mode & 0o777 for path in (made, made / ".tmp")] == [0o700] * 2
