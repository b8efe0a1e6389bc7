"""A checkpoint file's digest, and what a converted one says of itself; no weights are read.

A converted file holds its own digest: its header's digest is taken as if 64 zeros stood in its place.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from shared.checkpoints import CheckpointError

#: Of our own files; another number is another layout.
_KIND = "cutout-inspyrenet-"
FORMAT = f"{_KIND}2"
NO_DIGEST = "0" * 64

#: What a file of ours says of itself beside its format.
_FACTS = ("engine", "sha256", "precision", "verified", "digest")

_PIECE_BYTES = 1 << 22
_HEADER_LENGTH_BYTES = 8
_LONGEST_HEADER_BYTES = 1_000_000


def digest_of(file: Path, algorithm: str) -> str:
    """Return a file's digest."""
    digest = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")
    with file.open("rb") as stream:
        if file.suffix == ".safetensors":
            digest.update(_unsigned_header(stream))
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def sign(file: Path) -> None:
    """Write a converted file's digest in its place, where zeros stand."""
    digest = digest_of(file, "sha256")
    with file.open("r+b") as stream:
        header = stream.read(_LONGEST_HEADER_BYTES)
        stream.seek(header.index(f'"digest":"{NO_DIGEST}"'.encode()) + len('"digest":"'))
        stream.write(digest.encode())


def read_facts(file: Path) -> Mapping[str, str]:
    """Return what stands in a safetensors file's header beside its tensors; its digest is not compared.

    Raises
    ------
    CheckpointError
        If it is damaged, or was not written by this version.
    """
    facts = _metadata(file)
    if facts.get("format") != FORMAT:
        raise CheckpointError(
            f"{file} was not written by this version of `./cutout model convert`. Convert it again."
        )
    missing = [name for name in _FACTS if not isinstance(facts.get(name), str)]
    if missing:
        raise CheckpointError(
            f"{file} is damaged: its header does not say its {', '.join(missing)}. Convert it again."
        )
    return facts


def is_ours(file: Path) -> bool:
    """Whether ``./cutout model convert`` wrote a file, in this version or another."""
    try:
        return str(_metadata(file).get("format")).startswith(_KIND)
    except CheckpointError:
        return False


def _metadata(file: Path) -> Mapping[str, str]:
    try:
        with file.open("rb") as stream:
            facts = json.loads(_header(stream)[_HEADER_LENGTH_BYTES:]).get("__metadata__", {})
        return dict(facts.items())
    except (ValueError, AttributeError, RecursionError, OSError) as error:
        raise CheckpointError(f"{file} is damaged: its header cannot be read. Convert it again.") from error


def _unsigned_header(stream: BinaryIO) -> bytes:
    return re.sub(rb'("digest":")[0-9a-f]{64}"', rb"\g<1>" + NO_DIGEST.encode() + b'"', _header(stream))


def _header(stream: BinaryIO) -> bytes:
    length = stream.read(_HEADER_LENGTH_BYTES)
    return length + stream.read(min(int.from_bytes(length, "little"), _LONGEST_HEADER_BYTES))
