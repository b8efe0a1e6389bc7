"""A real API that is killed over what operators and sweeps do leaves nothing broken; make chaos does more."""

import pytest

from tests.chaos.killing import killed_in
from tests.chaos.operating import OPERATING
from tests.chaos.rows import Effort
from tests.chaos.tending import TENDING

pytestmark = pytest.mark.system

TWICE = Effort(seed=1, repeats=2, plants=4, jobs=0, steps=0)


def test_an_api_killed_while_it_is_asked_for_anything_leaves_nothing_broken(tmp_path) -> None:
    """Fault A7: SIGKILL of a real process, in uploads, in what operators ask, in warm-ups and readings."""
    finding = killed_in(OPERATING, tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 150


def test_an_api_killed_while_it_sweeps_leaves_nothing_broken(tmp_path) -> None:
    """Fault A8: SIGKILL of a real process, in the sweep, in a replay that it drives and in the broom."""
    finding = killed_in(TENDING, tmp_path, TWICE)
    assert finding.violations == []
    assert finding.runs >= 2 * 130
