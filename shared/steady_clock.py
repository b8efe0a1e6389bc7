"""The clock that a folder's objects are stamped by: set by the host's once a boot, and even from then on.

Whoever sets the host's clock while services run makes no claim that lives look dead, keeps none that is dead
alive, and ends no upload's hour: of all processes on the machine nobody's ages change.  ``.clock`` in the
folder says by how much it differs from the time since the boot, and of which boot that is true.
"""

import json
import logging
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

ClockNs = Callable[[], int]  #: nanoseconds

_ANCHOR = ".clock"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def since_boot_ns() -> int:
    """Return the time since the machine was started, sleep included; nobody can set it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def steady_clock(root: Path, drafts: Path, host_ns: ClockNs = time.time_ns) -> ClockNs:
    """Return the clock of a folder; where the system knows no boot, it is the host's own.

    Parameters
    ----------
    root, drafts
        The folder, and where on its file system files are in the making.
    host_ns
        The host's time since 1970.
    """
    boot = _boot_id()
    if boot is None:
        return host_ns

    @cache
    def offset_ns() -> int:
        """Agree with other processes once the time is asked for: a folder that nobody uses stays empty."""
        return _agreed(root / _ANCHOR, drafts, {"boot": boot, "offset_ns": host_ns() - since_boot_ns()})

    return lambda: since_boot_ns() + offset_ns()


def _boot_id() -> str | None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


def _agreed(anchor: Path, drafts: Path, ours: dict[str, str | int]) -> int:
    """Return the offset that all processes of this boot go by: the first one's."""
    draft = drafts / secrets.token_hex(16)
    try:
        if (known := _read(anchor, ours["boot"])) is None:
            draft.write_text(json.dumps(ours))
            with suppress(FileExistsError):
                _put(draft, anchor)
            known = _read(anchor, ours["boot"])
    except OSError as error:  # a full disk: the next process will leave it
        log.warning("store.clock_unsaved", extra={"reason": repr(error)})
        known = None
    finally:
        with suppress(OSError):
            draft.unlink()
    return int(ours["offset_ns"]) if known is None else known


def _put(draft: Path, anchor: Path) -> None:
    """Give the anchor its name, in the place of another boot's."""
    if anchor.exists():
        draft.replace(anchor)
    else:
        os.link(draft, anchor)


def _read(anchor: Path, boot: str | int) -> int | None:
    """Return the offset that was agreed on in this boot, if any was."""
    try:
        document = json.loads(anchor.read_text())
        return int(document["offset_ns"]) if document["boot"] == boot else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
