"""The simulation, hundreds of thousands of steps: somebody must have been killed at every call of a port."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.rows import Effort, Finding
from tests.chaos.spread import Lane, lanes
from tests.machine import AIMS, KILLED_AT, MOMENTS, SITES, TALLY, Machine

_RUNS = 40  #: with one seed, and at the places that were missing then
_MOST = 3  #: times the steps asked for, while a place is missing
#: So many seeds know the same of what is missing, however many are tried at once: a seed repeats everything.
_AT_ONCE = 4

Moment = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A seed, and where its processes are to be killed on purpose."""

    seed: int
    aims: Sequence[Moment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of a trial."""

    tally: Counter[str]
    killed_at: Counter[Moment]
    violation: str = ""
    notes: str = ""  #: the steps that have led there


@dataclass
class _Sum:
    """What has come of all trials."""

    tally: Counter[str] = field(default_factory=Counter)
    killed_at: Counter[Moment] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, found: Found) -> None:
        self.tally += found.tally
        self.killed_at += found.killed_at
        if found.violation:
            self.violations.append(found.violation)
            click.echo(found.notes, err=True)

    @property
    def missing(self) -> list[Moment]:
        return [moment for moment in MOMENTS if not self.killed_at[moment]]

    @property
    def steps(self) -> int:
        return self.tally["steps"]

    def sentence(self) -> str:
        named = [f"{moment} {site}" for site, moment in self.missing[:3]]
        more = [f"and {len(self.missing) - 3} more"] if len(self.missing) > 3 else []
        where = ", ".join([*named, *more]) or "nowhere"
        return f"simulation: {self.steps:,} steps; not killed at yet: {where}"


def simulated(_folder: Path, effort: Effort) -> Finding:
    """Run the machine with one seed after the other until it was long enough and has killed everywhere."""
    with lanes() as running:
        return _searched(effort, lambda trials: _spread(running, trials))


def simulated_here(effort: Effort) -> Finding:
    """Do the same in this process alone."""
    return _searched(effort, lambda trials: map(_tried, trials))


def _spread(running: Sequence[Lane], trials: Sequence[Trial]) -> Iterable[Found]:
    begun = [running[n % len(running)].start(_tried, trial) for n, trial in enumerate(trials)]
    return (done.result() for done in begun)


def _searched(effort: Effort, each: Callable[[Sequence[Trial]], Iterable[Found]]) -> Finding:
    total, number = _Sum(), effort.seed
    while not total.violations and (
        total.steps < effort.steps or (total.missing and total.steps < _MOST * effort.steps)
    ):
        aims = total.missing or MOMENTS
        for found in each([Trial(seed=number + n, aims=aims) for n in range(1, _AT_ONCE + 1)]):
            total.add(found)
            if total.violations:
                break
        number += _AT_ONCE
        click.echo(total.sentence(), err=True)
    return _finding(total, effort)


def _finding(total: _Sum, effort: Effort) -> Finding:
    # A small sample cannot have been everywhere; its figure says how far it came.
    missing = total.missing if effort.repeats > 1 else []
    violations = total.violations + [f"nobody was killed {moment} {site}" for site, moment in missing]
    killed, kills = len(MOMENTS) - len(total.missing), sum(total.killed_at.values())
    places = f"{killed} of {len(MOMENTS)} moments at places that call a port"
    figure = f"{total.steps:,} steps, {total.tally['runs']:,} runs, {kills:,} kills at {places}"
    at = total.killed_at
    killed_at = {site: (at[site, "before"], at[site, "after"]) for site in SITES}
    details = {"killed_at": killed_at}
    return Finding(runs=total.tally["runs"], violations=violations, figure=figure, details=details)


def _tried(trial: Trial) -> Found:
    """Run the machine for some time, with one seed."""
    TALLY.clear()
    KILLED_AT.clear()
    AIMS[:] = trial.aims
    violation, notes = "", ""
    try:
        run_state_machine_as_test(seed(trial.seed)(Machine), settings=_settings())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        aims = "everything" if trial.aims == MOMENTS else trial.aims
        violation = f"seed {trial.seed}, aimed at {aims}: {error!r}"
        notes = "\n".join(getattr(error, "__notes__", []))
    return Found(tally=Counter(TALLY), killed_at=Counter(KILLED_AT), violation=violation, notes=notes)


def _settings() -> settings:
    return settings(
        max_examples=_RUNS,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
