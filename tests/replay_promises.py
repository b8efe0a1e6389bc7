"""What operators' replays promise at every moment, whoever drives them and whoever of those dies.

A plan's selection never changes; no job is replayed twice by one plan, nor one that has not failed; rate,
canary and limit are kept though many drive; after an end nothing further is opened but what was in flight.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from shared import records
from shared.errors import PHOTO_FAULTS
from shared.ports import ObjectStore, Stat

_STEP = re.compile(r"replays/(?P<id>\w+)/batch/(?P<number>\d+)\.json")
_OPENED = re.compile(r"jobs/(?P<job_id>job_\w+)/e(?P<epoch>\d+)/opened\.json")
_LOOKED_AT = re.compile(r"replays/.*|jobs/.*/(opened|terminal)\.json|open/.*")


class BrokenPromiseError(AssertionError):
    """A promise is broken; the text says which and of which job."""


def require(kept: object, invariant: str, what: str) -> None:
    if not kept:
        raise BrokenPromiseError(f"{invariant}: {what}")


def record(store: ObjectStore, name: str) -> dict[str, Any]:
    """Read a record as it lies there."""
    document: dict[str, Any] = json.loads(store.read(name).data)
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A job that a replay has opened."""

    job_id: str
    epoch: int  #: the new one
    generation: int


@dataclass
class ReplayPromises:
    """Looks at all replays again and again; their records are written once, which is looked at elsewhere."""

    store: ObjectStore
    drivers: Callable[[], int]
    _read: dict[str, dict[str, Any]] = field(default_factory=dict)  #: records, by name
    _in_flight: dict[str, int] = field(default_factory=dict)  #: drivers at the end of a replay
    _most: dict[str, int] = field(default_factory=dict)  #: batches of a replay that is over its limit

    def check(self, stats: Mapping[str, Stat], changed: Collection[str]) -> None:
        """Hold every replay against what was promised, if anything about one has changed."""
        if not any(_LOOKED_AT.fullmatch(name) for name in changed):
            return
        steps: dict[str, dict[int, Stat]] = {}
        for stat in stats.values():
            if match := _STEP.fullmatch(stat.name):
                steps.setdefault(match["id"], {})[int(match["number"])] = stat
        openings = self._openings(stats)
        resolved = {
            _failure(name): s.generation for name, s in stats.items() if name.endswith(".resolved.json")
        }
        for name in [name for name in stats if name.startswith("replays/") and name.endswith("/plan.json")]:
            replay_id = name.split("/")[1]
            of_it = steps.get(replay_id, {}), openings.get(replay_id, [])
            Look(self, stats, resolved, self.read(name), *of_it).check()

    def read(self, name: str) -> dict[str, Any]:
        """Read a record that never changes."""
        if name not in self._read:
            self._read[name] = record(self.store, name)
        return self._read[name]

    def _openings(self, stats: Mapping[str, Stat]) -> dict[str, list[Opening]]:
        found: dict[str, list[Opening]] = {}
        for name, stat in stats.items():
            if (match := _OPENED.fullmatch(name)) and (replay_id := self.read(name).get("replay")):
                opening = Opening(
                    job_id=match["job_id"], epoch=int(match["epoch"]), generation=stat.generation
                )
                found.setdefault(replay_id, []).append(opening)
        return {replay_id: sorted(each, key=lambda o: o.generation) for replay_id, each in found.items()}

    def opened_by(self, replay_id: str) -> int:
        """How many jobs a replay had opened when it was looked at last."""
        return sum(
            record.get("replay") == replay_id for name, record in self._read.items() if "/opened" in name
        )

    # --- over time ------------------------------------------------------------------------------

    def in_flight_at_the_end(self, replay_id: str) -> int:
        """How many drivers there were when a replay's end was first seen: each may open one job more."""
        return self._in_flight.setdefault(replay_id, self.drivers())

    def most_batches(self, replay_id: str, batches: int, *, is_over: bool) -> int:
        """How many batches there may be: who looked before the limit was passed may take one more."""
        if not is_over:
            self._most.pop(replay_id, None)
            return batches
        return self._most.setdefault(replay_id, batches + (self.drivers() > 0))

    # --- in the end -----------------------------------------------------------------------------

    def check_ended(self, view: Mapping[str, Any]) -> None:
        """Hold what an operator is told of a replay against what must be true once it has ended."""
        stats = {stat.name: stat for stat in self.store.list("").objects}
        replay_id, openings = view["id"], self._openings(stats).get(view["id"], [])
        require(view["status"] in {"done", "stopped", "cancelled"}, "R", f"{replay_id} goes on: {view}")
        require(f"replaying/{replay_id}" not in stats, "R", f"{replay_id} is {view['status']} and marked")
        require(view["opened"] == len(openings), "R", f"{replay_id} has opened {len(openings)}: {view}")
        told = view["opened"] + sum(view["skipped"].values())
        is_whole = view["status"] != "done" or told == view["count"]
        require(is_whole, "R", f"{replay_id} has not tried each of its jobs: {view}")


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one replay."""

    of: ReplayPromises
    stats: Mapping[str, Stat]
    resolved: Mapping[tuple[str, int], int]  #: when failures were written off
    plan: Mapping[str, Any]
    steps: Mapping[int, Stat]  #: batches, and perhaps an end
    openings: list[Opening]  #: in the order in which they were written

    @property
    def id(self) -> str:
        return str(self.plan["id"])

    def check(self) -> None:
        require(sorted(self.steps) == list(range(len(self.steps))), "R", f"{self.id} has left a step out")
        taken, position, end = self._taken()
        self._require_selected(taken)
        self._require_canary(position)
        allowed = self._most_batches(len(self.steps) - (end is not None), position)
        require(len(self.steps) - (end is not None) <= allowed, "R", f"{self.id} went on above its limit")
        if end is not None:
            late = [o for o in self.openings if o.generation > end.generation]
            require(
                len(late) <= self.of.in_flight_at_the_end(self.id),
                "R",
                f"{self.id} has ended, and has since opened {late}",
            )

    def _taken(self) -> tuple[dict[tuple[str, int], Stat], int, Stat | None]:
        """Return the batch in which each of the selection was taken, how many were, and the end."""
        taken: dict[tuple[str, int], Stat] = {}
        position, before = 0, None
        selection = [(str(job_id), int(epoch)) for job_id, epoch in self.plan["selection"]]
        for number in sorted(self.steps):
            stat, step = self.steps[number], self.of.read(self.steps[number].name)
            if "end" in step:
                require(number == len(self.steps) - 1, "R", f"{self.id} went on after its end")
                return taken, position, stat
            require(
                step["start"] == position < step["stop"], "R", f"{self.id} has taken {step} at {position}"
            )
            self._require_rate(number, stat, before, step["start"] - self._start(number - 1))
            taken |= dict.fromkeys(selection[step["start"] : step["stop"]], stat)
            position, before = step["stop"], stat
        return taken, position, None

    def _start(self, number: int) -> int:
        return int(self.of.read(self.steps[number].name)["start"]) if number >= 0 else 0

    def _require_rate(self, number: int, stat: Stat, before: Stat | None, size: int) -> None:
        """A batch follows one that is done, and not sooner than that one's jobs take at the plan's rate."""
        step = self.of.read(stat.name)
        most = max(1, int(self.plan["rate_per_s"]))
        require(step["stop"] - step["start"] <= most, "R", f"{self.id} has taken {step} at once")
        if before is None:
            return
        done = self.stats.get(before.name.replace(".json", ".done.json"))
        is_done = done is not None and done.generation < stat.generation
        require(is_done, "R", f"{self.id} has taken {number} before what was before it was done")
        pause = timedelta(seconds=size / self.plan["rate_per_s"])
        waited = stat.updated - before.updated
        require(waited >= pause, "R", f"{self.id} has taken {number} after {waited}, not {pause}")

    def _require_selected(self, taken: Mapping[tuple[str, int], Stat]) -> None:
        """What is opened was selected, has its turn, has failed, and is opened once."""
        jobs = [opening.job_id for opening in self.openings]
        require(len(jobs) == len(set(jobs)), "R", f"{self.id} has opened a job twice: {jobs}")
        for opening in self.openings:
            key = opening.job_id, opening.epoch - 1
            batch = taken.get(key)
            is_its_turn = batch is not None and batch.generation < opening.generation
            require(is_its_turn, "R", f"{self.id} has opened {key}, which it had not taken")
            for part in ("terminal", "announced"):
                stat = self.stats.get(records.epoch_name(*key, f"{part}.json"))
                is_before = stat is not None and stat.generation < opening.generation
                require(is_before, "R", f"{self.id} has opened {key} before it was {part}")
            require(self._end_of(key)["status"] == "failed", "R", f"{self.id} has opened {key}: not failed")
            if "jobs" not in self.plan["filters"]:
                self._require_unresolved(key, batch)

    def _require_unresolved(self, key: tuple[str, int], batch: Stat) -> None:
        """Of all that filters mean, what an operator had written off before its turn is left alone."""
        is_late = self.resolved.get(key, batch.generation) >= batch.generation
        require(is_late, "R", f"{self.id} has opened {key}, which was resolved")

    def _end_of(self, key: tuple[str, int]) -> Mapping[str, Any]:
        return self.of.read(records.epoch_name(*key, "terminal.json"))

    def _require_canary(self, position: int) -> None:
        """No more than the canary is tried before as many have answered; who was cancelled proves nothing."""
        canary = int(self.plan["canary"])
        for number, opening in enumerate(self.openings):
            ends = [self._answer(each, before=opening.generation) for each in self.openings[:number]]
            tried, answered = len(ends) - ends.count("unproven"), len(ends) - ends.count("unproven")
            answered -= ends.count("open")
            require(
                tried < canary or answered >= canary,
                "R",
                f"{self.id} has opened {opening} with {answered} of {canary} answered, of {position} taken",
            )

    def _most_batches(self, batches: int, position: int) -> int:
        ends = [self._answer(opening) for opening in self.openings]
        owed = [o for o in self.openings if records.marker_name(o.job_id, o.epoch) in self.stats]
        ends = [end for opening, end in zip(self.openings, ends, strict=True) if opening not in owed]
        proven = len(ends) - ends.count("unproven")
        tried = proven + len(owed)
        is_tried = tried >= self.plan["canary"] or position == len(self.plan["selection"])
        is_over = is_tried and proven > 0 and ends.count("failed") / proven > self.plan["stop_above"]
        return self.of.most_batches(self.id, batches, is_over=is_over)

    def _answer(self, opening: Opening, *, before: int | None = None) -> str:
        """Say what became of a job that was opened, or had by a generation; ``open`` is nothing yet."""
        name = records.epoch_name(opening.job_id, opening.epoch, "terminal.json")
        stat = self.stats.get(name)
        if stat is None or (before is not None and stat.generation > before):
            return "open"
        end = self.of.read(name)
        if end["status"] == "failed":
            return "other" if end["error"]["slug"] in PHOTO_FAULTS else "failed"
        return str(end["status"]) if end["status"] == "succeeded" else "unproven"


def _failure(name: str) -> tuple[str, int]:
    """Return the job and the epoch that a record in the operators' index is about."""
    job_id, epoch, *_ = name.rpartition("/")[2].split(".")
    return job_id, int(epoch[1:])
