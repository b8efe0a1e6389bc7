"""The simulation, half a million steps long: somebody must have been killed at every call of a port."""

from pathlib import Path

import click
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.rows import Effort, Finding
from tests.machine import AIMS, KILLED_AT, MOMENTS, SITES, TALLY, Machine

_RUNS = 200
_MOST = 3  #: times the steps asked for, while a place is missing


def simulated(_folder: Path, effort: Effort) -> Finding:
    """Run the machine with one seed after the other until it was long enough and has killed everywhere."""
    found: list[str] = []
    TALLY.clear()
    KILLED_AT.clear()
    number = effort.seed
    while not found and (
        TALLY["steps"] < effort.steps or (_missing() and TALLY["steps"] < _MOST * effort.steps)
    ):
        number += 1
        AIMS[:] = _missing() or MOMENTS
        try:
            run_state_machine_as_test(seed(number)(Machine), settings=_settings())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            found.append(f"seed {number}, aimed at {'everything' if AIMS == MOMENTS else AIMS}: {error!r}")
            click.echo("\n".join(getattr(error, "__notes__", [])), err=True)  # the steps that led there
        click.echo(f"simulation: {TALLY['steps']:,} steps; not killed at yet: {_named(_missing())}", err=True)
    found += [f"nobody was killed {moment} {site}" for site, moment in _missing()]
    kills = sum(KILLED_AT.values())
    places = f"{len(MOMENTS) - len(_missing())} of {len(MOMENTS)} moments at places that call a port"
    figure = f"{TALLY['steps']:,} steps, {TALLY['runs']:,} runs, {kills:,} kills at {places}"
    killed_at = {site: (KILLED_AT[site, "before"], KILLED_AT[site, "after"]) for site in SITES}
    return Finding(runs=TALLY["runs"], violations=found, figure=figure, details={"killed_at": killed_at})


def _missing() -> list[tuple[str, str]]:
    return [moment for moment in MOMENTS if not KILLED_AT[moment]]


def _named(missing: list[tuple[str, str]]) -> str:
    named = [f"{moment} {site}" for site, moment in missing[:3]]
    return ", ".join([*named, f"and {len(missing) - 3} more"] if len(missing) > 3 else named) or "nowhere"


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
