"""Write a job's pictures into a folder: each is whole and as the job describes it, or not there."""

import mimetypes
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.answers import DamagedError
from ops.client import Client

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EXTENSIONS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


def write_pictures(
    client: Client, job: Mapping[str, Any], folder: Path, stem: str, *, everything: bool = False
) -> list[Path]:
    """Write ``STEM.EFFECT.EXT`` for each effect, over what is there, and return the files.

    Parameters
    ----------
    client, job
        Whom to ask for the pictures of which job.
    folder, stem
        Where they go, and what their names begin with.
    everything
        Whether the matte and the preview are wanted too.

    Raises
    ------
    DamagedError, RefusedError, UnreachableError, OSError
        If one cannot be had or written; those before it are there, its own file is as it was before.
    """
    pictures = dict(job.get("results") or {})
    if everything:
        pictures |= {name: job[name] for name in ("matte", "preview") if job.get(name)}
    files = {folder / _file_name(stem, name, result): result for name, result in pictures.items()}
    for file, result in files.items():
        _write(client, result, file)
    return list(files)


def _file_name(stem: str, name: str, result: Mapping[str, Any]) -> str:
    """Build a name that cannot lead out of the folder, whoever answers."""
    if not _NAME.fullmatch(name):
        raise DamagedError(f"the service names a picture {name!r}, which is no file's name; check --url")
    content_type = str(result.get("content_type"))
    extension = _EXTENSIONS.get(content_type) or mimetypes.guess_extension(content_type) or ".bin"
    return f"{stem}.{name}{extension}"


def _write(client: Client, result: Mapping[str, Any], file: Path) -> None:
    with whole(file) as unfinished:
        client.fetch(result, unfinished)


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Lend a file to write to, which takes its name once it is whole; else what is there stays as it was."""
    # Short: the final name may be of full length.
    unfinished = file.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield unfinished
        unfinished.replace(file)
    except DamagedError as error:
        raise DamagedError(f"{file.name} was not written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
