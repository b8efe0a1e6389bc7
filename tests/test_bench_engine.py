"""The bench of the engine tells a photo's network from the rest, and a side's start from its photos."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.engine import _peak, _Photo, _rest, _whole
from bench.engine_side import Timed

ROOT = Path(__file__).resolve().parent.parent


def test_a_network_is_itself_and_adds_up_its_calls() -> None:
    class Network:
        side_px = 384

        def __call__(self, x: int) -> int:
            return x + 1

    network = Timed(Network())
    assert (network(1), network(2), network.side_px) == (2, 3, 384)
    assert len(network.seconds) == 2
    assert min(network.seconds) >= 0


def test_what_is_left_of_a_photo_is_what_the_network_did_not_take() -> None:
    photos = [_Photo(seconds=s, network_s=n, peak_bytes=10**9) for s, n in ((5, 4), (9, 6), (7, 5))]
    assert (_whole(photos), _rest(photos)) == (7, 2)
    row = _peak("12 MP", photos[0], _Photo(seconds=1, network_s=1, peak_bytes=2 * 10**9))
    assert (row.ours, row.ratio, row.met) == (1000, 0.5, True)


def test_a_side_that_cannot_load_says_why_instead_of_a_time(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bench.engine_side",
        "ours",
        str(tmp_path / "none.pth"),
        "inspyrenet-base",
    ]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode != 0
    assert "is not a file" in done.stderr
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)
