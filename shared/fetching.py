"""Fetch a published checkpoint: resumed where it was broken off, kept only with the published digest."""

import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Timer
from typing import Any

from shared.checkpoint_files import digest_of
from shared.checkpoints import Checkpoint, CheckpointError
from shared.side_by_side import in_thread

#: Without a network it is given up after this time.
_CONNECT_S = 5.0
_PIECE_BYTES = 1 << 16

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
        If the network does not give it, or gives something else; if the folder does not take it; or
        somebody's own weights lie there.
    TooSlowError
        If it is not there within the time given.
    """
    until = None if within_s is None else time.monotonic() + within_s
    target, url = folder / checkpoint.file, url or checkpoint.url
    with _disk_in_a_sentence(target):
        lies_there = digest_of(target, "md5") if target.exists() else None
        if lies_there == checkpoint.md5:
            return Fetched(file=target)
        if lies_there:
            _require_nobodys(target)
        folder.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    try:
        _fetch_rest(url, part, progress, until)
    except (OSError, HTTPException, ValueError) as error:
        raise CheckpointError(
            f"{url} cannot be fetched: {_short(error)}. Without a network, put the file to {target} yourself."
        ) from error
    with _disk_in_a_sentence(target):
        _require_md5(part, checkpoint, url)
        aside = target.with_name(f"{target.name}.damaged-{lies_there[:8]}") if lies_there else None
        if aside:
            target.replace(aside)
        part.replace(target)
    return Fetched(file=target, put_aside=aside)


@contextmanager
def _disk_in_a_sentence(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{target} cannot be put there: {error}. Make room there, or fetch `--to` another folder."
        ) from error


def _short(error: Exception) -> str:
    """Return what is wrong; what a portal or proxy answered in place of HTTP is quoted."""
    if isinstance(error, HTTPException):
        return f"{type(error).__name__} ({str(error).strip()[:200]!a})"
    return str(error)


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
        answer = _answered(request, _CONNECT_S if until is None else min(_CONNECT_S, _left_s(until)))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is nothing left to fetch
        raise
    with answer:
        if answer.status != HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server starts from the beginning
        _append(answer, part, have, progress, until)


def _left_s(until: float) -> float:
    return max(until - time.monotonic(), 0.0)


def _answered(request: urllib.request.Request, patience_s: float) -> Any:
    """Return the answer, or give up in time: of the library each name, address and redirect has its own."""
    answer = in_thread(lambda: urllib.request.urlopen(request, timeout=_CONNECT_S))  # noqa: S310 - ours
    try:
        return answer.result(patience_s)
    except TimeoutError:
        answer.add_done_callback(_hang_up)
        raise TimeoutError(f"nobody answered within {patience_s:.2g} s") from None


def _hang_up(late: Future[Any]) -> None:
    answer = late.exception() or late.result()
    if isinstance(answer, urllib.error.HTTPError | HTTPResponse):
        answer.close()


def _append(answer: Any, part: Path, have: int, progress: Progress, until: float | None) -> None:
    length = answer.headers.get("Content-Length")
    total = have + int(length) if length else None
    with part.open("r+b" if have else "wb") as file, _hung_up_at(until, answer):
        file.seek(have)
        for piece in _pieces(answer, until):
            file.write(piece)
            have += len(piece)
            progress(have, total)
    if total is not None and have >= total:
        return
    if until is not None and not _left_s(until):
        raise TooSlowError(f"{part} has {have:,} bytes so far; the next fetch goes on from there")
    if total is not None:
        raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


def _pieces(answer: Any, until: float | None) -> Iterator[bytes]:
    """Yield what has come, as soon as it has; end early, and never raise, once the time is over."""
    try:
        while (until is None or _left_s(until)) and (piece := answer.read1(_PIECE_BYTES)):
            yield piece
    except (OSError, HTTPException):
        if until is None or _left_s(until):
            raise


@contextmanager
def _hung_up_at(until: float | None, answer: Any) -> Iterator[None]:
    """End the connection in time: a read that waits for a byte looks at no clock."""
    if until is None:
        yield
        return
    with socket.socket(fileno=os.dup(answer.fileno())) as line:
        timer = Timer(_left_s(until), _shut, [line])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _shut(line: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        line.shutdown(socket.SHUT_RDWR)


def _require_md5(part: Path, checkpoint: Checkpoint, url: str) -> None:
    found = digest_of(part, "md5")
    if found != checkpoint.md5:
        part.unlink()
        raise CheckpointError(
            f"What {url} gave has the md5 {found}, expected {checkpoint.md5}; it was deleted. Try again."
        )
