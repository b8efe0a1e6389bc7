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
        what="who is silent is counted without a word on record",
        file="shared/settling.py",
        old="while claims := standing.silent:",
        new="while claims := []:",
    ),
    Bug(
        what="a job is given up though an attempt that was silent has spoken meanwhile",
        file="shared/settling.py",
        old="if standing.kind is not Kind.HOPELESS:",
        new="if False:",
    ),
    Bug(
        what="a job fails as its first attempt did",
        file="shared/history.py",
        old="return COUNTED[(spoken or counted)[-1]]",
        new="return COUNTED[(spoken or counted)[0]]",
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
    Bug(
        what="a replay opens a job whose turn has not come",
        file="shared/replay_batches.py",
        old="plan.selection[step.start : step.stop]",
        new="plan.selection[step.start : step.stop + 1]",
    ),
    Bug(
        what="who loses a batch to another driver takes the next one at once",
        file="shared/replaying.py",
        old="step.document())\n        except NameTakenError:\n            return False",
        new=(
            "step.document())\n        except NameTakenError:\n"
            "            return self._takes(plan, replace(step, number=step.number + 1))"
        ),
    ),
    Bug(
        what="a replay that was cancelled goes on with its batch",
        file="shared/reopening.py",
        old="if is_over():",
        new="if False:",
    ),
    Bug(
        what="a job that another replay has opened meanwhile is opened once more",
        file="shared/reopening.py",
        old="        return _opened_already(ledger, history, plan, selected)\n    if trace.terminal",
        new=(
            "        ledger.open(job_id, history.newest.number + 1, _opening(ledger, plan))\n"
            "        return OPENED\n    if trace.terminal"
        ),
    ),
    Bug(
        what="a replay keeps no rate",
        file="shared/replay_progress.py",
        old="return max(timedelta(0), pause - progress.since_last)",
        new="return timedelta(0)",
    ),
    Bug(
        what="a replay waits for no canary",
        file="shared/replay_progress.py",
        old="if self._is_all_tried or self.tally.tried == self.progress.plan.canary:",
        new="if self._is_all_tried:",
    ),
    Bug(
        what="a replay goes on above its limit",
        file="shared/replaying.py",
        old="if view.is_over_limit:",
        new="if False:",
    ),
    Bug(
        what="a batch whose driver has died is never done again",
        file="shared/replaying.py",
        old="dead_after:\n            return False",
        new="dead_after * 10_000:\n            return False",
    ),
    Bug(
        what="a failure that was written off is replayed with all others",
        file="shared/reopening.py",
        old="if not plan.is_of_named_jobs and _is_resolved(",
        new="if False and _is_resolved(",
    ),
    Bug(
        what="an upload becomes a second job",
        file="shared/uploads.py",
        old="            if upload.job_id:\n                return upload",
        new="",
    ),
    Bug(
        what="the broom deletes the photo of an upload that became a job",
        file="shared/broom.py",
        old="if job is None or job.accepted.photo.name != upload.input:",
        new="if True:",
    ),
    Bug(
        what="a photo that was uploaded again after its job was erased stays",
        file="shared/broom.py",
        old="        if job.is_closed:\n            self.ledger.store.delete(upload.input)",
        new="        if False:\n            self.ledger.store.delete(upload.input)",
    ),
    Bug(
        what="pictures of an erased job are looked for",
        file="api/job_view.py",
        old="return job.is_closed or now >= job.accepted.expires_at",
        new="return now >= job.accepted.expires_at",
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
