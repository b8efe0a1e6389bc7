"""Dead letters are found by day, cause and shop; to look at them is no delivery and changes nothing."""

import time
import tracemalloc
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared import dead_letter_index, dead_letters, folder_files, memory_store, records
from shared.dead_letter_index import DeadLetter, Filter
from shared.errors import ImageCorruptError, OutOfMemoryError, PoisonError, StoreUnavailableError
from shared.folder_store import FolderStore
from shared.pace import CLOUD, ONE_MACHINE
from shared.reading import Reader
from shared.records import Terminal
from shared.side_by_side import in_thread
from tests.dead import a_plan, die, drive, driver, fail, job_name
from tests.gcs_world import gcs_world
from tests.world import JOB, Process, World

EVERY = Filter()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def find(world: World, wanted: Filter = EVERY) -> list[DeadLetter]:
    return list(dead_letter_index.find(world.ledger(), wanted, world.clock()))


def found(world: World, **wanted) -> list[str]:
    return [letter.job_id for letter in find(world, Filter(**wanted))]


def test_a_failure_that_is_ours_is_entered_with_its_cause_shop_and_engine(world: World) -> None:
    world.accept()
    world.model.fail_with = OutOfMemoryError("cuda")
    for _ in range(4):
        world.deliver()
    (letter,) = dead_letter_index.read(world.ledger(), find(world))
    facts = {name: letter.facts[name] for name in ("slug", "engine", "tenant", "attempt")}
    assert facts == {"slug": "out-of-memory", "engine": "disc", "tenant": None, "attempt": 3}


@pytest.mark.parametrize(
    ("fault", "slug"),
    [
        (OutOfMemoryError("cuda"), "out-of-memory"),
        (MemoryError(), "out-of-memory"),
        (None, "timeout"),
        (ValueError("bug"), "internal-error"),
    ],
)
def test_a_job_that_ran_out_of_memory_or_time_can_be_replayed_once_that_is_mended(
    world: World, fault: Exception | None, slug: str
) -> None:
    world.accept()
    world.model.fail_with = fault
    world.model.during = None if fault else lambda: world.clock.turn(seconds=481)
    for _ in range(4):
        world.deliver()
    assert found(world, slug=slug) == [JOB]
    world.model.fail_with = world.model.during = None
    drive(world, driver(world).begin(a_plan(world, [JOB])))
    world.assert_succeeded(epoch=1)
    assert found(world) == []


def test_the_photos_own_fault_is_no_dead_letter(world: World) -> None:
    die(world, 1, error=ImageCorruptError)
    assert found(world) == []


def test_they_are_found_by_time_cause_and_engine(world: World) -> None:
    first = die(world, 1, 2)
    world.clock.turn(days=1)
    noon = world.clock()
    second = die(world, 3, error=PoisonError)
    world.clock.turn(days=40)
    third = die(world, 4)
    assert found(world) == [*first, *second, *third]
    assert found(world, since=noon) == [*second, *third]
    assert found(world, since=noon, until=noon + timedelta(seconds=1)) == second
    assert found(world, until=noon) == first
    assert found(world, since=datetime(2025, 1, 1, tzinfo=UTC), until=noon) == first
    assert found(world, slug="poison") == second
    assert found(world, slug="poison", since=noon + timedelta(seconds=1)) == []
    assert found(world, engine="grabcut") == found(world, tenant="nobody") == []


def test_a_days_filter_lists_that_day_and_its_neighbours_and_reads_records_only_if_it_must(
    world: World,
) -> None:
    die(world, 1, 2)
    world.clock.turn(days=1)
    today, calls = world.clock(), []
    ledger = world.ledger(Process(calls.append))
    days = [f"before store.page dead/2026-01-0{day}/" for day in (1, 2, 3)]
    for wanted, expected in (
        (Filter(since=today), days),
        (Filter(since=today - timedelta(days=100)), ["before store.page dead/"]),
        (Filter(), ["before store.page dead/"]),
    ):
        calls.clear()
        list(dead_letter_index.find(ledger, wanted, today))
        assert [call for call in calls if call.startswith("before")] == expected
    calls.clear()
    list(dead_letter_index.find(ledger, Filter(slug="poison"), today))
    assert sum(call.startswith("before store.read dead/") for call in calls) == 2


def test_where_the_store_tells_labels_only_entries_without_them_are_read() -> None:
    with gcs_world() as gcs:
        reader = Reader(store=gcs.store, pace=CLOUD, beside=in_thread)
        for number, slug in enumerate(["poison", "timeout", "poison"]):
            dead_letters.enter(reader, job_name(number), 0, failed(slug))
        old = records.dead_name(AT, job_name(7), 0)
        records.write_once(gcs.store, old, {"slug": "poison", "tenant": "a"})
        before = Counter(gcs.fake.calls)
        letters = list(dead_letter_index.find(reader, Filter(slug="poison"), AT))
        assert Counter(gcs.fake.calls) - before == {"list": 1, "read": 1}
        assert [letter.job_id for letter in letters] == [job_name(0), job_name(2), job_name(7)]
        assert list(dead_letter_index.find(reader, Filter(slug="poison", tenant="b"), AT)) == []
        told = [letter.document()["error"] for letter in dead_letter_index.read(reader, letters)]
        assert told == [{"slug": "poison"}, {"slug": "poison"}, None]


def test_what_others_have_written_on_an_entry_in_a_bucket_tells_nothing() -> None:
    with gcs_world() as gcs:
        reader = Reader(store=gcs.store, pace=CLOUD, beside=in_thread)
        record = {"slug": "poison", "tenant": "a", "engine": None}
        foreign = {"goog-reserved-file-mtime": "1"}
        ours = {"slug": "poison", "tenant": "a", "engine": ""}
        for number, labels in enumerate([foreign, {"slug": "timeout"}, {**ours, **foreign}]):
            records.write_once(gcs.store, records.dead_name(AT, job_name(number), 0), record, labels=labels)
        letters = list(dead_letter_index.find(reader, Filter(slug="poison", tenant="a"), AT))
        assert [letter.job_id for letter in letters] == [job_name(number) for number in range(3)]
        assert letters[2].facts == record


AT = datetime(2026, 1, 1, tzinfo=UTC)


def failed(slug: str) -> Terminal:
    return Terminal(status="failed", attempt=0, settled_by="test", at=AT, error={"slug": slug})


@pytest.mark.parametrize("fails", [0, 20, 39])
def test_whoever_reads_waits_for_what_it_has_begun(world: World, fails: int, monkeypatch) -> None:
    """However it ends: nothing is read on behalf of a call that has been answered."""
    letters = [
        DeadLetter(job_id=job_name(number), epoch=0, name=f"dead/{number}", at=AT, state="open")
        for number in range(40)
    ]
    ended: list[str] = []

    def read_record(_store: object, name: str) -> dict[str, str]:
        time.sleep(0.01 if name == letters[fails].name else 0.03)
        ended.append(name)
        if name == letters[fails].name:
            raise StoreUnavailableError("as ordered")
        return {}

    monkeypatch.setattr(records, "read_record", read_record)
    reader = Reader(store=world.store, pace=world.pace, beside=in_thread)
    with pytest.raises(StoreUnavailableError):
        list(dead_letter_index.read(reader, letters))
    count = len(ended)
    time.sleep(0.1)
    assert len(ended) == count


def test_a_failure_at_midnight_is_found_on_both_sides_of_it(world: World) -> None:
    """The day in the name is the settling host's, the time is the store's."""
    world.clock.time = datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC)
    (name,) = die(world, 1)
    record = world.store.read(f"dead/2026-01-01/{name}.e0.json").data
    world.store.delete(f"dead/2026-01-01/{name}.e0.json")
    world.clock.turn(seconds=2)
    world.store.create(f"dead/2026-01-01/{name}.e0.json", record)
    assert found(world, since=datetime(2026, 1, 2, tzinfo=UTC)) == [name]


def test_what_was_replayed_or_resolved_is_found_only_if_it_is_asked_for(world: World) -> None:
    replayed, resolved, left = die(world, 1, 2, 3)
    drive(world, driver(world).begin(a_plan(world, [replayed])))
    terminal = world.ledger().terminal(resolved, 0)
    assert dead_letters.handle(world.store, (resolved, 0), terminal, dead_letters.RESOLVED, {"by": "ada"})
    assert not dead_letters.handle(world.store, (resolved, 0), terminal, dead_letters.RESOLVED, {"by": "bob"})
    assert found(world) == [left]
    assert [state_of(world, name) for name in (replayed, resolved, left)] == ["replayed", "resolved", "open"]


@pytest.mark.parametrize("a_page", [1, 2, 3, 4, 5])
def test_what_was_done_is_seen_wherever_a_page_ends(world: World, a_page: int, monkeypatch) -> None:
    replayed, resolved, both, left = die(world, 1, 2, 3, 4)
    drive(world, driver(world).begin(a_plan(world, [replayed])))
    for name in (resolved, both):
        terminal = world.ledger().terminal(name, 0)
        dead_letters.handle(world.store, (name, 0), terminal, dead_letters.RESOLVED, {"by": "ada"})
    drive(world, driver(world).begin(a_plan(world, [both], filters={"jobs": [both]})))
    monkeypatch.setattr(memory_store, "_PAGE", a_page)
    assert found(world) == [left]


def test_what_is_held_does_not_grow_with_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder_files._PAGE < 5_000
    monkeypatch.setattr(folder_files, "_PAGE", 1_000)  # so that fewer than 15,000 show it
    store, day = FolderStore(tmp_path), datetime.now(UTC)
    few, many = (held_while_finding(store, count, day) for count in (1_200, 3_600))
    assert many < 1.1 * few


def held_while_finding(store: FolderStore, count: int, day: datetime) -> int:
    """Return the most bytes at once."""
    folder = store._root / "dead" / f"{day:%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"job_{number:032d}.e0.json").write_bytes(b"{}")
    tracemalloc.start()
    try:
        reader = Reader(store=store, pace=ONE_MACHINE)
        letters = dead_letter_index.find(reader, Filter(since=day - timedelta(days=1)), day)
        assert dead_letter_index.newest(letters, 50)[0] == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def state_of(world: World, name: str) -> str:
    (letter,) = dead_letter_index.of_job(world.ledger(), world.job(name))
    return letter.state


def test_what_is_replayed_after_all_is_no_longer_resolved(world: World) -> None:
    (name,) = die(world, 1)
    terminal = world.ledger().terminal(name, 0)
    dead_letters.handle(world.store, (name, 0), terminal, dead_letters.RESOLVED, {"by": "ada"})
    drive(world, driver(world).begin(a_plan(world, [name], filters={"jobs": [name]})))
    assert state_of(world, name) == "replayed"


def test_a_jobs_dead_letters_are_told_whatever_was_done_about_them(world: World) -> None:
    (name,) = die(world, 1)
    for epoch in range(1, 11):
        world.clock.turn(hours=12)
        plan = a_plan(world, [], id=f"replay_2026010100000{epoch:03d}", selection=((name, epoch - 1),))
        driver(world).advance(driver(world).begin(plan).id)
        fail(world, name, epoch)
    letters = dead_letter_index.of_job(world.ledger(), world.job(name))
    assert [(each.epoch, each.state) for each in letters] == [
        *((n, "replayed") for n in range(10)),
        (10, "open"),
    ]
    assert letters[-1].document() == {
        "id": name,
        "epoch": 10,
        "at": world.clock().isoformat(),
        "state": "open",
        "handled": None,
        "slug": "dead-lettered",
        "tenant": None,
        "engine": None,
        "attempt": 0,
        "settled_by": "test",
        "error": world.job(name).terminal.error,
    }


def test_a_job_that_failed_again_is_one_open_dead_letter(world: World) -> None:
    (name,) = die(world, 1)
    driver(world).begin(a_plan(world, [name]))
    driver(world).advance(a_plan(world, [name]).id)
    fail(world, name, 1)
    (letter,) = find(world)
    assert letter.key == (name, 1)


def test_looking_changes_nothing(world: World) -> None:
    die(world, 1, 2, 3)
    before = {stat.name: stat.generation for stat in world.store.list("").objects}
    published = len(world.queue.published)
    for wanted in (Filter(), Filter(slug="poison"), Filter(since=world.clock())):
        list(dead_letter_index.read(world.ledger(), find(world, wanted)))
    dead_letter_index.of_job(world.ledger(), world.job(job_name(1)))
    assert {stat.name: stat.generation for stat in world.store.list("").objects} == before
    assert len(world.queue.published) == published


def test_an_entry_of_an_older_build_or_a_damaged_one_hides_no_other(world: World) -> None:
    world.put(f"dead/2026-01-01/{JOB}.e0.json", error={"slug": "poison"})
    world.store.create(f"dead/2026-01-01/{job_name(7)}.e0.json", b"not json")
    world.put("dead/2026-01-01/something-else.json")
    assert found(world) == sorted([JOB, job_name(7)])
    assert found(world, slug="poison") == [JOB]


def test_an_entry_that_cannot_be_read_says_so_in_the_log_and_where_it_is_listed(world: World, caplog) -> None:
    name = f"dead/2026-01-01/{job_name(7)}.e0.json"
    world.store.create(name, b"not json")
    assert found(world, slug="poison") == []
    (event,) = [r for r in caplog.records if r.getMessage() == "dead_letter.unreadable"]
    assert (event.levelname, event.object) == ("WARNING", name)
    (letter,) = dead_letter_index.read(world.ledger(), find(world))
    assert letter.document()["slug"] == "unreadable"
    assert found(world, slug="unreadable") == [job_name(7)]


def test_an_entry_that_is_gone_meanwhile_is_no_warning(world: World, caplog) -> None:
    letters = [DeadLetter(job_id=JOB, epoch=0, name="dead/2026-01-01/gone", at=AT, state="open")]
    (letter,) = dead_letter_index.read(world.ledger(), letters)
    assert letter.document()["slug"] is None
    assert "dead_letter.unreadable" not in caplog.messages


def test_what_is_told_with_the_name_stands_where_the_record_cannot_be_read() -> None:
    with gcs_world() as gcs:
        reader = Reader(store=gcs.store, pace=CLOUD, beside=in_thread)
        labels = {"slug": "poison", "tenant": "a", "engine": ""}
        gcs.store.create(records.dead_name(AT, JOB, 0), b"not json", labels=labels)
        letters = dead_letter_index.find(reader, Filter(slug="poison"), AT)
        (letter,) = dead_letter_index.read(reader, letters)
        assert (letter.document()["slug"], letter.document()["tenant"]) == ("poison", "a")


def test_a_damaged_promise_keeps_no_failure_from_the_index(world: World) -> None:
    world.accept()
    world.store.delete(f"jobs/{JOB}/accepted.json")
    world.store.create(f"jobs/{JOB}/accepted.json", b"not json")
    fail(world, JOB)
    assert found(world) == [JOB]
    assert world.names("open/") == []
