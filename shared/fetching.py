"""Fetch a published checkpoint: resumed where it was broken off, kept only with the published digest."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from shared.checkpoint_files import digest_of
from shared.checkpoints import Checkpoint, CheckpointError
from shared.side_by_side import in_thread

#: Without a network it is given up after this time.
_CONNECT_S = 5.0
_PIECE_BYTES = 1 << 20

Progress = Callable[[int, int | None], None]  #: bytes that are there, bytes that there will be


class TooSlowError(CheckpointError):
    """The time given was over; what has come is kept, and the next fetch goes on from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Where the published file is, and where to find now what lay there and was something else."""

    file: Path
    put_aside: Path | None = None


def fetch(
    checkpoint: Checkpoint, folder: Path, progress: Progress, within_s: float | None = None, url: str = ""
) -> Fetched:
    """Return the published file, fetching what of it is not there yet.

    What lies there and has another digest is kept aside, in ``FILE.damaged-...``.

    Raises
    ------
    CheckpointError
        If the network does not give it, or gives something else; or somebody's own weights lie there.
    TooSlowError
        If it is not there within the time given.
    """
    target, url = folder / checkpoint.file, url or checkpoint.url
    lies_there = digest_of(target, "md5") if target.exists() else None
    if lies_there == checkpoint.md5:
        return Fetched(file=target)
    if lies_there:
        _require_nobodys(target)
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    try:
        _fetch_rest(url, part, progress, None if within_s is None else time.monotonic() + within_s)
    except (OSError, urllib.error.URLError) as error:
        raise CheckpointError(
            f"{url} cannot be fetched: {error}. Without a network, put the file to {target} yourself."
        ) from error
    _require_md5(part, checkpoint, url)
    aside = target.with_name(f"{target.name}.damaged-{lies_there[:8]}") if lies_there else None
    if aside:
        target.replace(aside)
    part.replace(target)
    return Fetched(file=target, put_aside=aside)


def _require_nobodys(target: Path) -> None:
    own = target.with_name(f"{target.name}.sha256")
    if own.is_file():
        raise CheckpointError(
            f"{target} is not what was published, and {own} says so: these are somebody's own weights, and "
            "were left there. Fetch `--to` another folder, or move both away first."
        )


def _fetch_rest(url: str, part: Path, progress: Progress, until: float | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        answer = _answered(request)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is nothing left to fetch
        raise
    with answer:
        if answer.status != HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server starts from the beginning
        _append(answer, part, have, progress, until)


def _answered(request: urllib.request.Request) -> Any:
    """Return the answer, or give up in time: of the library each name, address and redirect has its own."""
    answer = in_thread(lambda: urllib.request.urlopen(request, timeout=_CONNECT_S))  # noqa: S310 - ours
    try:
        return answer.result(_CONNECT_S)
    except TimeoutError:
        answer.add_done_callback(_hang_up)
        raise TimeoutError(f"nobody answered within {_CONNECT_S:g} s") from None


def _hang_up(late: Future[Any]) -> None:
    answer = late.exception() or late.result()
    if isinstance(answer, urllib.error.HTTPError | HTTPResponse):
        answer.close()


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
    found = digest_of(part, "md5")
    if found != checkpoint.md5:
        part.unlink()
        raise CheckpointError(
            f"What {url} gave has the md5 {found}, expected {checkpoint.md5}; it was deleted. Try again."
        )
