"""Checkpoint files: the published ``.pth``, and our own ``.safetensors``, folded beforehand.

Nothing is unpickled but tensors, and no file is used before its digest has been read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from shared.checkpoint_files import FORMAT, NO_DIGEST, read_facts, sign
from shared.checkpoints import CheckpointError
from worker.matting.digests import Digests
from worker.matting.folding import fold, folded_shapes
from worker.matting.published import Shape, require_shapes, shapes

Verified = Mapping[str, Any]  #: by precision, what ``model verify`` measured; only what has passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What the network calculates with, and where it comes from."""

    tensors: Mapping[str, Tensor]  #: as ``fold`` gives them
    sha256: str  #: of the published file
    verified: Verified = field(default_factory=dict)
    precision: str = "float32"  #: that they have been rounded to


def read_weights(digests: Digests, engine: str, folded: Mapping[str, Shape] | None = None) -> Weights:
    """Read the checkpoint of an engine; a converted one holds what is folded so.

    Raises
    ------
    CheckpointError
        If the file is damaged, is another's, or does not hold the weights of this network.
    """
    if digests.file.suffix == ".safetensors":
        return _read_converted(digests, engine, folded or folded_shapes())
    digests.require_known(engine)
    tensors = read_published(digests.file)
    return Weights(tensors=fold(tensors), sha256=digests.sha256, verified=read_verified(digests))


def read_published(file: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file of the published kind, whose digest is known; mapped, not read.

    One that torch wrote before 1.6 cannot be mapped, and is read.
    """
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=_is_zip(file))
    except Exception as error:  # a damaged pickle raises what it likes, IndexError and struct.error too
        raise CheckpointError(f"{file} does not hold tensors and nothing else: {_short(error)}") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise CheckpointError(f"{file} does not hold tensors by their names.")
    require_shapes(file, tensors, dict(shapes()))
    return tensors


def _is_zip(file: Path) -> bool:
    """Whether a file begins as torch's have since 1.6; a truncated one does too."""
    with file.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _read_converted(digests: Digests, engine: str, folded: Mapping[str, Shape]) -> Weights:
    facts = read_facts(digests.file)
    if facts.get("digest") != digests.sha256:
        raise CheckpointError(f"{digests.file} is damaged: its digest is not what it was. Convert it again.")
    if facts["engine"] != engine:
        raise CheckpointError(f"{digests.file} is for {facts['engine']}, expected one for {engine}.")
    try:
        with safe_open(digests.file, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{digests.file} is damaged: {_short(error)}. Convert it again.") from error
    require_shapes(digests.file, tensors, folded)
    return Weights(
        tensors=tensors,
        sha256=facts["sha256"],
        verified=json.loads(facts["verified"]) or read_verified(digests, facts["sha256"]),
        precision=facts["precision"],
    )


def write_converted(weights: Weights, engine: str, precision: torch.dtype, file: Path) -> None:
    """Write folded weights as a file of our own, in a precision; whole or not at all."""
    tensors = {
        n: t.to(precision if _may_round(n, t) else t.dtype).contiguous() for n, t in weights.tensors.items()
    }
    facts = {"format": FORMAT, "engine": engine, "sha256": weights.sha256, "precision": name_of(precision)}
    facts |= {"verified": json.dumps(dict(weights.verified)), "digest": NO_DIGEST}
    part = file.with_suffix(".part.safetensors")
    save_file(tensors, part, facts)
    sign(part)
    part.replace(file)


#: Layers that map contexts, which are too large and too few to be rounded.
_OF_CONTEXTS = ("conv_key", "conv_value", "conv_out1")


def _may_round(name: str, tensor: Tensor) -> bool:
    """Whether a tensor is used in the network's precision; thresholds and what maps contexts are not."""
    return tensor.ndim > 1 and not any(part in name for part in _OF_CONTEXTS)


def name_of(precision: torch.dtype) -> str:
    """Return what a precision is called in settings, files and logs."""
    return str(precision).removeprefix("torch.")


def verified_file(file: Path) -> Path:
    """Return where ``model verify`` keeps what it found about a checkpoint."""
    return file.with_name(f"{file.name}.verified.json")


def read_verified(digests: Digests, sha256: str | None = None) -> Verified:
    """Return the precisions that have passed for a checkpoint; none, if the record is about another file.

    Raises
    ------
    CheckpointError
        If the record is damaged.
    """
    record = verified_file(digests.file)
    if not record.is_file():
        return {}
    try:
        document = json.loads(record.read_bytes())
        is_about_this = document["sha256"] == (sha256 or digests.sha256)
        return {name: dict(found) for name, found in document["passed"].items()} if is_about_this else {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{record} is not what `./cutout model verify` writes ({_short(error)}): run it again, or remove "
            "the file to run in float32."
        ) from error


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
