"""Rows that tests of the suite meet already: they are run, and counted."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from bench.machine import ROOT
from tests.chaos.rows import Effort, Finding, Scenario


def by(*tests: str) -> Scenario:
    """Return a scenario that runs some tests of the suite; one that is skipped is a violation here."""

    def run(folder: Path, effort: Effort) -> Finding:
        del effort  # they are what they are
        report = folder / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [f"--junit-xml={report}", "-o", "junit_family=xunit1"]  # which takes what tests record
        subprocess.run(
            [*command, *(f"tests/{test}" for test in tests)], cwd=ROOT, check=False, capture_output=True
        )
        return _read(report)

    return run


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


def _read(report: Path) -> Finding:
    if not report.exists():
        return Finding(runs=0, figure="no report", violations=["the tests did not run"])
    cases = list(ET.parse(report).iter("testcase"))
    bad = [f"{case.get('name')}: {child.tag}" for case in cases for child in case if child.tag in _BAD]
    missing = [] if cases else ["no such tests"]
    return Finding(runs=len(cases), figure=f"{len(cases) - len(bad)} tests passed", violations=bad + missing)


_BAD: Sequence[str] = ("failure", "error", "skipped")
