"""Convert a published checkpoint into a file of our own, which loads faster.

    python -m worker.matting.convert ENGINE CHECKPOINT FILE [PRECISION]

One JSON line says what was written; what is wrong is said in a sentence, with exit status 1.
"""

import json
import sys
from pathlib import Path

import torch

from shared.checkpoints import CheckpointError
from worker.matting.digests import Digests
from worker.matting.weights import read_verified, read_weights, write_converted


def convert(engine: str, source: Path, target: Path, precision: str = "float32") -> None:
    """Fold a checkpoint and write it.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be used, or has not been verified in this precision; nothing is written.
    """
    digests = Digests.begin(source)
    digests.require_original(engine)
    if precision not in {"float32", *read_verified(digests)}:
        raise CheckpointError(
            f"{source} has not passed in {precision}: run `./cutout model verify` on a machine that "
            "multiplies in it first, or convert to float32. Nothing was written."
        )
    weights = read_weights(digests, engine)
    write_converted(weights, engine, getattr(torch, precision), target)
    facts = {
        "file": str(target),
        "bytes": target.stat().st_size,
        "sha256": weights.sha256,
        "precision": precision,
    }
    print(json.dumps(facts))  # noqa: T201 - the caller's answer


if __name__ == "__main__":
    try:
        convert(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:5])
    except CheckpointError as error:
        sys.exit(str(error))
