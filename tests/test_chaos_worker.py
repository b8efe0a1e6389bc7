"""A real worker that is killed at any call of a port has lost nothing; make chaos does more."""

import pytest

from tests.chaos.attempts import ATTEMPTS
from tests.chaos.killing import killed_in
from tests.chaos.kills import worker_killed
from tests.chaos.ready import killed_while_ready
from tests.chaos.rows import Effort

pytestmark = pytest.mark.system

TWICE = Effort(seed=1, repeats=2, plants=4, jobs=0, steps=0)


def test_a_worker_killed_around_any_call_is_made_good(tmp_path) -> None:
    """Faults W1 to W8: SIGKILL of a real process."""
    finding = worker_killed(tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 21


def test_a_worker_killed_in_any_other_attempt_is_made_good(tmp_path) -> None:
    """Fault W9: SIGKILL of a real process, in beats, in what it gives back or up and in its reports."""
    finding = killed_in(ATTEMPTS, tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 65


def test_a_worker_killed_while_a_job_stands_ready_is_made_good(tmp_path) -> None:
    """Fault W10: SIGKILL of a real process with more jobs than slots."""
    finding = killed_while_ready(tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 8
