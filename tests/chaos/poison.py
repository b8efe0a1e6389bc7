"""A photo that kills its worker each time, beside neighbours who wait for their turn (D9)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.progress import track
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import require

NEIGHBOURS, DEATHS = 5, 3
#: Slower than alone by one death at most: who shared the process waits until its claim is dead, is found by a
#: sweep and is done by a new process. Two more deaths are what a queue behind the poison would wait for.
SLOWER_AT_MOST_S = 1.5


def poisoned(folder: Path, effort: Effort) -> Finding:
    """Let one photo kill the worker each time, and hold its neighbours against the same ones alone (D9)."""
    found: list[str] = []
    runs = max(1, effort.repeats // 5)
    with Plant(folder, slots=2) as plant:
        poison = _Poison(plant)
        for number in track(range(runs), "poison"):
            with violations(found, f"run {number}"):
                poison.run()
    return Finding(runs=runs, violations=found, figure=poison.sentence())


@dataclass
class _Poison:
    """Takes jobs alone and beside the poison, and notes after how long the last of them was done."""

    plant: Plant
    alone_s: list[float] = field(default_factory=list)
    beside_s: list[float] = field(default_factory=list)
    given_up_s: list[float] = field(default_factory=list)

    def run(self) -> None:
        self.alone_s.append(self._neighbours_done_s([]))
        bad = self.plant.new_id()
        orders = [self.plant.order("worker", act="kill", who=bad, only="during model") for _ in range(DEATHS)]
        began = datetime.now(UTC)
        beside_s = self._neighbours_done_s([bad])
        self.beside_s.append(beside_s)
        self.plant.settled(bad)
        for name in orders:
            self.plant.require_done("worker", name, "the poison has not killed three times")
        terminal = self.plant.promises.job(bad).terminal
        slug, inferences = (terminal.error or {}).get("slug"), self.plant.inferences()[bad]
        require(slug == "poison", "D9", f"it is {terminal.status}: {terminal.error}")
        require(inferences == DEATHS, "I4", f"{inferences} inferences of the poison")
        self.given_up_s.append((terminal.at - began).total_seconds())
        slower_s = beside_s - self.alone_s[-1]
        require(slower_s <= SLOWER_AT_MOST_S, "D9", f"neighbours done {slower_s:.1f} s later than alone")
        require(beside_s < self.given_up_s[-1], "D9", "neighbours were done after the poison was given up")

    def sentence(self) -> str:
        """Return the slowest of each."""
        alone_s, beside_s, given_up_s = (
            max(each, default=0.0) for each in (self.alone_s, self.beside_s, self.given_up_s)
        )
        return (
            f"given up after {DEATHS} deaths each, {given_up_s:.1f} s at most; {NEIGHBOURS} neighbours done "
            f"within {beside_s:.1f} s, alone {alone_s:.1f} s"
        )

    def _neighbours_done_s(self, before: Sequence[str]) -> float:
        """Accept jobs behind others; return after how many seconds the last of them had settled."""
        neighbours = [self.plant.new_id() for _ in range(NEIGHBOURS)]
        began = datetime.now(UTC)
        for job_id in (*before, *neighbours):
            self.plant.accept(job_id)
        for job_id in neighbours:
            self.plant.require_succeeded(job_id)
        ended = [self.plant.promises.job(job_id).terminal.at for job_id in neighbours]
        return (max(ended) - began).total_seconds()
