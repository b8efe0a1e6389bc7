"""Over a wire Google's client meets what it meets over a network, and only the waiting is not real."""

import pytest
import requests

from shared.errors import StoreUnavailableError
from shared.gcs_errors import FleetingError
from tests.gcs_fake_faults import Fault
from tests.gcs_world import GcsWorld, gcs_world, wired_world
from tests.test_gcs_faults import (
    NEW,
    PASSING,
    SILENCE_S,
    SITES,
    assert_nothing_is_half_done,
    begin,
    by_case,
)

SILENT = (Fault.STALL, Fault.LATE)
CASES = [(name, fault) for name, fault in PASSING if SITES[name].kind in {"read", "list", "insert", "delete"}]
#: What the client raises: of an answer that is cut off, a network may lose even what had come.
CAUSES = [
    (name, fault)
    for name in ("read", "list", "create", "delete")
    for fault in Fault
    if fault not in {Fault.TRUNCATED, Fault.DRIP, Fault.PARTIAL}
]


@by_case(CASES)
def test_a_fault_at_every_other_call_is_got_over(name, fault) -> None:
    with wired_world() as world:
        site = begin(world, name)
        world.fake.faults.plan(site.kind, fault, calls=[0, 2, 4])
        assert site.right(world, site.do(world))
        assert_nothing_is_half_done(world, site, is_done=True)


def said(world: GcsWorld, name: str, fault: Fault) -> tuple[type, type, str] | None:
    """Return what a call raises that goes wrong to its end, and whence."""
    site = begin(world, name)
    world.fake.faults.always(site.kind, fault)
    try:
        site.do(world)
    except StoreUnavailableError as error:
        return type(error), type(error.__cause__), error.detail
    return None


@by_case(CAUSES)
def test_a_fault_has_the_cause_that_it_has_over_a_network(name, fault) -> None:
    patience = {"total_s": 0.5, "silence_s": SILENCE_S} if fault in SILENT else {}
    with gcs_world(**patience) as networked, wired_world(**patience) as wired:
        assert said(wired, name, fault) == said(networked, name, fault)


@pytest.mark.parametrize("fault", SILENT)
def test_silence_lasts_as_long_as_the_client_would_wait_for_it(fault) -> None:
    with wired_world(silence_s=4, total_s=7) as world:
        world.fake.faults.always("insert", fault)
        with pytest.raises(FleetingError):
            world.store.create("a", NEW)
        assert world.naps.slept_s[0] == pytest.approx(4, abs=0.1)
        assert sum(world.naps.slept_s) <= 7.1
        assert world.kept("a") == ([NEW] if fault is Fault.LATE else [])


def test_a_connection_is_kept_until_it_is_reset() -> None:
    with wired_world() as world:
        for number in range(3):
            world.store.create(f"{number}", NEW)
        assert world.fake.connections == 1
        world.fake.faults.plan("read", Fault.RESET)
        assert world.store.read("0").data == NEW
        assert world.fake.connections == 2


def test_who_would_wait_for_ever_is_told_so() -> None:
    with wired_world() as world, requests.Session() as session:
        line = world.store._calls._line
        line.within(world.store._patience.begin())
        line.carry(session)
        world.fake.faults.always("other", Fault.STALL)
        with pytest.raises(AssertionError, match="for ever"):
            session.get(f"{world.fake.url}/")
