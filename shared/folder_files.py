"""Folders of objects: they come and go around the files in them, are made durable, and are walked."""

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from heapq import nsmallest
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

#: What the kernel says where an object is meant and a folder, or nothing, is found.
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

_PAGE = 1000  # as Cloud Storage; a day of ten thousand is looked through ten times


def make_folders(root: Path, folder: Path, changed: set[Path]) -> None:
    """Make a folder and those above it up to a root, and add those that have a new entry to a set."""
    if folder == root:
        return  # never made here: where it is gone, so is the disk
    try:
        folder.mkdir()
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folders(root, folder.parent, changed)
        with suppress(FileExistsError):
            folder.mkdir()
            changed.add(folder.parent)
    else:
        changed.add(folder.parent)


def prune_folders(root: Path, folder: Path) -> None:
    """Remove folders that have become empty, but neither the root nor what lies right in it."""
    with suppress(OSError):  # not empty, or somebody else is at it
        while root not in (folder, folder.parent):
            with suppress(FileNotFoundError):
                folder.rmdir()
            folder = folder.parent


def sync_folder(root: Path, folder: Path) -> None:
    """Make a folder's entries durable; where it was pruned meanwhile, the fact that it is gone."""
    while True:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            if folder == root:
                raise
            folder = folder.parent
        else:
            break
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path) -> Iterator[os.stat_result]:
    """Keep others from replacing or deleting a file, by a lock on the very version that is there."""
    while True:
        with path.open("rb", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            current = path.lstat()
            if os.path.samestat(current, os.fstat(file.fileno())):  # else it changed hands while we waited
                yield current
                return


class Found(NamedTuple):
    """What a listing keeps of a file: the system's own answer is four times as large."""

    st_size: int
    st_mtime_ns: int


def walk(root: Path, prefix: str) -> dict[str, Found]:
    """Return the files whose names under a root start with a prefix; what vanishes is passed over."""
    return dict(_present(_walk(root, prefix)))


def walk_on(root: Path, prefix: str, after: str) -> tuple[list[tuple[str, Found]], str | None]:
    """Return the first files that ``walk`` would after a name, by name, and the last name if others follow.

    No more names than are returned are held: whoever has a million files looks at each of them for each page.
    """
    following = ((name, entry) for name, entry in _walk(root, prefix, after) if name > after)
    first = nsmallest(_PAGE + 1, following, key=itemgetter(0))
    more = first[_PAGE - 1][0] if len(first) > _PAGE else None
    return list(_present(first[:_PAGE])), more


def _walk(root: Path, prefix: str, after: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what is under a root but its folders, without those that come whole before a name."""
    pending = [prefix[: prefix.rfind("/") + 1]]
    base = os.fspath(root)
    while pending:
        folder = pending.pop()
        for entry in _entries(f"{base}/{folder}"):
            name = folder + entry.name
            if entry.name.startswith(".") or not name.startswith(prefix):
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield name, entry
            elif after < f"{name}/" or after.startswith(f"{name}/"):
                pending.append(f"{name}/")


def _present(walked: Iterable[tuple[str, os.DirEntry[str]]]) -> Iterator[tuple[str, Found]]:
    for name, entry in walked:
        with suppress(*ABSENT):
            result = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(result.st_mode):
                yield name, Found(result.st_size, result.st_mtime_ns)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder one by one: an entry keeps what was asked about it."""
    with suppress(*ABSENT), os.scandir(folder) as entries:
        yield from entries
