"""A real API that is killed at any call of a port keeps its promises to its clients; make chaos does more."""

import pytest

from tests.chaos.errands import asked_and_killed
from tests.chaos.kills import api_killed
from tests.chaos.rows import Effort

pytestmark = pytest.mark.system

TWICE = Effort(seed=1, repeats=2, plants=4, jobs=0, steps=0)


def test_an_api_killed_around_any_call_keeps_its_promises(tmp_path) -> None:
    """Faults A1 to A5: SIGKILL of a real process."""
    finding = api_killed(tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 22


def test_an_api_killed_in_a_request_that_brings_no_photo_keeps_its_promises_too(tmp_path) -> None:
    """Fault A6: SIGKILL of a real process, in uploads, cancels, erasures and dead letters."""
    finding = asked_and_killed(tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 40
