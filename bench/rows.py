"""One benchmark's figures, and the files that keep them.

Every figure in the docs comes from a file written here: it names the machine, the date, the commit and,
where there is one, the target; a missed target is said, never left out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of ours, beside theirs where somebody else was measured in the same run."""

    what: str
    unit: str
    ours: float
    theirs: float | None = None
    at_most: float | None = None  #: the target, in the row's unit
    at_least: float | None = None  #: likewise, of what is to be much
    ratio_at_most: float | None = None  #: the target, in theirs

    def __post_init__(self) -> None:
        if self.ratio_at_most is not None and not self.theirs:
            raise ValueError(
                f"{self.what}: a target of {self.ratio_at_most} x needs theirs, got {self.theirs}"
            )

    @property
    def ratio(self) -> float | None:
        """Ours in units of theirs."""
        return self.ours / self.theirs if self.theirs else None

    @property
    def target(self) -> str | None:
        """What was to be reached, in words; ``None`` where the figure is only for information."""
        targets = []
        if self.at_most is not None:
            targets.append(f"<= {self.at_most:g} {self.unit}")
        if self.at_least is not None:
            targets.append(f">= {self.at_least:g} {self.unit}")
        if self.ratio_at_most is not None:
            targets.append(f"<= {self.ratio_at_most:g} x theirs")
        return " and ".join(targets) or None

    @property
    def met(self) -> bool | None:
        """Whether every target was reached; ``None`` without one."""
        if self.target is None:
            return None
        is_small = self.at_most is None or self.ours <= self.at_most
        is_much = self.at_least is None or self.ours >= self.at_least
        is_near = self.ratio_at_most is None or (self.ratio or 0.0) <= self.ratio_at_most
        return is_small and is_much and is_near

    def document(self) -> dict[str, Any]:
        """Return the row as it is kept."""
        return {
            "what": self.what,
            "unit": self.unit,
            "ours": _short(self.ours),
            "theirs": _short(self.theirs),
            "ratio": _short(self.ratio),
            "target": self.target,
            "met": self.met,
        }


def write(name: str, rows: Sequence[Row], machine: Machine, folder: Path) -> None:
    """Keep a benchmark's rows as NAME.json and, for readers, as NAME.md."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {**machine.document(), "rows": [row.document() for row in rows]}
    (folder / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / f"{name}.md").write_text(f"# {name}\n\n{machine.sentence()}\n\n{table(rows)}")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | ours | theirs | ratio | target | met |", "|---|---:|---:|---:|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{_text(row.ratio)} x"
        figures = f"{_with_unit(row.ours, row.unit)} | {_with_unit(row.theirs, row.unit)} | {ratio}"
        lines.append(f"| {row.what} | {figures} | {row.target or ''} | {_verdict(row.met)} |")
    return "\n".join(lines) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """Say in one line how many targets were reached, and name each that was not."""
    missed = [row.what for row in rows if row.met is False]
    judged = sum(row.met is not None for row in rows)
    if not missed:
        return f"all {judged} targets met"
    return f"{len(missed)} of {judged} targets MISSED: {'; '.join(missed)}"


def _verdict(met: bool | None) -> str:  # noqa: FBT001 - a cell's only content
    return {True: "yes", False: "**MISSED**", None: ""}[met]


def _with_unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{_text(value)} {unit}"


def _text(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - three digits at least


def _short(value: float | None) -> float | None:
    """Round to four digits: more would be noise that changes in every commit."""
    return None if value is None else float(f"{value:.4g}")
