"""Reads a checkpoint's digests beside whatever else a start has to do: hashing lets go of the interpreter."""

import hashlib
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from shared.checkpoints import CHECKPOINTS, Checkpoint, CheckpointError

_PIECE_BYTES = 1 << 22
_HEADER_LENGTH_BYTES = 8
_LONGEST_HEADER_BYTES = 1_000_000
NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class Digests:
    """A file's digests, as soon as they are there."""

    file: Path
    _sha256: Future[str]
    _md5: Callable[[], str]

    @classmethod
    def begin(cls, file: Path) -> "Digests":
        """Start to read a file; ``CheckpointError`` if there is none."""
        if not file.is_file():
            raise CheckpointError(
                f"{file} is not a file. Run `./cutout model fetch`, or let CUTOUT_CHECKPOINT name the file."
            )
        threads = ThreadPoolExecutor(2, "digest")
        sha256 = threads.submit(_digest, file, "sha256")
        # A second core that reads 360 MB once more is missing while the network is built.
        is_asked_for = file.suffix != ".safetensors" and not _own(file).is_file()
        md5 = threads.submit(_digest, file, "md5").result if is_asked_for else partial(_digest, file, "md5")
        threads.shutdown(wait=False)
        return cls(file, sha256, md5)

    @property
    def sha256(self) -> str:
        """Of the whole file; of a converted one, as if 64 zeros stood in place of its own digest."""
        return self._sha256.result()

    def require_known(self, engine: str, published: Mapping[str, Checkpoint] = CHECKPOINTS) -> None:
        """Raise ``CheckpointError`` unless somebody vouches for the file, for this engine."""
        own = _own(self.file)
        if own.is_file():
            return _require_own(own, self.sha256)
        expected, found = published[engine], self._md5()
        if found == expected.md5:
            return None
        other = next((c.engine for c in published.values() if c.md5 == found), None)
        if other:
            raise CheckpointError(f"{self.file} is the checkpoint of {other}, expected that of {engine}.")
        raise CheckpointError(
            f"{self.file} has the md5 {found}, expected {expected.md5}: it is damaged, or not what was "
            f"published. Fetch it again; if the weights are your own, write `sha256sum` of the file to {own}."
        )


def _own(file: Path) -> Path:
    """Return where whoever vouches for a file of their own writes its sha256."""
    return file.with_name(f"{file.name}.sha256")


def _require_own(own: Path, found: str) -> None:
    words = own.read_text().split()
    if not words or words[0] != found:
        raise CheckpointError(
            f"The file beside {own} has the sha256 {found}, which is not what stands there."
        )


def sign(file: Path) -> None:
    """Write a converted file's digest in its place, where zeros stand."""
    digest = _digest(file, "sha256")
    with file.open("r+b") as stream:
        header = stream.read(_LONGEST_HEADER_BYTES)
        stream.seek(header.index(f'"digest":"{NO_DIGEST}"'.encode()) + len('"digest":"'))
        stream.write(digest.encode())


def _digest(file: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")
    with file.open("rb") as stream:
        if file.suffix == ".safetensors":
            digest.update(_header(stream))
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _header(stream: BinaryIO) -> bytes:
    """Return the header of a safetensors file with zeros in place of its digest."""
    length = stream.read(_HEADER_LENGTH_BYTES)
    header = stream.read(min(int.from_bytes(length, "little"), _LONGEST_HEADER_BYTES))
    return length + re.sub(rb'("digest":")[0-9a-f]{64}"', rb"\g<1>" + NO_DIGEST.encode() + b'"', header)
