"""A row of the fault matrix that breaks a promise outright has its line, and keeps no other from its own."""

from pathlib import Path

from bench.machine import this_machine
from tests.chaos import checkouts
from tests.chaos.__main__ import QUICK, line
from tests.chaos.matrix import MATRIX, Entry
from tests.chaos.rows import Effort, Finding
from tests.promises import require


def _breaks(_folder: Path, _effort: Effort) -> Finding:
    require(False, "D1", "answered with a 500")
    raise AssertionError


def _fails(_folder: Path, _effort: Effort) -> Finding:
    return {}["no such thing"]


def test_whatever_a_scenario_raises_is_a_violation_of_its_row() -> None:
    for scenario, what in ((_breaks, "BrokenPromiseError: D1: answered with a 500"), (_fails, "KeyError")):
        found = line(Entry(row="D1", fault="f", scenario=scenario), QUICK, this_machine(), quick=True)
        assert (found.row, found.runs, len(found.violations)) == ("D1", 0, 1)
        assert found.violations[0].startswith(what)
        assert "1 violations" in found.sentence()


def test_a_row_that_is_met_by_tests_names_no_seed() -> None:
    def passes(_folder: Path, _effort: Effort) -> Finding:
        return Finding(runs=1, figure="1 tests passed")

    by_tests = next(entry for entry in MATRIX if entry.row == "D6")
    assert not by_tests.has_dice
    plain = Entry(row="D6", fault="f", scenario=passes, has_dice=False)
    said = line(plain, QUICK, this_machine(), quick=False)
    assert said.seed is None
    assert said.command == "python -m tests.chaos --only D6"
    assert "seed" not in said.sentence()
    thrown = line(Entry(row="D6", fault="f", scenario=passes), QUICK, this_machine(), quick=False)
    assert thrown.command.endswith(" --seed 0")


def test_where_the_history_is_missing_earlier_services_are_said_not_to_have_run(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(checkouts, "EARLIER", ("0" * 40,))
    found = checkouts.beside_earlier(tmp_path, QUICK)
    assert (found.runs, list(found.violations)) == (0, [])
    assert found.figure.startswith("not run: this clone's history does not reach to 000")
