"""Run `make chaos`: meet every row of the fault matrix, say a line of each, and keep the table."""

import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from bench.machine import ROOT, Machine, this_machine
from tests.chaos.matrix import MATRIX, Entry
from tests.chaos.rows import Effort, Finding, Line, kept, write

RESULTS = ROOT / "bench" / "results"
FULL = Effort(seed=0, repeats=25, plants=6, jobs=10_000, steps=350_000)
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
            met = line(entry, effort, machine, quick=quick)
            found += len(met.violations)
            click.echo(met.sentence())
            for violation in met.violations[:10]:
                click.echo(f"      {violation}")
            if not quick:
                _keep(met, machine)
    sys.exit(bool(found))


def _keep(line: Line, machine: Machine) -> None:
    """Put the line in its place in the table, beside those of other runs."""
    lines = kept(RESULTS) | {line.row: line}
    write([lines[entry.row] for entry in MATRIX if entry.row in lines], machine, RESULTS)


def _members(effort: Effort) -> dict[str, int]:
    return {name: getattr(effort, name) for name in Effort.__dataclass_fields__}


def line(entry: Entry, effort: Effort, machine: Machine, *, quick: bool) -> Line:
    began = time.monotonic()
    scratch = ROOT / ".cutout"
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=scratch, ignore_cleanup_errors=True) as folder:
        finding = _found(entry, Path(folder), effort)
    return Line(
        row=entry.row,
        fault=entry.fault,
        how=entry.how,
        runs=finding.runs,
        violations=list(finding.violations),
        figure=finding.figure,
        seed=effort.seed if entry.has_dice else None,
        command=_command(entry, effort, quick=quick),
        commit=machine.commit,
        took_s=round(time.monotonic() - began, 1),
        details=dict(finding.details),
    )


def _found(entry: Entry, folder: Path, effort: Effort) -> Finding:
    """Meet a row; whatever comes out of it is a violation of that row, and the others have their turn."""
    try:
        return entry.scenario(folder, effort)
    except Exception as error:  # noqa: BLE001 - a broken promise, or a bug of the scenario
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return Finding(runs=0, violations=[what], figure="the scenario was cut off")


def _command(entry: Entry, effort: Effort, *, quick: bool) -> str:
    dice = f" --seed {effort.seed}" if entry.has_dice else ""
    return f"python -m tests.chaos --only {entry.row}{dice}{' --quick' * quick}"


if __name__ == "__main__":
    main()
