"""A real worker or API that is killed at any call of a port has lost nothing; make chaos does more."""

from dataclasses import replace

import pytest

from tests.chaos.attempts import ATTEMPTS
from tests.chaos.errands import asked_and_killed
from tests.chaos.killing import killed_in
from tests.chaos.kills import api_killed, worker_killed
from tests.chaos.operating import OPERATING
from tests.chaos.ready import killed_while_ready
from tests.chaos.rows import Effort
from tests.chaos.tending import TENDING

pytestmark = pytest.mark.system

TWICE = Effort(seed=1, repeats=2, plants=4, jobs=0, steps=0)
#: Of 400 moments and more, which take minutes.
SOME = replace(TWICE, acts=10, states=16)


def test_a_worker_killed_around_any_call_is_made_good(tmp_path) -> None:
    """Faults W1 to W8: SIGKILL of a real process."""
    finding = worker_killed(tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 21


def test_a_worker_killed_while_a_job_stands_ready_is_made_good(tmp_path) -> None:
    """Fault W10: SIGKILL of a real process with more jobs than slots."""
    finding = killed_while_ready(tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 8


def test_an_api_killed_around_any_call_keeps_its_promises(tmp_path) -> None:
    """Faults A1 to A5: SIGKILL of a real process."""
    finding = api_killed(tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 11


def test_an_api_killed_in_a_request_that_brings_no_photo_keeps_its_promises_too(tmp_path) -> None:
    """Fault A6: SIGKILL of a real process, in uploads, cancels, erasures and dead letters."""
    finding = asked_and_killed(tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 40


def test_a_process_killed_in_anything_else_that_it_does_leaves_nothing_broken(tmp_path) -> None:
    """Faults A7, A8 and W9: SIGKILL of a real process in a sample of what they are, drawn by the seed."""
    finding = killed_in({**OPERATING, **TENDING, **ATTEMPTS}, tmp_path, SOME, by_state=True)
    assert finding.violations == []
    assert finding.runs >= 2 * 16
