"""Every place in the product that calls a port is one at which a real process is killed (K)."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.call_sites import ROOT, sites_in
from tests.chaos.acts import Act, Moment, moments_of
from tests.chaos.attempts import ATTEMPTS
from tests.chaos.errands import ERRANDS
from tests.chaos.killing import plants
from tests.chaos.kills import JOBS, SUBMISSIONS
from tests.chaos.operating import OPERATING
from tests.chaos.rows import Effort, Finding
from tests.chaos.tending import TENDING

#: The rows in which processes are killed at each moment of their acts.
_ROWS: Mapping[str, Mapping[str, Act]] = {
    "W": JOBS,
    "W9": ATTEMPTS,
    "A": SUBMISSIONS,
    "A6": ERRANDS,
    "A7": OPERATING,
    "A8": TENDING,
}


def killed_everywhere(folder: Path, _effort: Effort) -> Finding:
    """Compare the places that the acts of all rows come to with those that the source has."""
    with plants(folder, len(_ROWS)) as every, ThreadPoolExecutor(len(_ROWS)) as pool:
        found = dict(zip(_ROWS, pool.map(moments_of, every, _ROWS.values()), strict=True))
    rows = _rows_by_place(found)
    places = [(site, moment) for site in sorted(_sites()) for moment in ("before", "after")]
    met = [place for place in places if place in rows]
    violations = [
        f"nobody is killed {moment} {site}" for site, moment in places if (site, moment) not in rows
    ]
    figure = f"{len(met)} of {len(places)} moments at places that call a port"
    details = {"places": {f"{moment} {site}": sorted(rows[site, moment]) for site, moment in met}}
    return Finding(runs=len(places), violations=violations, figure=figure, details=details)


def _sites() -> set[str]:
    files = [file for room in ("api", "shared", "worker") for file in (ROOT / room).rglob("*.py")]
    return sites_in(*(str(file.relative_to(ROOT)) for file in files))


def _rows_by_place(found: Mapping[str, list[Moment]]) -> dict[tuple[str, str], set[str]]:
    rows: dict[tuple[str, str], set[str]] = {}
    for row, moments in found.items():
        for place in (place for moment in moments for place in moment.places):
            rows.setdefault(place, set()).add(row)
    return rows
