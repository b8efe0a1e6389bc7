"""Random checkpoints for tests, made once by the package's own interpreter and kept in ``.cutout``."""

import fcntl
import hashlib
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from tests.pictures import drawing, opened, photo
from worker.matting.package_process import ROOT, package_python

_DRAWN = "drawing"
PHOTOS = ("astronaut", "cat", "coffee", "raccoon", _DRAWN)
FOLDER = ROOT / ".cutout" / "checkpoints"
GENERATOR = ROOT / "bench" / "random_checkpoint.py"
#: What checkpoints of most tests were calibrated to, by the generator: 125 kB each for a minute of its work.
CALIBRATED = ROOT / "tests" / "calibrated"


def random_checkpoint(seed: int, side_px: int) -> Path:
    """Return a checkpoint of random numbers; made anew when its recipe changes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    statistics = [file for file in [CALIBRATED / f"{seed}-{side_px}.npz"] if file.exists()]
    recipe = hashlib.sha256(b"".join(file.read_bytes() for file in [GENERATOR, *statistics])).hexdigest()[:8]
    file = FOLDER / f"random-{recipe}-{seed}-{side_px}.pth"
    with file.with_suffix(".lock").open("w") as lock:  # of this file: another is made beside it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            half_made = file.with_suffix(".part")
            generate(seed, side_px, half_made, *statistics)
            half_made.rename(file)
    return file


def generate(seed: int, side_px: int, file: Path, *statistics: Path) -> None:
    """Write a random checkpoint, calibrated anew or from statistics that were kept."""
    command = [str(package_python()), "-m", "bench.random_checkpoint", str(seed), str(side_px)]
    subprocess.run([*command, str(file), *map(str, statistics)], cwd=ROOT, check=True, capture_output=True)


def vouched_for(file: Path) -> Path:
    """Return a file, with its digest beside it as an operator would write it."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    file.with_name(f"{file.name}.sha256").write_text(f"{digest}  {file.name}\n")
    return file


def squares(side_px: int, names=PHOTOS) -> np.ndarray:
    """Return pictures at the network's size; (N, side, side, 3)."""
    found = [Image.fromarray(drawing() if name == _DRAWN else opened(photo(name))) for name in names]
    return np.stack([np.asarray(f.convert("RGB").resize((side_px,) * 2, Image.BILINEAR)) for f in found])
