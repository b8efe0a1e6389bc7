"""A benchmark's figures are kept whole, with where and when, and a missed target is said."""

import json

import pytest

from bench.machine import this_machine
from bench.rows import Row, summary, table, write
from bench.timings import in_turns, rows_of

KEYS = {"what", "unit", "ours", "theirs", "ratio", "target", "met"}


def row(**changes) -> Row:
    return Row(**{"what": "accepted", "unit": "ms", "ours": 30.0, "theirs": 12.0} | changes)


def test_rows_are_kept_with_machine_date_and_commit(tmp_path) -> None:
    write("submit", [row(at_most=50, ratio_at_most=3)], this_machine(), tmp_path)
    document = json.loads((tmp_path / "submit.json").read_text())
    assert document.keys() == {"machine", "date", "commit", "rows"}
    assert document["machine"]["cores"] >= 1
    kept = document["rows"][0]
    assert kept.keys() == KEYS
    assert kept["ratio"] == 2.5
    assert kept["target"] == "<= 50 ms and <= 3 x theirs"
    assert kept["met"] is True


def test_a_figure_without_a_target_or_another_side_is_neither_met_nor_missed() -> None:
    kept = row(theirs=None).document()
    assert (kept["theirs"], kept["ratio"], kept["target"], kept["met"]) == (None, None, None, None)


@pytest.mark.parametrize(
    "missed", [{"at_most": 29}, {"ratio_at_most": 2}, {"at_most": 50, "ratio_at_most": 2}]
)
def test_a_missed_target_is_said_in_the_table_and_in_the_last_line(missed, tmp_path) -> None:
    rows = [row(at_most=50), row(what="poll", **missed)]
    assert table(rows).splitlines()[-1].endswith("| **MISSED** |")
    assert summary(rows) == "1 of 2 targets MISSED: poll"
    write("both", rows, this_machine(), tmp_path)
    assert "MISSED" in (tmp_path / "both.md").read_text()
    assert json.loads((tmp_path / "both.json").read_text())["rows"][1]["met"] is False


def test_what_is_to_be_much_is_missed_below_its_target() -> None:
    busy = [row(unit="%", ours=ours, theirs=None, at_least=80) for ours in (79.9, 80)]
    assert [(found.target, found.met) for found in busy] == [(">= 80 %", False), (">= 80 %", True)]


def test_a_ratio_cannot_be_promised_where_nobody_else_was_measured() -> None:
    with pytest.raises(ValueError, match="needs theirs"):
        row(theirs=None, ratio_at_most=2)


def test_both_sides_are_measured_in_turns_and_the_first_round_is_thrown_away() -> None:
    turns = []

    def side(name: str):
        def measure() -> list[float]:
            turns.append(name)
            return [len(turns) / 1000]

        return measure

    timings = in_turns("turns", 2, side("ours"), side("theirs"))
    assert turns == ["ours", "theirs"] * 3
    assert timings.ours == [0.003, 0.005]
    p50, p95 = rows_of("turns", timings, at_most_ms=4)
    assert (p50.ours, p50.theirs, p50.met, p95.met) == (4.0, 5.0, True, None)
