"""Where, when and on which code a benchmark ran: without it a figure means nothing."""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the figures of one run depend on."""

    cpu: str
    cores: int
    memory_gib: int
    kernel: str
    python: str
    date: str
    commit: str
    load: float  #: runnable processes over the minute before; more than 0.5 means that others were at work

    def document(self) -> dict[str, Any]:
        """Return it as it is kept beside the rows."""
        return {
            "machine": {
                "cpu": self.cpu,
                "cores": self.cores,
                "memory_gib": self.memory_gib,
                "kernel": self.kernel,
                "python": self.python,
                "load_before": self.load,
            },
            "date": self.date,
            "commit": self.commit,
        }

    def sentence(self) -> str:
        """Return it as a line above a table."""
        return (
            f"{self.date}, commit {self.commit}: {self.cpu}, {self.cores} cores, {self.memory_gib} GiB, "
            f"Linux {self.kernel}, Python {self.python}, load before {self.load:g}."
        )


def peak_bytes(pid: int | None = None) -> int:
    """Return the most resident memory that a process, else this one, has held, as the kernel counts it."""
    lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


def this_machine() -> Machine:
    """Describe this machine, now."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(psutil.virtual_memory().total / 2**30),
        kernel=platform.release().partition("-")[0],
        python=".".join(map(str, sys.version_info[:3])),
        date=datetime.now(UTC).date().isoformat(),
        commit=_commit(),
        load=round(os.getloadavg()[0], 2),
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """Return the commit's short name, with ``+`` where the files differ from it."""
    described = _git("describe", "--always", "--abbrev=10", "--exclude=*")
    return f"{described}{'+' if _git('status', '--porcelain') else ''}" if described else "none"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
