"""At the size of inspyrenet-base, too, our map is the published package's.

A file of its own, because it takes as long as all of ``test_parity``, beside which it runs.
"""

import pytest
import torch

from tests.checkpoints import random_checkpoint
from tests.package_side import SharedPackage
from tests.test_parity import assert_same, case, ours
from worker.matting.layers import OneDnnLayers

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]


def test_at_1024_in_float32_the_map_is_the_packages(package: SharedPackage) -> None:
    """The weights of the tests at 384 would not do: their map has no spread at this size."""
    large = case(package, random_checkpoint(0, 1024), 1024, ["coffee"], bfloat16=False)
    assert_same(ours(large, OneDnnLayers(torch.float32)), large.maps)
