"""Reads a checkpoint's digests beside whatever else a start has to do: hashing lets go of the interpreter."""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shared.checkpoint_files import digest_of
from shared.checkpoints import CHECKPOINTS, Checkpoint, CheckpointError


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
        sha256 = threads.submit(digest_of, file, "sha256")
        # A second core that reads 360 MB once more is missing while a network is built; what was converted
        # names its engine.
        is_asked_for = file.suffix != ".safetensors"
        md5 = (
            threads.submit(digest_of, file, "md5").result if is_asked_for else partial(digest_of, file, "md5")
        )
        threads.shutdown(wait=False)
        return cls(file, sha256, md5)

    @property
    def sha256(self) -> str:
        """Of the whole file; of a converted one, as if 64 zeros stood in place of its own digest."""
        return self._sha256.result()

    def require_known(self, engine: str, published: Mapping[str, Checkpoint] = CHECKPOINTS) -> None:
        """Raise ``CheckpointError`` unless somebody vouches for the file, and it was not another engine's.

        Names and shapes of the published files are the same: only their digests tell them apart.
        """
        self._refuse_anothers(engine, published)
        own = _own(self.file)
        if own.is_file():
            return _require_own(own, self.sha256)
        expected, found = published[engine], self._md5()
        if found == expected.md5:
            return None
        raise CheckpointError(
            f"{self.file} has the md5 {found}, expected {expected.md5}: it is damaged, or not what was "
            f"published. Fetch it again; if the weights are your own, write `sha256sum` of the file to {own}."
        )

    def require_original(self, engine: str, published: Mapping[str, Checkpoint] = CHECKPOINTS) -> None:
        """Raise ``CheckpointError`` if it was converted, or is another engine's, whoever vouches for it."""
        if self.file.suffix == ".safetensors":
            raise CheckpointError(
                f"{self.file} was converted already. Name the file that it was made from, as published: "
                f"{published[engine].file}, or weights of your own."
            )
        self._refuse_anothers(engine, published)

    def _refuse_anothers(self, engine: str, published: Mapping[str, Checkpoint]) -> None:
        found = self._md5()
        other = next((c.engine for c in published.values() if c.md5 == found and c.engine != engine), None)
        if other:
            raise CheckpointError(f"{self.file} is the checkpoint of {other}, expected that of {engine}.")


def _own(file: Path) -> Path:
    """Return where whoever vouches for a file of their own writes its sha256."""
    return file.with_name(f"{file.name}.sha256")


def _require_own(own: Path, found: str) -> None:
    words = own.read_text("utf-8-sig", errors="replace").lower().split()
    if not words or not re.fullmatch("[0-9a-f]{64}", words[0]):
        raise CheckpointError(
            f"{own} is not what `sha256sum` writes: 64 digits and letters, in UTF-8, and the name."
        )
    if words[0] != found:
        raise CheckpointError(
            f"The file beside {own} has the sha256 {found}, which is not what stands there."
        )
