"""A photo takes at most 60 bytes a pixel and 100 MB beyond what a ready worker holds (field report 15)."""

from pathlib import Path

import pytest

from bench.working_set import SIZES_PX, WorkingSet, row, working_set

pytestmark = pytest.mark.system


@pytest.mark.parametrize("megapixels", [12, pytest.param(24, marks=pytest.mark.exhaustive)])
def test_a_real_workers_peak_for_four_effects_keeps_within_the_bound(tmp_path: Path, megapixels: int) -> None:
    found = working_set(tmp_path, SIZES_PX[megapixels])
    # Less could not hold the photo and a cut-out with its colours: then something else was measured.
    assert 7 * found.pixels < found.over_ready_bytes <= found.most_bytes


def test_what_is_allowed_is_60_bytes_a_pixel_and_100_mb() -> None:
    kept = row(12, WorkingSet(pixels=12_000_000, over_ready_bytes=821_000_000)).document()
    assert (kept["target"], kept["met"]) == ("<= 820 MB", False)
