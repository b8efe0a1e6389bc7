"""Fetch a published checkpoint: resumed where it was broken off, kept only with the published digest."""

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from shared.checkpoints import Checkpoint, CheckpointError

#: Without a network it is given up after this time.
_CONNECT_S = 5.0
_PIECE_BYTES = 1 << 20

Progress = Callable[[int, int | None], None]  #: bytes that are there, bytes that there will be


class TooSlowError(CheckpointError):
    """The time given was over; what has come is kept, and the next fetch goes on from there."""


def fetch(
    checkpoint: Checkpoint, folder: Path, progress: Progress, within_s: float | None = None, url: str = ""
) -> Path:
    """Return the published file, fetching what of it is not there yet.

    Raises
    ------
    CheckpointError
        If the network does not give it, or gives something else.
    TooSlowError
        If it is not there within the time given.
    """
    target, url = folder / checkpoint.file, url or checkpoint.url
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        try:
            _fetch_rest(url, part, progress, None if within_s is None else time.monotonic() + within_s)
        except (OSError, urllib.error.URLError) as error:
            raise CheckpointError(
                f"{url} cannot be fetched: {error}. Without a network, put the file to {target} yourself."
            ) from error
        _require_md5(part, checkpoint, url)
        part.replace(target)
    return target


def _fetch_rest(url: str, part: Path, progress: Progress, until: float | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        answer = urllib.request.urlopen(request, timeout=_CONNECT_S)  # noqa: S310 - the address is ours
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is nothing left to fetch
        raise
    with answer:
        if answer.status != HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server starts from the beginning
        _append(answer, part, have, progress, until)


def _append(answer: Any, part: Path, have: int, progress: Progress, until: float | None) -> None:
    length = answer.headers.get("Content-Length")
    total = have + int(length) if length else None
    with part.open("r+b" if have else "wb") as file:
        file.seek(have)
        while piece := answer.read(_PIECE_BYTES):
            file.write(piece)
            have += len(piece)
            progress(have, total)
            if until is not None and time.monotonic() > until:
                raise TooSlowError(f"{part} has {have:,} bytes so far; the next fetch goes on from there")
    if total is not None and have < total:
        raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


def _require_md5(part: Path, checkpoint: Checkpoint, url: str) -> None:
    with part.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != checkpoint.md5:
        part.unlink()
        raise CheckpointError(
            f"What {url} gave has the md5 {found}, expected {checkpoint.md5}; it was deleted. Try again."
        )
