"""Rows that tests of the suite meet already: they are run, and counted."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from bench.machine import ROOT
from tests.chaos.rows import Effort, Finding, Scenario


def by(*tests: str) -> Scenario:
    """Return a scenario that runs some tests of the suite; one that is skipped is a violation here."""

    def run(folder: Path, effort: Effort) -> Finding:
        del effort  # they are what they are
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            reports = list(pool.map(partial(_ran, folder), range(len(tests)), tests))
        return _read(dict(zip(tests, reports, strict=True)))

    return run


def _ran(folder: Path, number: int, test: str) -> Path:
    """Run one test or a file of them, beside the others, and return its report."""
    report = folder / f"report-{number}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{test}"]
    command += [f"--junit-xml={report}", "-o", "junit_family=xunit1"]  # which takes what tests record
    subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    return report


def also(scenario: Scenario, *tests: str) -> Scenario:
    """Return a scenario that runs some tests of the suite as well."""

    def run(folder: Path, effort: Effort) -> Finding:
        met, shown = scenario(folder, effort), by(*tests)(folder, effort)
        return Finding(
            runs=met.runs + shown.runs,
            violations=[*met.violations, *shown.violations],
            figure=f"{met.figure}; {shown.figure}",
            details=met.details,
        )

    return run


def one_after_another(*scenarios: Scenario) -> Scenario:
    """Return a scenario that is several, each in a folder of its own."""

    def run(folder: Path, effort: Effort) -> Finding:
        met = [scenario(folder / str(number), effort) for number, scenario in enumerate(scenarios)]
        return Finding(
            runs=sum(each.runs for each in met),
            violations=[violation for each in met for violation in each.violations],
            figure="; ".join(each.figure for each in met),
            details={name: value for each in met for name, value in each.details.items()},
        )

    return run


def _read(reports: Mapping[str, Path]) -> Finding:
    found = {test: list(ET.parse(at).iter("testcase")) if at.exists() else [] for test, at in reports.items()}
    cases = [case for of_one in found.values() for case in of_one]
    bad = [f"{case.get('name')}: {child.tag}" for case in cases for child in case if child.tag in _BAD]
    missing = [f"{test}: no such tests, or they did not run" for test, of_one in found.items() if not of_one]
    return Finding(runs=len(cases), figure=f"{len(cases) - len(bad)} tests passed", violations=bad + missing)


_BAD: Sequence[str] = ("failure", "error", "skipped")
