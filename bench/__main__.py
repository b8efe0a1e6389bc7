"""Run `make bench`: measure what was promised, print it, and keep it in bench/results.

A missed target is printed as loudly as a met one and changes no exit status: a figure is not a test.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from bench import (
    bars,
    batches,
    drain,
    edges,
    engine,
    images,
    memory,
    poll,
    protocols_calls,
    protocols_hop,
    protocols_latency,
    protocols_memory,
    protocols_pace,
    protocols_reads,
    queue_hop,
    recovery,
    redelivery,
    runtimes,
    submit,
    sweeping,
    upsampling,
)
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
#: Over Google's own clients: a fake of Cloud Storage, and the Pub/Sub emulator, which must be installed.
PROTOCOLS: dict[str, Measurement] = {
    "protocols_calls": protocols_calls.measure,
    "protocols_hop": protocols_hop.measure,
    "protocols_latency": protocols_latency.measure,
    "protocols_pace": protocols_pace.measure,
    "protocols_reads": protocols_reads.measure,
    "protocols_memory": protocols_memory.measure,
}
#: A long queue and many jobs: minutes each.
DELIVERY: dict[str, Measurement] = {"drain": drain.measure, "sweep": sweeping.measure}
#: What is done to a photo, without the service around it; drawn too.
IMAGES: dict[str, Measurement] = {"images": images.measure}
#: What a matte gains that is refined.
EDGES: dict[str, Measurement] = {"edges": edges.measure}
#: Our inference beside the published package, which `make reference` installs; drawn too.
ENGINE: dict[str, Measurement] = {
    "engine": engine.measure,
    "engine_photos": engine.measure_photos,
    "engine_foregrounds": engine.measure_foregrounds,
    "engine_batches": batches.measure,
    "engine_upsampling": upsampling.measure,
}
#: Our inference beside another runtime, which `make bench-runtimes` installs.
RUNTIMES: dict[str, Measurement] = {"runtimes": runtimes.measure}
#: By the flag that asks for them.
SUITES = {
    "service": MEASUREMENTS,
    "protocols": PROTOCOLS,
    "delivery": DELIVERY,
    "images": IMAGES,
    "engine": ENGINE,
}
EVERY = MEASUREMENTS | PROTOCOLS | DELIVERY | IMAGES | ENGINE | EDGES | RUNTIMES
RESULTS = ROOT / "bench" / "results"


@click.command()
@click.option("--quick", is_flag=True, help="See in a minute that everything runs; keep nothing.")
@click.option(
    "--protocols",
    "suite",
    flag_value="protocols",
    help="Measure over Google's clients: the cloud's protocols.",
)
@click.option("--delivery", "suite", flag_value="delivery", help="Measure a long queue, and the sweep.")
@click.option("--images", "suite", flag_value="images", help="Measure each stage of a picture.")
@click.option("--engine", "suite", flag_value="engine", help="Measure our inference beside the package.")
@click.option(
    "--only",
    type=click.Choice([*EVERY]),
    multiple=True,
    help="Measure these alone.",
)
@click.option(
    "--results", type=click.Path(path_type=Path), help="Where the rows are kept [default: bench/results]."
)
def main(*, quick: bool, suite: str | None, only: Sequence[str], results: Path | None) -> None:
    """Measure the service on this machine."""
    folder = results or (None if quick else RESULTS)
    effort, machine, every = QUICK if quick else FULL, this_machine(), []
    click.echo(machine.sentence(), err=True)
    with load_process() as drive:
        for name in only or SUITES[suite or "service"]:
            rows = _measured(name, drive, effort)
            _keep(name, rows, machine, folder)
            every += rows
    click.echo(f"{machine.sentence()}\n\n{table(every)}\n{summary(every)}")


def _measured(name: str, drive: Drive, effort: Effort) -> list[Row]:
    """Measure in a folder on the disk that the checkout lies on; /tmp may be memory."""
    scratch = ROOT / ".cutout"
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=scratch) as folder:
        return EVERY[name](Path(folder), drive, effort)


def _keep(name: str, rows: Sequence[Row], machine: Machine, folder: Path | None) -> None:
    if folder:
        write(name, rows, machine, folder)
        if name in IMAGES | ENGINE:
            bars.draw(rows, folder / f"{name}.svg")


if __name__ == "__main__":
    main()
