"""Bugs planted in a copy of the code, one at a time: a simulation that finds none of them proves nothing."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.machine import ROOT
from bench.progress import track
from tests.chaos.rows import Effort, Finding

_ROOMS = ("api", "bench", "ops", "shared", "tests", "worker")
_RUN = """
import logging, sys
from tests.chaos.rows import Effort
from tests.chaos.simulated import simulated_here
logging.disable(logging.CRITICAL)
effort = Effort(seed=int(sys.argv[1]), repeats=1, plants=1, jobs=0, steps=400_000)
print(*simulated_here(effort).violations, sep="\\n")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A change of one place in the code that breaks a promise."""

    what: str
    file: str
    old: str
    new: str


BUGS = (
    Bug(
        what="a claim that is taken is worked on all the same",
        file="shared/ledger.py",
        old='raise JobBusyError("Another attempt has just claimed the job.") from error',
        new='written = self.store.stat(claim.name("json"))',
    ),
    Bug(
        what="a live claim is not looked at",
        file="shared/reading.py",
        old="if last and last.is_live(history.now, self.pace):",
        new="if False:",
    ),
    Bug(
        what="a delivery is acknowledged though another attempt is at work",
        file="worker/handler.py",
        old='raise JobBusyError("Another attempt holds a live claim.")',
        new="return True",
    ),
    Bug(
        what="a delivery is acknowledged before there is a terminal record",
        file="worker/handler.py",
        old="return Outcome.ACK if is_settled else Outcome.REFUSE",
        new="return Outcome.ACK",
    ),
    Bug(
        what="the sweep never publishes a second time",
        file="shared/sweep.py",
        old="return last + 1 if now >= due_at else None",
        new="return None",
    ),
    Bug(
        what="the marker is deleted before the job is announced",
        file="shared/settling.py",
        old="    if known.has_losers(terminal, ledger.pace):\n",
        new="    ledger.unmark(job_id, epoch)\n    if known.has_losers(terminal, ledger.pace):\n",
    ),
    Bug(
        what="a job is promised without a marker",
        file="shared/ledger.py",
        old='return self.store.create(name, b"{}").generation',
        new="return 7",
    ),
    Bug(
        what="the winner's pictures are deleted with the losers'",
        file="shared/settling.py",
        old="if keep is None or not stat.name.startswith(keep):",
        new="if True:",
    ),
    Bug(
        what="an outage uses up attempts",
        file="shared/history.py",
        old="    Release.BUG.value: InternalError,",
        new="    Release.BUG.value: InternalError,\n    Release.STORAGE.value: InternalError,",
    ),
    Bug(
        what="attempts are used up too late",
        file="shared/pace.py",
        old="COUNTED_CLAIMS = 3",
        new="COUNTED_CLAIMS = 5",
    ),
    Bug(
        what="a job that stands ready does not wait for its slot",
        file="worker/slots.py",
        old="while not slot.taken:",
        new="while False:",
    ),
    Bug(
        what="somebody stands ready beside a job that must run alone",
        file="worker/slots.py",
        old="if self._waiting_for_all or self._is_alone:",
        new="if self._waiting_for_all:",
    ),
    Bug(
        what="a key is taken for another request",
        file="shared/ledger.py",
        old="if not is_same(accepted, request_digest):",
        new="if False:",
    ),
)


def planted(folder: Path, effort: Effort) -> Finding:
    """Plant each bug, and let the simulation look for it."""
    left = [bug.what for bug in track(BUGS, "planted bugs") if not _is_found(folder / "copy", bug, effort)]
    figure = f"{len(BUGS) - len(left)} of {len(BUGS)} planted bugs were found"
    return Finding(runs=len(BUGS), violations=[f"not found: {what}" for what in left], figure=figure)


def _is_found(copy: Path, bug: Bug, effort: Effort) -> bool:
    for room in _ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("photos", "results"))
    text = (copy / bug.file).read_text()
    (copy / bug.file).write_text(text.replace(bug.old, bug.new))
    command = [sys.executable, "-c", _RUN, str(effort.seed)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    shutil.rmtree(copy)
    # Where the code has moved on nothing was planted, and nothing counts as found.
    return text.count(bug.old) == 1 and "BrokenPromiseError" in done.stdout
