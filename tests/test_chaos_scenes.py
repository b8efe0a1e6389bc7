"""Every place of the product that calls the store is met by an outage in chaos, or it is said why not."""

import logging
from collections.abc import Iterator

import pytest

from tests.chaos import reached
from tests.chaos.outages import Looker


@pytest.fixture
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
def test_scenes_come_to_every_place_that_calls_the_store(tmp_path) -> None:
    looker = Looker(tmp_path)
    looker.look_at_all()
    assert set(looker.missing) <= set(reached.EXPLAINED)
    assert set(reached.EXPLAINED) <= reached.wanted(), "a reason for what is no longer there"
    assert len(looker.points) >= 300
