"""The bench of the engine tells a photo's network from the rest, and a side's start from its photos.

What runs without torch stretches a map as we do; what enlarges after it convolves gives the same map.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.engine import _peak, _rest, _whole
from bench.engine_process import Photo
from bench.engine_side import Timed, disc
from bench.runtime_side import stretched
from bench.upsampling import _rows
from worker.matting import saliency

ROOT = Path(__file__).resolve().parent.parent


def test_a_network_is_run_and_timed_and_shows_a_disc_in_its_own_way() -> None:
    class Network:
        side_px, ran = 384, 0

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            self.ran += 1
            return x

    inner = Network()
    network = Timed(inner, lambda shown: shown * 2)
    found = [network(torch.zeros(1, 1, 64, 64)) for _ in range(2)]
    assert (inner.ran, network.side_px, len(network.seconds)) == (2, 384, 2)
    assert min(network.seconds) >= 0
    assert torch.equal(found[1], disc(64)[None, None] * 2)


def test_the_disc_takes_two_fifths_and_a_fourteenth_is_mixed() -> None:
    shown = disc(1024)
    assert (shown.min(), shown.max()) == (0, 1)
    assert shown.mean().item() == pytest.approx(0.4, abs=0.002)
    assert ((shown > 0) & (shown < 1)).float().mean().item() == pytest.approx(0.07, abs=0.002)


def test_what_is_left_of_a_photo_is_what_the_network_did_not_take() -> None:
    photos = [Photo(seconds=s, network_s=n, peak_bytes=10**9) for s, n in ((5, 4), (9, 6), (7, 5))]
    assert (_whole(photos), _rest(photos)) == (7, 2)
    row = _peak("12 MP", photos[0], Photo(seconds=1, network_s=1, peak_bytes=2 * 10**9))
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


def test_a_map_is_stretched_without_torch_as_with_it() -> None:
    logits = torch.linspace(-9, 3, 48).reshape(1, 6, 8)
    assert np.abs(stretched(logits.numpy()) - saliency.stretched(logits).numpy()).max() < 1e-6


def test_kernels_for_four_neighbours_give_what_enlarging_first_gives() -> None:
    time, difference = _rows(32, torch.float32, 1)
    assert time.ours > 0
    assert difference.ours < 1e-5
