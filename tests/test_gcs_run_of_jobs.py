"""In a run of jobs no name is changed twice within a second, so Cloud Storage refuses none for its pace."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.dead import a_plan, die, drive, driver
from tests.gcs_fake import GcsFake
from tests.gcs_world import by_wire, turned_patience
from tests.world import World
from worker.handler import Outcome

JOBS = [100, pytest.param(500, marks=pytest.mark.exhaustive)]


@pytest.fixture
def fake(tmp_path) -> Iterator[tuple[World, GcsFake]]:
    """A world over Cloud Storage, both of which live by the world's clock."""
    world = World(tmp_path)
    fake = GcsFake(world.clock)
    fake.objects.one_change_a_second = True
    world.store = by_wire(fake, turned_patience(world.clock))
    yield world, fake
    world.store._calls._client.close()


def job_name(number: int) -> str:
    return f"job_{number:016}"


def refused_for_pace(fake: GcsFake) -> Counter:
    return Counter(site for site, status in fake.refused if status == 429)


@pytest.mark.parametrize("jobs", JOBS)
def test_a_run_of_hundreds_of_jobs_is_refused_nothing(fake, record_property, jobs: int) -> None:
    """Each takes a second at least, and every tenth so long that it beats again."""
    world, store = fake
    beats = Counter()

    def work() -> None:
        world.tick_pulses()
        world.clock.turn(seconds=1)
        if beats["jobs"] % 10 == 0:
            world.clock.turn(seconds=15)
            world.tick_pulses()
        beats["jobs"] += 1

    world.model.during = work
    for number in range(jobs):
        world.accept(job_id=job_name(number))
        assert world.deliver(job_id=job_name(number)) is Outcome.ACK
        if number % 20 == 0:  # the queue delivers at least once
            assert world.deliver(job_id=job_name(number)) is Outcome.ACK
        world.pulses.clear()
    assert refused_for_pace(store) == {}
    assert beats["jobs"] == jobs
    assert world.names("open/") == []
    record_property("requests_per_job", {site: count / jobs for site, count in store.calls.items()})
    for number in (0, 1, jobs - 1):
        assert world.job(job_name(number)).status == "succeeded"


def test_jobs_done_within_their_first_second_are_refused_nothing_either(fake) -> None:
    """The marker's delete is the one change that could follow the same name's last within a second."""
    world, store = fake
    for number in range(20):
        world.accept(job_id=job_name(number))
        began = world.clock()
        assert world.deliver(job_id=job_name(number)) is Outcome.ACK
        assert (world.clock() - began).total_seconds() <= 1
        assert world.job(job_name(number)).status == "succeeded"
    assert refused_for_pace(store) == {}
    assert world.names("open/") == []


def test_a_replay_is_refused_nothing_either(fake) -> None:
    world, store = fake
    names = die(world, *range(12))
    world.queue.published.clear()
    world.clock.turn(seconds=1)
    store.refused.clear()
    plan = driver(world).begin(a_plan(world, names, canary=2, rate_per_s=4.0))
    began, view = world.clock(), drive(world, plan)
    assert (view.status, view.tally.succeeded) == ("done", 12)
    assert (world.clock() - began).total_seconds() >= 2.5
    assert refused_for_pace(store) == {}
    assert world.names("open/") == world.names("replaying/") == []


def test_the_marker_of_a_replay_that_ends_as_it_begins_is_deleted_all_the_same(fake) -> None:
    world, _ = fake
    plan = driver(world).begin(a_plan(world, die(world, 1)))
    assert driver(world).cancel(plan.id, "bob", "never mind").status == "cancelled"
    assert world.names("replaying/") == []
