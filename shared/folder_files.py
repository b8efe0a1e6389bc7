"""Folders of objects: they come and go around the files in them, are made durable, and are walked."""

import fcntl
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import NamedTuple

#: What the kernel says where an object is meant and a folder, or nothing, is found.
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

_PAGE = 4096  # about 2 MB; a day of ten thousand is looked through three times


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
    """Return the files under a root whose names start with a prefix, by name; what vanishes is left out."""
    return dict(_present(root, _names(root, prefix, "", sys.maxsize)))


def walk_on(root: Path, prefix: str, after: str) -> tuple[list[tuple[str, Found]], str | None]:
    """Return the first files that ``walk`` would after a name, and the last name if others follow.

    Of no folder are more names held than are returned: a larger one is looked through again for each page.
    """
    first = list(islice(_names(root, prefix, after, _PAGE + 1), _PAGE + 1))
    more = first[_PAGE - 1] if len(first) > _PAGE else None
    return list(_present(root, first[:_PAGE])), more


def _names(root: Path, prefix: str, after: str, at_once: int) -> Iterator[str]:
    """Yield the names under a root that start with a prefix and come after a name, in order."""
    folder = prefix[: prefix.rfind("/") + 1]
    return _below(os.fspath(root), folder, prefix.removeprefix(folder), after.removeprefix(folder), at_once)


def _below(root: str, folder: str, stem: str, after: str, at_once: int) -> Iterator[str]:
    """Yield the files in a folder and below it after a name, in order; of a folder so many are held at once.

    Order is of whole names: a folder stands among files with its slash, and all that is in it stands there.
    """
    head, slash, rest = after.partition("/")
    start = head + slash if slash else _next(after)
    while True:
        entries = _least(at_once, _entries(f"{root}/{folder}", stem, start))
        for entry in entries:
            if entry.endswith("/"):
                yield from _below(root, folder + entry, "", rest if entry == head + slash else "", at_once)
            else:
                yield folder + entry
        if len(entries) < at_once:
            return
        start = _next(entries[-1])


def _least(count: int, names: Iterator[str]) -> list[str]:
    return sorted(names) if count == sys.maxsize else nsmallest(count, names)


def _next(name: str) -> str:
    """Return what comes right after a name: no name has a zero byte."""
    return f"{name}\0" if name else ""


def _entries(folder: str, stem: str, start: str) -> Iterator[str]:
    """Yield what is in a folder, in no order, from a name on; folders end with a slash."""
    with suppress(*ABSENT), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(stem) and not name.startswith("."):
                if entry.is_dir(follow_symlinks=False):
                    name += "/"
                if name >= start:
                    yield name


def _present(root: Path, names: Iterable[str]) -> Iterator[tuple[str, Found]]:
    base = os.fspath(root)
    for name in names:
        with suppress(*ABSENT):
            result = os.lstat(f"{base}/{name}")
            if stat.S_ISREG(result.st_mode):
                yield name, Found(result.st_size, result.st_mtime_ns)
