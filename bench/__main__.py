"""Run `make bench`: measure what was promised, print it, and keep it in bench/results.

A missed target is printed as loudly as a met one and changes no exit status: a figure is not a test.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from bench import memory, poll, queue_hop, recovery, redelivery, submit
from bench.effort import FULL, QUICK, Effort
from bench.load import Drive, load_process
from bench.machine import ROOT, Machine, this_machine
from bench.rows import Row, summary, table, write

Measurement = Callable[[Path, Drive, Effort], list[Row]]

MEASUREMENTS: dict[str, Measurement] = {
    "submit": submit.measure,
    "poll": poll.measure,
    "queue_hop": queue_hop.measure,
    "redelivery": redelivery.measure,
    "recovery": recovery.measure,
    "memory": memory.measure,
}
RESULTS = ROOT / "bench" / "results"


@click.command()
@click.option("--quick", is_flag=True, help="See in a minute that everything runs; keep nothing.")
@click.option("--only", type=click.Choice(list(MEASUREMENTS)), multiple=True, help="Measure these alone.")
@click.option(
    "--results", type=click.Path(path_type=Path), help="Where the rows are kept [default: bench/results]."
)
def main(*, quick: bool, only: Sequence[str], results: Path | None) -> None:
    """Measure the service on this machine."""
    folder = results or (None if quick else RESULTS)
    effort, machine, every = QUICK if quick else FULL, this_machine(), []
    click.echo(machine.sentence(), err=True)
    with load_process() as drive:
        for name in only or MEASUREMENTS:
            rows = _measured(name, drive, effort)
            _keep(name, rows, machine, folder)
            every += rows
    click.echo(f"{machine.sentence()}\n\n{table(every)}\n{summary(every)}")


def _measured(name: str, drive: Drive, effort: Effort) -> list[Row]:
    """Measure in a folder on the disk that the checkout lies on; /tmp may be memory."""
    scratch = ROOT / ".cutout"
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=scratch) as folder:
        return MEASUREMENTS[name](Path(folder), drive, effort)


def _keep(name: str, rows: Sequence[Row], machine: Machine, folder: Path | None) -> None:
    if folder:
        write(name, rows, machine, folder)


if __name__ == "__main__":
    main()
