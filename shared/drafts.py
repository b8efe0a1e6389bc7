"""Files in the making: whole, stamped and synced before they get a name, and nobody looks at them until then.

Their mtime is then their generation.  A killed writer leaves a named draft behind at most, and these are
swept by their age.
"""

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from shared.errors import StoreUnavailableError

#: Where a process finds what it has open.
_OF_THIS_PROCESS = "/proc/self/fd"
#: Where a file that was synced before it had a name is whole ever after: until Linux 6.15
#: btrfs lost its bytes in a power cut.
_KEEPS_UNNAMED = frozenset({"ext4", "xfs", "tmpfs"})
#: What a file system says that has no files without a name all the same.
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
_MODE = 0o666  # less the umask, as for any file that is opened


class Draft(NamedTuple):
    """A whole and durable file that nobody looks at."""

    source: str  #: what it can be reached by
    stat: os.stat_result
    descriptor: int | None = None  #: of one that has no name at all

    def link_to(self, path: Path) -> None:
        """Give the file a name; ``FileExistsError`` if that is taken."""
        # Only where it is given a folder does Python have the kernel follow /proc's link to the file.
        os.link(self.source, path, src_dir_fd=self.descriptor)


class Drafts:
    """Files in the making, on the file system of the objects: without a name where that can be had."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._has_unnamed = hasattr(os, "O_TMPFILE") and kind_of(folder) in _KEEPS_UNNAMED

    @contextmanager
    def draft(self, data: bytes | Path, stamp_ns: Callable[[], int], beside: Path) -> Iterator[Draft]:
        """Lend a file of these bytes, to be given a name; what was given none is gone afterwards."""
        if isinstance(data, Path) or (descriptor := self._unnamed(beside)) is None:
            with self.named(data, stamp_ns) as draft:
                yield draft
            return
        try:
            written = _written(descriptor, data, stamp_ns)
            yield Draft(f"{_OF_THIS_PROCESS}/{descriptor}", written, descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def named(self, data: bytes | Path, stamp_ns: Callable[[], int]) -> Iterator[Draft]:
        """Lend a file that can take another one's place; its own name is gone afterwards."""
        path = self.folder / secrets.token_hex(16)
        try:
            yield Draft(str(path), _fill(path, data, stamp_ns))
        finally:
            with suppress(OSError):  # what is left is swept later
                path.unlink()

    def sweep(self, older_than: timedelta) -> int:
        """Remove what killed writers left; return how many files that were."""
        # A linked photo brings an old mtime; only the ctime says when the draft was made.
        limit_ns = time.time_ns() - older_than // timedelta(microseconds=1) * 1000
        removed = 0
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                if path.lstat().st_ctime_ns <= limit_ns:
                    path.unlink()
                    removed += 1
        return removed

    def _unnamed(self, beside: Path) -> int | None:
        """Open a file without a name, which a killed writer cannot leave; ``None`` where there are none."""
        if not self._has_unnamed:
            return None
        try:
            return os.open(beside, os.O_TMPFILE | os.O_WRONLY, _MODE)
        except (FileNotFoundError, NotADirectoryError):
            return None  # the folder is not there yet
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
            self._has_unnamed = False
            return None


def _fill(path: Path, data: bytes | Path, stamp_ns: Callable[[], int]) -> os.stat_result:
    if isinstance(data, Path) and _is_linked(data, path):
        with path.open("rb") as file:
            return _seal(file.fileno(), stamp_ns())
    with path.open("xb") as file:
        if isinstance(data, bytes):
            return _written(file.fileno(), data, stamp_ns)
        with data.open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)
        file.flush()
        return _seal(file.fileno(), stamp_ns())


def _written(descriptor: int, data: bytes, stamp_ns: Callable[[], int]) -> os.stat_result:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    return _seal(descriptor, stamp_ns())


def _is_linked(source: Path, path: Path) -> bool:
    """Link a draft to a finished file, unless that would stamp somebody else's object too."""
    try:
        path.hardlink_to(source)
    except OSError:  # another file system, not our file, too many links: copying always works
        return False
    found = path.lstat()
    # A third link is an object made from the same file, or one in the making: its stamp must stay.
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 2:  # noqa: PLR2004 -- the source and the draft
        return True
    path.unlink()
    return False


def _seal(descriptor: int, stamp_ns: int) -> os.stat_result:
    os.utime(descriptor, ns=(stamp_ns, stamp_ns))
    os.fsync(descriptor)
    found = os.fstat(descriptor)
    if found.st_mtime_ns != stamp_ns:
        raise StoreUnavailableError(
            "The store's file system rounds times, so versions cannot be told apart; "
            "move the data folder to one that keeps nanoseconds (ext4, xfs, btrfs, tmpfs)."
        )
    return found


def kind_of(folder: Path) -> str:
    """Return the kind of file system that a folder lies on, "" if that cannot be found out."""
    device = folder.stat().st_dev
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    kinds = [kind for at, kind in map(_mounted, mounts) if at == (os.major(device), os.minor(device))]
    return kinds[-1] if kinds else ""


def _mounted(line: str) -> tuple[tuple[int, int], str]:
    """Read a line of mountinfo: ID PARENT MAJOR:MINOR ROOT POINT OPTIONS... - KIND SOURCE OPTIONS."""
    before, _, after = line.partition(" - ")
    major, minor = before.split()[2].split(":")
    return (int(major), int(minor)), after.split()[0]
