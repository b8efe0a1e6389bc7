"""Dead letters are found by day, cause and shop; to look at them is no delivery and changes nothing."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared import dead_letters, memory_store
from shared.dead_letters import Filter
from shared.errors import ImageCorruptError, OutOfMemoryError, PoisonError
from shared.folder_store import FolderStore
from tests.dead import a_plan, die, drive, driver, fail, job_name
from tests.world import JOB, Process, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def found(world: World, **wanted) -> list[str]:
    letters = dead_letters.find(world.store, Filter(**wanted), world.clock())
    return [letter.job_id for letter in letters]


def test_a_failure_that_is_ours_is_entered_with_its_cause_shop_and_engine(world: World) -> None:
    world.accept()
    world.model.fail_with = OutOfMemoryError("cuda")
    for _ in range(4):
        world.deliver()
    (letter,) = dead_letters.read(world.store, list(dead_letters.find(world.store, Filter(), world.clock())))
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
    store = Process(calls.append).watch(world.store, "store")
    days = [f"before store.page dead/2026-01-0{day}/" for day in (1, 2, 3)]
    for wanted, expected in (
        (Filter(since=today), days),
        (Filter(since=today - timedelta(days=100)), ["before store.page dead/"]),
        (Filter(), ["before store.page dead/"]),
    ):
        calls.clear()
        list(dead_letters.find(store, wanted, today))
        assert [call for call in calls if call.startswith("before")] == expected
    calls.clear()
    list(dead_letters.find(store, Filter(slug="poison"), today))
    assert sum(call.startswith("before store.read dead/") for call in calls) == 2


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
    drive(world, driver(world).begin(a_plan(world, [both])))
    monkeypatch.setattr(memory_store, "_PAGE", a_page)
    assert found(world) == [left]


def test_what_is_held_does_not_grow_with_what_there_is(tmp_path: Path) -> None:
    store, day = FolderStore(tmp_path), datetime.now(UTC)
    few, many = (held_while_finding(store, count, day) for count in (2_500, 7_500))
    assert many < 1.1 * few


def held_while_finding(store: FolderStore, count: int, day: datetime) -> int:
    """Return the most bytes at once."""
    folder = store._root / "dead" / f"{day:%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"job_{number:032d}.e0.json").write_bytes(b"{}")
    tracemalloc.start()
    try:
        letters = dead_letters.find(store, Filter(since=day - timedelta(days=1)), day)
        assert dead_letters.newest(letters, 50)[0] == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def state_of(world: World, name: str) -> str:
    (letter,) = dead_letters.of_job(world.ledger(), world.job(name))
    return letter.state


def test_what_is_replayed_after_all_is_no_longer_resolved(world: World) -> None:
    (name,) = die(world, 1)
    terminal = world.ledger().terminal(name, 0)
    dead_letters.handle(world.store, (name, 0), terminal, dead_letters.RESOLVED, {"by": "ada"})
    drive(world, driver(world).begin(a_plan(world, [name])))
    assert state_of(world, name) == "replayed"


def test_a_jobs_dead_letters_are_told_whatever_was_done_about_them(world: World) -> None:
    (name,) = die(world, 1)
    for epoch in range(1, 11):
        world.clock.turn(hours=12)
        plan = a_plan(world, [], id=f"replay_2026010100000{epoch:03d}", selection=((name, epoch - 1),))
        driver(world).advance(driver(world).begin(plan).id)
        fail(world, name, epoch)
    letters = dead_letters.of_job(world.ledger(), world.job(name))
    assert [(each.epoch, each.state) for each in letters] == [
        *((n, "replayed") for n in range(10)),
        (10, "open"),
    ]
    assert letters[-1].document() == {
        "id": name,
        "epoch": 10,
        "at": world.clock().isoformat(),
        "state": "open",
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
    (letter,) = dead_letters.find(world.store, Filter(), world.clock())
    assert letter.key == (name, 1)


def test_looking_changes_nothing(world: World) -> None:
    die(world, 1, 2, 3)
    before = {stat.name: stat.generation for stat in world.store.list("").objects}
    published = len(world.queue.published)
    for wanted in (Filter(), Filter(slug="poison"), Filter(since=world.clock())):
        list(dead_letters.read(world.store, list(dead_letters.find(world.store, wanted, world.clock()))))
    dead_letters.of_job(world.ledger(), world.job(job_name(1)))
    assert {stat.name: stat.generation for stat in world.store.list("").objects} == before
    assert len(world.queue.published) == published


def test_an_entry_of_an_older_build_or_a_damaged_one_hides_no_other(world: World) -> None:
    world.put(f"dead/2026-01-01/{JOB}.e0.json", error={"slug": "poison"})
    world.store.create(f"dead/2026-01-01/{job_name(7)}.e0.json", b"not json")
    world.put("dead/2026-01-01/something-else.json")
    assert found(world) == sorted([JOB, job_name(7)])
    assert found(world, slug="poison") == [JOB]


def test_a_damaged_promise_keeps_no_failure_from_the_index(world: World) -> None:
    world.accept()
    world.store.delete(f"jobs/{JOB}/accepted.json")
    world.store.create(f"jobs/{JOB}/accepted.json", b"not json")
    fail(world, JOB)
    assert found(world) == [JOB]
    assert world.names("open/") == []
