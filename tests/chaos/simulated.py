"""The simulation, half a million steps long: somebody must have been killed at every call of a port."""

from collections import Counter
from pathlib import Path

import click
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.rows import Effort, Finding
from tests.machine import KILLED_AT, SITES, TALLY, Machine

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
        try:
            run_state_machine_as_test(seed(number)(Machine), settings=_settings())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            found.append(f"seed {number}: {error!r}")
            click.echo("\n".join(getattr(error, "__notes__", [])), err=True)  # the steps that led there
        click.echo(f"simulation: {TALLY['steps']:,} steps", err=True)
    found += [f"nobody was killed {moment} {site}" for site, moment in _missing()]
    kills = sum(KILLED_AT.values())
    places = f"{2 * len(SITES) - len(_missing())} of {2 * len(SITES)} moments at places that call a port"
    figure = f"{TALLY['steps']:,} steps, {TALLY['runs']:,} runs, {kills:,} kills at {places}"
    killed_at = {site: (KILLED_AT[site, "before"], KILLED_AT[site, "after"]) for site in SITES}
    return Finding(runs=TALLY["runs"], violations=found, figure=figure, details={"killed_at": killed_at})


def _missing() -> list[tuple[str, str]]:
    killed = Counter(KILLED_AT)
    return [(site, moment) for site in SITES for moment in ("before", "after") if not killed[site, moment]]


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
