"""Convert a published checkpoint into a file of our own, which loads faster.

    python -m worker.matting.convert ENGINE CHECKPOINT FILE [PRECISION]

One JSON line says what was written; what is wrong is said in a sentence, with exit status 1.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError

from shared.checkpoint_files import is_ours
from shared.checkpoints import CheckpointError
from worker.matting.digests import Digests
from worker.matting.weights import Weights, read_verified, read_weights, write_converted


def convert(engine: str, source: Path, target: Path, precision: str = "float32") -> None:
    """Fold a checkpoint and write it.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be used, or has not been verified in this precision, or something that may
        be missed lies where it would be written; nothing is written.
    """
    digests = Digests.begin(source)
    digests.require_original(engine)
    _require_free(source, target)
    if precision not in {"float32", *read_verified(digests)}:
        raise CheckpointError(
            f"{source} has not passed in {precision}: run `./cutout model verify` on a machine that "
            "multiplies in it first, or convert to float32. Nothing was written."
        )
    weights = read_weights(digests, engine)
    write(weights, engine, getattr(torch, precision), target)
    facts = {
        "file": str(target),
        "bytes": target.stat().st_size,
        "sha256": weights.sha256,
        "precision": precision,
    }
    print(json.dumps(facts))  # noqa: T201 - the caller's answer


def _require_free(source: Path, target: Path) -> None:
    """Refuse to write over anything but what an earlier conversion wrote."""
    if target.exists():
        if target.samefile(source):
            raise CheckpointError(f"{target} is {source} itself; name another file. Nothing was written.")
        if not is_ours(target):
            raise CheckpointError(
                f"{target} is not what `./cutout model convert` writes, and was left there. Name another "
                "file, or move it away first. Nothing was written."
            )
    if target.suffix != ".safetensors":
        raise CheckpointError(
            f"{target} does not end in .safetensors, by which a converted file is known. Nothing was written."
        )


def write(weights: Weights, engine: str, precision: torch.dtype, target: Path) -> None:
    """Write a converted file, whole or not at all, for whoever the umask lets read it.

    Raises
    ------
    CheckpointError
        If the disk does not take it.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".converting-", dir=target.parent) as folder:
            half_made = Path(folder, target.name)
            half_made.touch()
            mode = half_made.stat().st_mode  # safetensors lets its owner alone read what it writes
            write_converted(weights, engine, precision, half_made)
            half_made.chmod(mode)
            half_made.replace(target)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{target} cannot be written: {error}. Nothing was written.") from error


if __name__ == "__main__":
    try:
        convert(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:5])
    except (CheckpointError, OSError) as error:
        sys.exit(str(error))
