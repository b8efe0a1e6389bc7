"""A side of the engine's benchmarks, started: the client of ``engine_side``."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.machine import ROOT
from worker.matting.package_process import package_python


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """What a photo took one side."""

    seconds: float
    network_s: float
    peak_bytes: int
    device_peak_bytes: int = 0  #: of a GPU's own memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A process that has loaded; seconds since it was started."""

    asked: IO[str]
    answers: IO[str]
    began_s: float
    torch_s: float
    loaded_s: float

    def photo(self, path: Path) -> Photo:
        """Have a photo's file made RGBA pixels."""
        print(path, file=self.asked, flush=True)
        return Photo(**json.loads(self.answers.readline()))


@contextmanager
def started(
    side: str,
    checkpoint: Path,
    *,
    engine: str = "inspyrenet-base",
    device: str = "cpu",
    settings: Mapping[str, str] = {},
) -> Iterator[Side]:
    """Start ours, or theirs under the interpreter that has the package, and wait until it has loaded."""
    given = {"NO_ALBUMENTATIONS_UPDATE": "1", "TRANSPARENT_BACKGROUND_FILE_PATH": str(checkpoint.parent)}
    environ = [f"{name}={value}" for name, value in {**given, **settings}.items()]
    began_s = time.monotonic()
    with subprocess.Popen(
        ["env", *environ, *command(side, checkpoint, engine, device)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a side of the benchmark is talked to through pipes")
        said = json.loads(process.stdout.readline())
        yield Side(
            asked=process.stdin,
            answers=process.stdout,
            began_s=began_s,
            torch_s=said["torch_at_s"] - began_s,
            loaded_s=said["loaded_at_s"] - began_s,
        )


def command(side: str, checkpoint: Path, engine: str, device: str) -> list[str]:
    """Return what starts a side."""
    python = sys.executable if side == "ours" else str(package_python())
    return [python, "-m", "bench.engine_side", side, str(checkpoint), engine, device]
