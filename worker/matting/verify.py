"""Decide whether a checkpoint may run in reduced precision here, on the operator's own photos.

    python -m worker.matting.verify ENGINE CHECKPOINT PHOTO...

The published package and ours run side by side.  A precision passes if it is, on average, no farther from the
package than a level of 8 bits, and nearly nowhere farther than four; float32 must pass before any other may.
One JSON line a photo and precision is printed, then one with the decision, which is kept beside the file.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.checkpoints import CHECKPOINTS, CheckpointError
from shared.errors import PermanentError
from worker.decode import decode
from worker.matting.devices import choose_device, layers_for, precisions
from worker.matting.digests import Digests
from worker.matting.inspyrenet import InSPyReNet, build_inspyrenet
from worker.matting.package_process import Package, PackageError
from worker.matting.saliency import square, stretched
from worker.matting.weights import name_of, read_weights, verified_file

_LEVEL = 1 / 255

_MEAN_AT_MOST = _LEVEL
_FAR = 4 * _LEVEL
_FAR_SHARE_AT_MOST = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How far ours is from the package's on one photo."""

    photo: str
    precision: str
    device: str  #: ``cpu`` or ``cuda``: ours ran there
    mean: float
    largest: float
    far_share: float  #: of pixels that are off by more than four levels
    ours_s: float
    theirs_s: float

    @property
    def has_passed(self) -> bool:
        """Whether nobody will see the difference."""
        return self.mean <= _MEAN_AT_MOST and self.far_share <= _FAR_SHARE_AT_MOST


class PhotoError(Exception):
    """A photo cannot be compared; the text says which and why."""


def seen(photo: Path, side_px: int) -> torch.Tensor:
    """Return a photo as the network of a worker would see it; (1, side, side, 3) uint8.

    Raises
    ------
    PhotoError
        If the product would not take it.
    """
    try:
        return square(decode(photo.read_bytes()).rgb, side_px)
    except (PermanentError, OSError) as error:
        raise PhotoError(f"{photo} cannot be compared: {error}") from error


def compare(
    engine: str, digests: Digests, photos: Sequence[tuple[str, torch.Tensor]], package: Package
) -> Iterator[Comparison]:
    """Run both sides on every photo, ours in float32 and in whatever else the device multiplies.

    Parameters
    ----------
    photos
        Their names, and what the network sees.
    """
    side_px, device = CHECKPOINTS[engine].side_px, choose_device("auto")
    weights = read_weights(digests, engine)
    package.load(digests.file, side_px)
    theirs = [package.saliency(small.numpy()) for _, small in photos]
    for precision in reversed(precisions(device)):
        network = build_inspyrenet(weights.tensors, layers_for(device, precision), side_px)
        network(photos[0][1])  # the first call of a network takes longer
        for (name, small), ([expected], theirs_s) in zip(photos, theirs, strict=True):
            found, ours_s = _timed(network, small)
            yield _compared(name, precision, device, (found, expected), (ours_s, theirs_s))


def _timed(network: InSPyReNet, small: torch.Tensor) -> tuple[NDArray[np.float32], float]:
    began = time.perf_counter()
    found: NDArray[np.float32] = stretched(network(small))[0].cpu().numpy()
    return found, time.perf_counter() - began


def _compared(
    photo: str,
    precision: torch.dtype,
    device: torch.device,
    maps: tuple[NDArray[Any], NDArray[Any]],
    seconds: tuple[float, float],
) -> Comparison:
    off = np.abs(maps[0] - maps[1])
    return Comparison(
        photo=photo,
        precision=name_of(precision),
        device=device.type,
        mean=float(off.mean()),
        largest=float(off.max()),
        far_share=float((off > _FAR).mean()),
        ours_s=seconds[0],
        theirs_s=seconds[1],
    )


def keep(digests: Digests, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Write which precisions have passed, on what device and how fast they are there, and return it."""
    tried = {c.precision: [d for d in comparisons if d.precision == c.precision] for c in comparisons}
    passed = {name: _found(those) for name, those in tried.items() if all(c.has_passed for c in those)}
    if "float32" not in passed:
        passed = {}  # then something else is wrong, and nothing is proven
    record = {"sha256": digests.sha256, "passed": passed, "torch": torch.__version__}
    file = verified_file(digests.file)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(record, indent=2) + "\n")
    part.replace(file)
    return record


def _found(passed: Sequence[Comparison]) -> dict[str, Any]:
    """Return what is kept about a precision: by it a worker chooses among those that have passed."""
    return {
        "photos": len(passed),
        "mean": max(c.mean for c in passed),
        "median_s": median(c.ours_s for c in passed),
        "device": passed[0].device,
    }


def main(engine: str, checkpoint: Path, photos: Sequence[Path]) -> None:
    """Compare, say so, decide; nothing runs before every photo has been opened."""
    digests, comparisons = Digests.begin(checkpoint), []
    digests.require_original(engine)
    squares = [(photo.name, seen(photo, CHECKPOINTS[engine].side_px)) for photo in photos]
    with Package() as package:
        for comparison in compare(engine, digests, squares, package):
            comparisons.append(comparison)
            _say(asdict(comparison) | {"passed": comparison.has_passed})
    _say(keep(digests, comparisons))


def _say(fact: dict[str, Any]) -> None:
    print(json.dumps(fact), flush=True)  # noqa: T201 - the caller's answer


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
    except (CheckpointError, PackageError, PhotoError, OSError) as error:
        sys.exit(str(error))
