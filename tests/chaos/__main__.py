"""Run `make chaos`: meet every row of the fault matrix, say a line of each, and keep the table."""

import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from bench.machine import ROOT, Machine, this_machine
from tests.chaos.matrix import MATRIX, Entry
from tests.chaos.rows import Effort, Finding, Line, kept, write

RESULTS = ROOT / "bench" / "results"
FULL = Effort(seed=0, repeats=25, plants=6, jobs=10_000, steps=500_000)
QUICK = Effort(seed=0, repeats=1, plants=2, jobs=200, steps=20_000)


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice([entry.row for entry in MATRIX]), help="These rows alone."
)
@click.option("--seed", type=int, help="Of every dice [default: the time].")
@click.option("--quick", is_flag=True, help="See that everything runs; keep nothing.")
def main(*, only: Sequence[str], seed: int | None, quick: bool) -> None:
    """Break everything that may break, and see that no promise does."""
    logging.disable(logging.CRITICAL)
    effort = Effort(
        **{**_members(QUICK if quick else FULL), "seed": int(time.time()) if seed is None else seed}
    )
    machine, found = this_machine(), 0
    for entry in MATRIX:
        if not only or entry.row in only:
            line = _line(entry, effort, machine, quick=quick)
            found += len(line.violations)
            click.echo(line.sentence())
            for violation in line.violations[:10]:
                click.echo(f"      {violation}")
            if not quick:
                _keep(line, machine)
    sys.exit(bool(found))


def _keep(line: Line, machine: Machine) -> None:
    """Put the line in its place in the table, beside those of other runs."""
    lines = kept(RESULTS) | {line.row: line}
    write([lines[entry.row] for entry in MATRIX if entry.row in lines], machine, RESULTS)


def _members(effort: Effort) -> dict[str, int]:
    return {name: getattr(effort, name) for name in Effort.__dataclass_fields__}


def _line(entry: Entry, effort: Effort, machine: Machine, *, quick: bool) -> Line:
    began = time.monotonic()
    scratch = ROOT / ".cutout"
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=scratch, ignore_cleanup_errors=True) as folder:
        finding: Finding = entry.scenario(Path(folder), effort)
    return Line(
        row=entry.row,
        fault=entry.fault,
        how=entry.how,
        runs=finding.runs,
        violations=list(finding.violations),
        figure=finding.figure,
        seed=effort.seed,
        command=f"python -m tests.chaos --only {entry.row} --seed {effort.seed}{' --quick' * quick}",
        commit=machine.commit,
        took_s=round(time.monotonic() - began, 1),
        details=dict(finding.details),
    )


if __name__ == "__main__":
    main()
