"""The published checkpoints, and where the files of this machine lie.

No file is used whose digest nobody vouches for: it is the published one, stands in FILE.sha256 beside the
file (as ``sha256sum`` writes it), or is in the file that ``./cutout model convert`` wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

#: Where ``./cutout model fetch`` puts files and where the worker looks for them.
MODELS = Path(__file__).resolve().parent.parent / "models"

_RELEASE = "https://github.com/plemeri/transparent-background/releases/download/1.2.12"


class CheckpointError(Exception):
    """A checkpoint cannot be used; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What was published for an engine."""

    engine: str
    side_px: int  #: of the square that the network sees
    file: str
    md5: str

    @property
    def url(self) -> str:
        """Where it was published."""
        return f"{_RELEASE}/{self.file}"

    @property
    def converted(self) -> str:
        """What it is called once it is converted."""
        return f"{self.engine}.safetensors"

    def find(self, folder: Path = MODELS) -> Path | None:
        """Return this machine's file, converted if there is one, or ``None``."""
        files = (folder / self.converted, folder / self.file)
        return next((file for file in files if file.is_file()), None)


#: Checkpoints by the engine that they are for.
CHECKPOINTS: Mapping[str, Checkpoint] = MappingProxyType(
    {
        checkpoint.engine: checkpoint
        for checkpoint in (
            Checkpoint(
                engine="inspyrenet-base",
                side_px=1024,
                file="ckpt_base.pth",
                md5="d692e3dd5fa1b9658949d452bebf1cda",
            ),
            Checkpoint(
                engine="inspyrenet-fast",
                side_px=384,
                file="ckpt_fast.pth",
                md5="9efdbfbcc49b79ef0f7891c83d2fd52f",
            ),
        )
    }
)
