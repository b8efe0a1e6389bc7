"""The object store of one machine: a folder that any number of processes share.

An object is a file that was whole and durable before it got its name, and is never written to again.
Its mtime is set by us and is its generation.  Neither a killed process nor a power cut leaves half of one.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from shared.behind_the_api import BehindTheApi
from shared.drafts import Draft, Drafts
from shared.errors import (
    GenerationMismatchError,
    NameTakenError,
    NoSuchObjectError,
    StoreFullError,
    StoreUnavailableError,
)
from shared.folder_files import ABSENT, Found, held, make_folders, prune_folders, sync_folder, walk, walk_on
from shared.object_names import check_name, check_prefix, clash
from shared.ports import Blob, Listing, Page, Stat
from shared.steady_clock import ClockNs, steady_clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TRIES = 100  # each one lost means that a neighbour's delete pruned the folder in between


class FolderStore(BehindTheApi):
    """An ``ObjectStore`` under a folder.

    Parameters
    ----------
    root
        The folder; made if it is missing.  It must lie on a local file system.
    clock_ns
        Time since 1970, the same for all processes; the folder's own clock if none.
    """

    def __init__(self, root: Path, *, clock_ns: ClockNs | None = None) -> None:
        self._root = root.absolute()
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)  # photos are nobody else's business
        self._drafts = Drafts(self._root / ".tmp")
        self._clock_ns = clock_ns or steady_clock(self._root, self._drafts.folder)

    def read(self, name: str) -> Blob:
        """Return an object whole; ``NoSuchObjectError`` if there is none."""
        path, now_ns = self._path(name), self._clock_ns()
        with self._looking_for(name), path.open("rb", buffering=0) as file:
            return Blob(stat=_stat(name, os.fstat(file.fileno()), now_ns), data=file.read())

    def open(self, name: str) -> BinaryIO:
        """Return a seekable stream over one version of an object; ``NoSuchObjectError``."""
        path = self._path(name)
        with self._looking_for(name):
            return path.open("rb")

    def stat(self, name: str) -> Stat:
        """Return what is known about an object; ``NoSuchObjectError`` if there is none."""
        path, now_ns = self._path(name), self._clock_ns()
        with self._looking_for(name):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            return _stat(name, found, now_ns)

    def create(
        self,
        name: str,
        data: bytes | Path,
        *,
        content_type: str = "application/json",  # noqa: ARG002 -- files have none
        labels: Mapping[str, str] | None = None,  # noqa: ARG002 -- whoever asks reads
    ) -> Stat:
        """Write an object that must not exist; ``NameTakenError`` if it does."""
        path = self._path(name)
        if isinstance(data, Path):
            data.stat()  # a missing source is the caller's error, not the store's
        with _translated():
            self._refuse_if_taken(name, path)
            with self._drafts.draft(data, self._clock_ns, self._root / name.partition("/")[0]) as draft:
                changed = self._place(name, draft, path)
            # Innermost first: most journals write the others with it.
            for folder in sorted(changed, reverse=True):
                sync_folder(self._root, folder)
        return _stat(name, draft.stat, self._clock_ns())

    def replace(self, name: str, data: bytes, *, generation: int) -> Stat:
        """Write a new version of an object if its generation is still the given one."""
        path = self._path(name)

        def stamp_ns() -> int:
            return max(self._clock_ns(), generation + 1)  # after a boot the clock may be set back

        try:
            with self._looking_for(name):
                _require(name, path.lstat(), generation)
                with self._drafts.named(data, stamp_ns) as draft:
                    with held(path) as current:  # for two system calls only: the bytes are on the disk
                        _require(name, current, generation)
                        Path(draft.source).replace(path)
                    sync_folder(self._root, path.parent)
        except NoSuchObjectError as error:
            raise _mismatch(name, generation) from error
        return _stat(name, draft.stat, self._clock_ns())

    def list(self, prefix: str) -> Listing:
        """Return every object whose name starts with a prefix, ordered by name."""
        check_prefix(prefix)
        now_ns = self._clock_ns()
        with _translated():
            found = walk(self._root, prefix)
            if not found:
                self._drafts.folder.stat()  # an unmounted disk must not look like an empty store
        now_ns = max([now_ns, *(result.st_mtime_ns for result in found.values())])
        objects = tuple(_stat(name, result, now_ns) for name, result in found.items())
        return Listing(objects=objects, now=_time(now_ns))

    def page(self, prefix: str, token: str | None = None) -> Page:
        """Return some of what ``list`` does: the first, or those that follow the page with that token."""
        check_prefix(prefix)
        now_ns = self._clock_ns()
        with _translated():
            found, more = walk_on(self._root, prefix, token or "")
            if not found:
                self._drafts.folder.stat()  # an unmounted disk must not look like an empty store
        return Page(objects=tuple(_stat(name, result, now_ns) for name, result in found), more=more)

    def delete(self, name: str, *, generation: int | None = None) -> None:
        """Delete an object; ``GenerationMismatchError`` if it exists with another generation."""
        path = self._path(name)
        try:
            with self._looking_for(name):
                with held(path) as current:
                    if generation is not None:
                        _require(name, current, generation)
                    path.unlink()
                sync_folder(self._root, path.parent)
                prune_folders(self._root, path.parent)
        except NoSuchObjectError:
            return

    def ping(self) -> None:
        """Return if the folder is there and may be written to."""
        with _translated():
            os.utime(self._drafts.folder)  # the smallest write there is; a read-only disk refuses it too

    def sweep_temporary(self, older_than: timedelta) -> int:
        """Remove what writers that were killed so long ago have left; return how many files that were."""
        with _translated():
            return self._drafts.sweep(older_than)

    def _path(self, name: str) -> Path:
        check_name(name)
        return self._root / name

    @contextmanager
    def _looking_for(self, name: str) -> Iterator[None]:
        """Translate errors where an object is meant: there may be none."""
        with _translated():
            try:
                yield
            except ABSENT as error:
                self._drafts.folder.stat()  # an unmounted disk must not look like a missing object
                raise NoSuchObjectError(f"There is no object {name!r}.") from error

    def _place(self, name: str, draft: Draft, path: Path) -> set[Path]:
        """Give a draft its name; return the folders that have a new entry."""
        changed = {path.parent}
        for _ in range(_TRIES):
            try:
                draft.link_to(path)
            except FileExistsError:
                self._refuse_if_taken(name, path)
            except FileNotFoundError:
                with suppress(FileNotFoundError):
                    make_folders(self._root, path.parent, changed)
            else:
                return changed
        raise StoreUnavailableError("The object's folder vanished again and again while it was being made.")

    def _refuse_if_taken(self, name: str, path: Path) -> None:
        try:
            found = path.lstat()
        except FileNotFoundError:
            return
        except NotADirectoryError as error:
            raise clash(name) from error
        if not stat.S_ISDIR(found.st_mode):
            # Others will build on this answer: the winner may not have come to its own sync yet.
            sync_folder(self._root, path.parent)
            raise NameTakenError(f"{name!r} exists already.")
        try:
            with suppress(FileNotFoundError):
                path.rmdir()  # left by a delete or a killed writer
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise clash(name) from error


def _require(name: str, found: os.stat_result, generation: int) -> None:
    if found.st_mtime_ns != generation:
        raise _mismatch(name, generation)


def _mismatch(name: str, generation: int) -> GenerationMismatchError:
    return GenerationMismatchError(f"{name!r} is not at generation {generation}.")


def _stat(name: str, found: os.stat_result | Found, now_ns: int) -> Stat:
    return Stat(
        name=name,
        size=found.st_size,
        generation=found.st_mtime_ns,
        updated=_time(found.st_mtime_ns),
        now=_time(max(now_ns, found.st_mtime_ns)),
    )


def _time(time_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translate(error) from error


def translate(error: OSError) -> StoreUnavailableError:
    """Return the port's error for one of the kernel's, with a detail that names no path."""
    if error.errno in _FULL:
        return StoreFullError("The data folder has no room left; make room and try again.")
    reason = os.strerror(error.errno) if error.errno else "unknown error"
    return StoreUnavailableError(f"The data folder cannot be used: {reason}.")
