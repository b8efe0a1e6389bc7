"""A map becomes opacity at the photo's size as the published package's own ``Remover.process`` makes it."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from worker.matting.package_process import ROOT, package_python
from worker.matting.saliency import enlarged

pytestmark = [pytest.mark.parity, pytest.mark.timeout(300)]

PHOTO, SIDE_PX = ROOT / "tests" / "photos" / "coffee.jpg", 384

#: The package's own method, on an object whose constructor, which fetches weights, was never called.
SCRIPT = """
import numpy as np, sys, torch
from PIL import Image
from worker.matting.transparent_background import package
Remover = package().Remover
remover = object.__new__(Remover)
remover.device, remover.matting_fn = "cpu", None
remover.transform = lambda image: torch.zeros(3, 1, 1)
remover.model = lambda _: torch.from_numpy(np.load(sys.argv[1]))[None, None]
rgba = remover.process(Image.open(sys.argv[2]).convert("RGB"), type="rgba")
np.save(sys.argv[3], np.asarray(rgba)[..., 3])
"""


def test_a_map_at_the_photos_size_is_the_packages_to_the_bit(tmp_path: Path) -> None:
    """The map is a photo's own red, so that it has edges, and goes from 0 to 1."""
    with Image.open(PHOTO) as photo:
        width, height = photo.size
        red = np.asarray(photo.convert("RGB").resize((SIDE_PX, SIDE_PX)), np.float32)[..., 0]
    saliency = (red - red.min()) / (red.max() - red.min())
    given, theirs = tmp_path / "map.npy", tmp_path / "alpha.npy"
    np.save(given, saliency)
    command = [str(package_python()), "-c", SCRIPT, str(given), str(PHOTO), str(theirs)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = enlarged(torch.from_numpy(saliency), height, width).numpy()
    assert found.std() > 30
    assert np.array_equal(found, np.load(theirs))
