"""What a GPU makes of photos, beside the published package: the network, whole photos, photos in flight.

    python -m bench.gpu        # make bench-gpu; minutes, on a machine with a CUDA device

Weights are random, made here: numbers take as long.  The package runs in processes of its own.  Rows are kept
after every one, so that a machine that is lent for minutes leaves what it has measured.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from bench.gpu_network import networks, parts
from bench.gpu_photos import flights, stages, wholes
from bench.gpu_plan import Plan, random_published
from bench.machine import ROOT, Machine, this_machine
from bench.rows import Row, table, write
from worker.matting.devices import choose_device
from worker.matting.package_process import package_python

STAGES = (networks, wholes, flights, parts, stages)


def run(plan: Plan, machine: Machine, folder: Path) -> list[Row]:
    """Carry a plan out; keep what there is after every row."""
    rows: list[Row] = []
    for stage in STAGES:
        for row in stage(plan):
            rows.append(row)
            write("gpu", rows, machine, folder)
    return rows


def main() -> None:
    """Measure on this machine's GPU, or say that there is none."""
    if not torch.cuda.is_available():
        sys.exit("There is no CUDA device here: nothing was measured.")
    package_python()  # before minutes are lost
    here = this_machine()
    machine = replace(here, cpu=f"{torch.cuda.get_device_name()} beside {here.cpu}")
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        plan = Plan(device=choose_device("cuda"), folder=Path(folder), tensors=random_published())
        rows = run(plan, machine, ROOT / "bench" / "results")
    print(f"{machine.sentence()}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
