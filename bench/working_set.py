"""How much memory the worker holds for one photo beyond what it holds at ready.

A worker as it runs is told its peak from the moment it is ready: the kernel counts it, so that nothing is
missed between two looks.  Each photo has a worker of its own.
"""

import io
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench.load import Call, ask
from bench.machine import ROOT, peak_bytes, this_machine
from bench.photo import PHOTO, submission_of
from bench.processes import Server, api, worker
from bench.progress import track
from bench.redelivery import push_of
from bench.rows import Row, summary, table, write

EFFECTS = "color,enhancedblackwhite,popart,dithering"
SIZES_PX = {12: (4032, 3024), 24: (5712, 4284), 48: (8064, 6048)}
_BYTES_A_PIXEL, _AND_BYTES = 60, 100_000_000
#: To ``/proc/PID/clear_refs``: forget the peak of the resident memory.
_FORGET_PEAK = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingSet:
    """What one job took."""

    pixels: int
    over_ready_bytes: int

    @property
    def most_bytes(self) -> int:
        """What it may take."""
        return _BYTES_A_PIXEL * self.pixels + _AND_BYTES


def working_set(data: Path, size_px: tuple[int, int], settings: Mapping[str, str] = {}) -> WorkingSet:
    """Have a new worker do one job of four effects, PNG and preview, on a JPEG of this size."""
    with api(data) as accepting, worker(data, settings) as working:
        _, body = ask(accepting.port, submission_of(_photo(size_px), effects=EFFECTS))
        job_id = json.loads(body)["id"]
        at_ready_bytes = working.child.memory_info().rss
        forget_peak(working)
        ask(working.port, push_of(job_id))
        over_ready_bytes = peak_bytes(working.child.pid) - at_ready_bytes
        _, body = ask(accepting.port, Call(method="GET", path=f"/v1/jobs/{job_id}", expects=200))
    _require_all(json.loads(body))
    return WorkingSet(pixels=size_px[0] * size_px[1], over_ready_bytes=over_ready_bytes)


def row(megapixels: int, found: WorkingSet) -> Row:
    """Return what was found as a benchmark's row, beside what is allowed."""
    return Row(
        what=f"peak over ready, {megapixels} MP, four effects, PNG and preview",
        unit="MB",
        ours=found.over_ready_bytes / 1e6,
        at_most=round(found.most_bytes / 1e6),
    )


def main(engine: str = "grabcut", checkpoint: str = "") -> None:
    """Measure each size, print it, and keep it in bench/results."""
    machine, rows = this_machine(), []
    settings = {"CUTOUT_ENGINE": engine} | ({"CUTOUT_CHECKPOINT": checkpoint} if checkpoint else {})
    for megapixels, size_px in track([*SIZES_PX.items()], f"working set, {engine}"):
        (ROOT / ".cutout").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / ".cutout") as folder:
            rows.append(row(megapixels, working_set(Path(folder), size_px, settings)))
    name = "working_set" if engine == "grabcut" else f"working_set_{engine}"
    write(name, rows, machine, ROOT / "bench" / "results")
    print(f"{machine.sentence()}\n\n{table(rows)}\n{summary(rows)}")


def _photo(size_px: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    with Image.open(PHOTO) as image:
        image.resize(size_px, Image.Resampling.BICUBIC).save(file, "JPEG", quality=88)
    return file.getvalue()


def forget_peak(server: Server) -> None:
    """Have the kernel count a server's peak anew."""
    Path(f"/proc/{server.child.pid}/clear_refs").write_text(_FORGET_PEAK)


def _require_all(job: Mapping[str, object]) -> None:
    """Check that the job did what its memory is measured for."""
    pictures = job["results"]
    if job["status"] != "succeeded" or not isinstance(pictures, dict) or not job["preview"]:
        raise RuntimeError(f"the job is {job['status']}, expected succeeded: {job['error']}")
    if ",".join(pictures) != EFFECTS:
        raise RuntimeError(f"the job made {', '.join(pictures)}; expected {EFFECTS}")


if __name__ == "__main__":
    main(*sys.argv[1:])
