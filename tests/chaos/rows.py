"""What chaos tells: a line a row of the fault matrix, as it goes and in a table that is kept."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is done, and by which dice."""

    seed: int
    repeats: int  #: of each point at which a process is killed
    plants: int  #: systems at once
    jobs: int  #: in the queue of two workers
    steps: int  #: of the simulation


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one row's runs."""

    runs: int
    figure: str
    violations: Sequence[str] = ()
    details: dict[str, object] = field(default_factory=dict)


Scenario = Callable[[Path, Effort], Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row of the fault matrix, and what was found."""

    row: str
    fault: str
    how: str  #: a scenario's name or the tests that were run
    runs: int
    violations: Sequence[str]
    figure: str
    seed: int | None  #: none where nothing is thrown for
    command: str
    took_s: float
    commit: str  #: each row's own: one may be met again without the others
    details: dict[str, object] = field(default_factory=dict)

    def sentence(self) -> str:
        """Return the line as it is printed."""
        verdict = f"{len(self.violations)} violations"
        seed = "" if self.seed is None else f"seed {self.seed}, "
        how = f"({seed}{self.took_s:.0f} s; {self.command})"
        return f"{self.row:4} {self.runs:6} runs, {verdict}; {self.figure} {how}"


def kept(folder: Path) -> dict[str, Line]:
    """Return the lines that are kept, by row."""
    file = folder / "chaos.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else []
    return {row["row"]: Line(**row) for row in rows}


_CHECKED = "Of every job I1 to I4 and I6 are checked; I5 is about webhooks, which do not exist yet.\n\n"


def write(lines: Sequence[Line], machine: Machine, folder: Path) -> None:
    """Keep the lines as chaos.json and chaos.md."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {**machine.document(), "rows": [asdict(line) for line in lines]}
    (folder / "chaos.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / "chaos.md").write_text(
        f"# chaos\n\n{machine.sentence()}\n\n{_CHECKED}{table(lines)}{coverage(lines)}"
    )


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table."""
    rows = [
        "| row | fault | runs | violations | figure | commit | to repeat |",
        "|---|---|---:|---:|---|---|---|",
    ]
    rows += [
        f"| {x.row} | {x.fault} ({x.how}) | {x.runs} | {len(x.violations)} | {x.figure} "
        f"| {x.commit} | `{x.command}` |"
        for x in lines
    ]
    found = [f"- {x.row}: {violation}" for x in lines for violation in x.violations]
    return "\n".join(rows) + "\n" + ("\n" + "\n".join(found) + "\n" if found else "")


def coverage(lines: Sequence[Line]) -> str:
    """Return where processes were killed in the simulation, as a Markdown table."""
    killed = next((line.details["killed_at"] for line in lines if "killed_at" in line.details), None)
    if not isinstance(killed, dict):
        return ""
    rows = [f"| {site} | {before} | {after} |" for site, (before, after) in killed.items()]
    head = ["", "Killed in the simulation, by place that calls a port:", ""]
    head += ["| place | before | after |", "|---|---:|---:|"]
    return "\n".join([*head, *rows]) + "\n"
