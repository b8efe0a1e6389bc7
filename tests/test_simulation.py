"""Whatever is killed, frozen, lost, delayed or said twice: no job is lost and none has two answers.

Hypothesis drives ``tests.simulation`` by the rules of ``tests.machine``: it chooses who goes on, what each
call of a port meets and who dies.  The promises are looked at after every step that has changed a record.
``make chaos`` runs the same machine for 200,000 steps and more, and tells where it has killed.
"""

import logging

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.call_sites import sites_in
from tests.machine import KILLED_AT, REACHED, SITES, TALLY, Machine


@pytest.fixture(autouse=True)
def silence():
    """Each run logs thousands of faults that were meant."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


#: How often a place is aimed at that all runs together have not come to.
_TRIES = 8

SHORT = settings(
    max_examples=36,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,  # the same each time: chaos looks for what is new
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_no_job_is_lost_and_none_has_two_answers() -> None:
    run_state_machine_as_test(Machine, settings=SHORT)
    assert TALLY["steps"] > 5000, "the machine has hardly moved"
    killed = {site for site, _ in KILLED_AT} - {"model"}
    assert killed
    assert killed <= set(SITES), "a place was reached that is not in the list of all places"
    for site in sorted(set(SITES) - REACHED):
        for seed in range(_TRIES):
            _go_to(site, seed)
    assert set(SITES) <= REACHED, "no rule comes to these: give one a lead"


def _go_to(site: str, seed: int) -> None:
    """Let the machine aim at one place that it has not come to so far."""
    if site in REACHED:
        return
    machine = Machine()
    try:
        machine.begin(seed=seed, is_cloud=bool(seed % 2))
        machine.go_on_and_kill(site=site, moment="before", faults=0)
    finally:
        machine.teardown()


def test_the_places_that_call_a_port_are_found_in_the_source() -> None:
    assert "shared/ledger.py:Ledger.publish queue.publish" in SITES
    assert "shared/settling.py:settle records.write_once" in SITES
    assert "shared/replaying.py:Driver._takes records.write_once" in SITES
    assert "api/results.py:_serve store.open" in SITES
    assert "api/probes.py:ready queue.ping" in SITES, "it is handed to somebody who calls it"
    assert sites_in("shared/history.py") == set()
