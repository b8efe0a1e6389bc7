"""A map becomes opacity at the photo's size as the published package's own ``Remover.process`` makes it."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.package_side import SharedPackage
from worker.matting.package_process import ROOT
from worker.matting.saliency import enlarged

pytestmark = [pytest.mark.parity, pytest.mark.timeout(300)]

PHOTO, SIDE_PX = ROOT / "tests" / "photos" / "coffee.jpg", 384


def test_a_map_at_the_photos_size_is_the_packages_to_the_bit(package: SharedPackage) -> None:
    """The map is a photo's own red, so that it has edges, and goes from 0 to 1."""
    with Image.open(PHOTO) as photo:
        width, height = photo.size
        red = np.asarray(photo.convert("RGB").resize((SIDE_PX, SIDE_PX)), np.float32)[..., 0]
    saliency = (red - red.min()) / (red.max() - red.min())
    theirs = package.enlarged(saliency, PHOTO)
    found = enlarged(torch.from_numpy(saliency), height, width).numpy()
    assert found.std() > 30
    assert np.array_equal(found, theirs)
