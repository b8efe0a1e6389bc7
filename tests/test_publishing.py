"""A publication that went wrong says how: not taken by the queue, not written down, or made twice."""

import logging
from collections.abc import Callable

import pytest

from shared.errors import QueueUnavailableError, StoreUnavailableError
from tests.world import JOB, Process, World


@pytest.fixture
def world(tmp_path) -> World:
    world = World(tmp_path)
    world.accept(Process(away("before queue.publish", QueueUnavailableError)))
    world.clock.turn(seconds=31)
    return world


@pytest.fixture
def said(caplog) -> Callable[[], list[tuple[str, int]]]:
    """What the ledger has said since the world was made."""
    caplog.set_level(logging.INFO, logger="shared.ledger")
    caplog.clear()
    return lambda: [(r.message, r.levelno) for r in caplog.records if r.name == "shared.ledger"]


def away(begins: str, error: type[Exception]) -> Callable[[str], None]:
    """Return a spy that lets the calls fail that begin so, of those about a publication."""

    def spy(call: str) -> None:
        if call.startswith(begins) and ("published" in call or "queue" in begins):
            raise error("away")

    return spy


def publish(world: World, spy: Callable[[str], None] = lambda _call: None) -> bool:
    return world.ledger(Process(spy)).publish(JOB, 0, 0, by="api")


def messages_and_records(world: World) -> tuple[int, int]:
    return len(world.queue.published), len(world.names(f"jobs/{JOB}/e0/published/"))


def test_one_that_goes_well_says_nothing(world, said) -> None:
    assert publish(world)
    assert (said(), messages_and_records(world)) == ([], (1, 1))


def test_one_that_the_queue_did_not_take(world, said) -> None:
    assert not publish(world, away("before queue.publish", QueueUnavailableError))
    assert said() == [("job.publish_failed", logging.WARNING)]
    assert messages_and_records(world) == (0, 0)


def test_one_that_storage_did_not_write_down_is_made_again_by_the_sweep(world, said) -> None:
    assert not publish(world, away("before store.create", StoreUnavailableError))
    assert said() == [("job.publish_unrecorded", logging.WARNING)]
    assert messages_and_records(world) == (1, 0)
    world.sweep()
    assert messages_and_records(world) == (2, 1)


def test_one_that_somebody_else_has_made_is_no_trouble(world, said) -> None:
    world.sweep()
    assert not publish(world)
    assert said() == [("job.published_twice", logging.INFO)]
    assert messages_and_records(world) == (2, 1)


def test_each_says_which_publication_it_is_about(world, caplog) -> None:
    caplog.set_level(logging.INFO, logger="shared.ledger")
    world.sweep()
    publish(world)
    (record,) = (r for r in caplog.records if r.message == "job.published_twice")
    assert (record.job_id, record.epoch, record.publication) == (JOB, 0, 0)
