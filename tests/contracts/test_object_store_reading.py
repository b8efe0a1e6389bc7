"""Every object store is seen whole and at once, in order, by its own time, under names that all keep."""

import io
from collections.abc import Iterator
from datetime import UTC, timedelta

import pytest

from shared import folder_files, memory_store
from shared.checksums import crc32c
from shared.ports import ObjectStore, Stat
from tests import gcs_fake_objects
from tests.contracts.stores import at_once, names

# --- reading --------------------------------------------------------------------------------------


def test_a_stream_is_seekable_and_closes(store) -> None:
    store.create("a", b"0123456789")
    with store.open("a") as stream:
        assert stream.seekable()
        assert stream.read(3) == b"012"
        assert stream.seek(-2, io.SEEK_END) == 8
        assert stream.read() == b"89"
        stream.seek(4)
        assert stream.read(1) == b"4"
    assert stream.closed


def test_a_stream_keeps_its_version_whatever_happens_to_the_object(store) -> None:
    first = store.create("a/b", b"old" * 100_000)
    with store.open("a/b") as stream:
        stream.read(1)
        second = store.replace("a/b", b"new", generation=first.generation)
        with store.open("a/b") as newer:
            store.delete("a/b", generation=second.generation)
            store.create("a/b", b"newest")
            assert newer.read() == b"new"
        assert stream.read() == (b"old" * 100_000)[1:]


def test_readers_see_one_version_whole_while_it_is_replaced(store) -> None:
    generation = store.create("a", b"0" * 1000).generation
    sizes = {generation: 1000}
    seen = []

    def write_or_read(number: int) -> None:
        if number:
            seen.extend(store.read("a") for _ in range(200))
            return
        current = generation
        for turn in range(1, 50):
            current = store.replace("a", b"%d" % (turn % 10) * (1000 + turn), generation=current).generation
            sizes[current] = 1000 + turn

    at_once(3, write_or_read)
    assert {(len(set(blob.data)), len(blob.data) - sizes[blob.stat.generation]) for blob in seen} == {(1, 0)}
    assert all(blob.stat.size == len(blob.data) for blob in seen)


# --- listing --------------------------------------------------------------------------------------


LISTED = [
    "dead/1",
    "jobs/job_a/accepted.json",
    "jobs/job_a/e0/claims/1.json",
    "jobs/job_a/e0/terminal.json",
    "jobs/job_ab/accepted.json",
    "open/job_a.e0",
    "open/job_a.e1",
    "open/job_ab.e0",
    "open/job_b.e0",
    "z",
]
PREFIXES = [
    "jobs/",
    "jobs",
    "job",
    "jobs/job_a",
    "jobs/job_a/",
    "jobs/job_a/e0/c",
    "jobs/job_a/accepted.json",
    "open/job_a",
    "open/job_a.",
    "open/job_a.e0",
    "open/job_a.e0/",
    "z",
    "z/",
    "y",
    "none/at/all/",
]


@pytest.mark.parametrize("prefix", ["", *PREFIXES])
def test_a_listing_is_every_name_with_the_prefix_in_order(store, prefix) -> None:
    for name in reversed(LISTED):
        store.create(name, name.encode())
    assert names(store, prefix) == [name for name in sorted(LISTED) if name.startswith(prefix)]


def test_a_listing_of_more_than_a_thousand_is_complete(store) -> None:
    created = [f"open/job_{number:04}.e0" for number in range(1_100)]
    at_once(8, lambda thread: [store.create(name, b"{}") for name in created[thread::8]])
    assert names(store, "open/") == created


def test_a_listing_is_ordered_as_strings_are_not_as_folders_are(store) -> None:
    created = ["a/z", "a-b", "a.b", "a0", "ab/c", "A/b", "ä", "é/x"]
    for name in created:
        store.create(name, b"")
    assert names(store) == sorted(created)


def test_a_listing_knows_every_write_that_was_answered(store) -> None:
    for number in range(10):
        created = store.create(f"a/{number}/b", b"")
        (listed,) = store.list(f"a/{number}/").objects
        assert listed.generation == created.generation
        replaced = store.replace(created.name, b"two", generation=created.generation)
        (listed,) = store.list(f"a/{number}/").objects
        assert (listed.generation, listed.size) == (replaced.generation, 3)
        store.delete(created.name)
        assert names(store, f"a/{number}") == []


def test_a_listing_misses_nothing_that_is_there_throughout(store) -> None:
    kept = [f"a/keep{number}" for number in range(5)]
    generations = {name: store.create(name, b"").generation for name in kept}

    def write_or_list(number: int) -> None:
        for turn in range(40):
            if number == 0:
                store.create(f"a/other{turn}", b"")
            elif number == 1:
                for name in kept[:2]:
                    generations[name] = store.replace(name, b"", generation=generations[name]).generation
            else:
                assert set(kept) <= set(names(store, "a/"))

    at_once(4, write_or_list)


@pytest.fixture
def three_a_page(monkeypatch) -> None:
    for module, name in ((folder_files, "_PAGE"), (memory_store, "_PAGE"), (gcs_fake_objects, "MOST_A_PAGE")):
        monkeypatch.setattr(module, name, 3)


@pytest.mark.usefixtures("three_a_page")
@pytest.mark.parametrize("prefix", ["", *PREFIXES])
def test_pages_are_the_listing_in_pieces(store, prefix) -> None:
    for name in reversed(LISTED):
        store.create(name, name.encode())
    found = list(pages(store, prefix))
    assert [stat.name for page in found for stat in page] == names(store, prefix)
    assert {len(page) for page in found[:-1]} <= {3}
    assert len(found[-1]) <= 3
    known = [(stat.name, stat.size, stat.generation, stat.updated) for page in found for stat in page]
    listing = store.list(prefix).objects
    assert known == [(stat.name, stat.size, stat.generation, stat.updated) for stat in listing]
    assert all(stat.now >= stat.updated for page in found for stat in page)


@pytest.mark.usefixtures("three_a_page")
def test_pages_are_ordered_as_strings_are_not_as_folders_are(store) -> None:
    created = ["a/z", "a-b", "a.b", "a0", "a b/c", "a b c", "ab/c", "A/b", "ä", "é/x"]
    created += ["a/b/c", "a/b-c", "a/b.c", "a/b0", "a/b/d/e"]
    for name in created:
        store.create(name, b"")
    for prefix in ("", "a", "a/b"):
        expected = [name for name in sorted(created) if name.startswith(prefix)]
        assert [stat.name for page in pages(store, prefix) for stat in page] == expected


def test_a_listing_and_its_pages_go_as_deep_as_names_do(store) -> None:
    name = "/".join("a" * 512)
    store.create(name, b"")
    assert names(store) == [stat.name for stat in store.page("").objects] == [name]


def pages(store: ObjectStore, prefix: str) -> Iterator[tuple[Stat, ...]]:
    page = store.page(prefix)
    yield page.objects
    while page.more:
        page = store.page(prefix, page.more)
        yield page.objects


@pytest.mark.usefixtures("three_a_page")
def test_pages_hold_what_is_there_throughout_once_whatever_comes_and_goes(store) -> None:
    kept = [f"a/{number}/keep" for number in range(10)]
    for name in [*kept, *(f"a/{number}/go" for number in range(10))]:
        store.create(name, b"")
    found = []
    for number, page in enumerate(pages(store, "a/")):
        found += [stat.name for stat in page if stat.name.endswith("keep")]
        store.create(f"a/{number}/a", b"")
        store.create(f"b/{number}", b"")
        store.delete(f"a/{number}/go")
        store.delete(page[-1].name.replace("keep", "go"))  # where the next page goes on
    assert found == kept


# --- time -----------------------------------------------------------------------------------------


def test_times_are_utc_and_an_answer_is_not_older_than_what_it_tells_of(store) -> None:
    created = store.create("a", b"")
    listing = store.list("")
    stats = [created, store.stat("a"), *listing.objects]
    stats.append(store.replace("a", b"", generation=created.generation))
    assert {stat.updated.tzinfo for stat in stats} | {stat.now.tzinfo for stat in stats} == {UTC}
    assert {listing.now.tzinfo, store.read("a").stat.now.tzinfo} == {UTC}
    assert all(stat.now >= stat.updated for stat in stats)
    assert all(timedelta(0) <= stat.age < timedelta(minutes=1) for stat in stats)
    assert [stat.now for stat in listing.objects] == [listing.now]


def test_an_object_ages_with_the_stores_time_and_a_replace_makes_it_young(subject) -> None:
    created = subject.store.create("a", b"")
    subject.time.by += timedelta(minutes=10)
    (listed,) = subject.store.list("a").objects
    least = timedelta(minutes=10) - subject.tick
    for stat in (subject.store.stat("a"), listed):
        assert least <= stat.age < timedelta(minutes=11)
        assert stat.updated == created.updated
    assert least <= subject.store.read("a").stat.now - created.updated < timedelta(minutes=11)
    replaced = subject.store.replace("a", b"", generation=created.generation)
    assert replaced.age < timedelta(minutes=1)
    assert timedelta(minutes=10) <= replaced.updated - created.updated < timedelta(minutes=11)
    assert subject.store.stat("a").updated == replaced.updated


# --- names and the rest ---------------------------------------------------------------------------


BAD_NAMES = ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.", ".hidden", "a/.tmp/b", "a\\b"]
BAD_NAMES += ["a\0b", "a\nb", "x" * 256, "/".join(["x" * 250] * 5), "ä" * 128, "\ud800"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: ascii(name)[:20])
@pytest.mark.parametrize(
    "call",
    [
        lambda store, name: store.read(name),
        lambda store, name: store.open(name),
        lambda store, name: store.stat(name),
        lambda store, name: store.create(name, b""),
        lambda store, name: store.replace(name, b"", generation=1),
        lambda store, name: store.delete(name),
        lambda store, name: store.list(f"{name}/x"),
        lambda store, name: store.page(f"{name}/x"),
    ],
    ids=["read", "open", "stat", "create", "replace", "delete", "list", "page"],
)
def test_a_name_that_no_store_could_keep_is_refused(store, call, name) -> None:
    with pytest.raises(ValueError, match=r"cannot name an object|surrogates not allowed"):
        call(store, name)


@pytest.mark.parametrize(
    "name", ["x" * 255, "/".join(["x" * 203] * 5) + "/1234", "ä ö?*:<>|&%2F", "a...", "~"]
)
def test_any_other_name_is_taken(store, name) -> None:
    assert len(name.encode()) <= 1024
    store.create(name, b"here")
    assert store.read(name).data == b"here"
    assert names(store, name) == [name]


def test_a_download_url_is_signed_or_absent(store) -> None:
    store.create("a", b"")
    url = store.download_url("a", filename="a.png", content_type="image/png", lifetime=timedelta(minutes=1))
    assert url is None or url.startswith("https://")


def test_an_upload_ticket_is_signed_or_absent(store) -> None:
    ticket = store.upload_ticket(
        "inputs/1", content_type="image/jpeg", max_bytes=50_000_000, lifetime=timedelta(minutes=15)
    )
    assert ticket is None or ticket.url.startswith("https://")
    assert names(store) == []


def test_a_stat_tells_the_checksum_or_none(store) -> None:
    written, known = store.create("a", b"bytes"), store.stat("a")
    assert {written.crc32c, known.crc32c} <= {crc32c(b"bytes"), None}
    assert (written.crc32c is None) == (known.crc32c is None)


def test_a_store_that_answers_a_ping_is_not_changed_by_it(store) -> None:
    store.ping()
    assert names(store) == []
