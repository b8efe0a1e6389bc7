"""A folder as a container's root, with this machine's system in place of the base image.

Bubblewrap makes the namespaces, so no Docker engine is needed; but root is, because nobody else can become
the user that a Dockerfile names.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: What a base image brings; everything else at the root is the image's own.
_SYSTEM = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "usr")
#: ``/usr/local`` is where an official Python image has its Python.
_PYTHON = Path(sys.base_prefix)

_NEEDS = "Building an image without Docker needs Linux, root and bubblewrap (apt-get install bubblewrap)."


class SandboxUnavailableError(Exception):
    """A container's root cannot be made on this machine or by this user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """How commands run with a folder as their root."""

    root: Path
    environ: Mapping[str, str] = field(default_factory=dict)  #: all of it; nothing is taken over
    folder: str = "/"
    writable: bool = False
    mounts: Mapping[str, Path] = field(default_factory=dict)  #: by place, folders that stay writable
    user: str = ""  #: uid:gid; root where empty

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs ``words`` as process 1 of the sandbox, its only child.

        Bubblewrap's end is the end of root's commands; another user's process 1 must be ended itself.
        """
        self._make_mount_points()
        mounts = ["--bind" if self.writable else "--ro-bind", str(self.root), "/"]
        for source, target in self._system():
            mounts += ["--ro-bind", str(source), str(target)]
        mounts += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp"]
        for place, source in self.mounts.items():
            mounts += ["--bind", str(source), place]
        environ = [word for name, value in self.environ.items() for word in ("--setenv", name, value)]
        return [
            *("bwrap", "--die-with-parent", "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--clearenv"),
            *mounts,
            *environ,
            *("--chdir", self.folder),
            *self._as_user(),
            *words,
        ]

    def _system(self) -> list[tuple[Path, Path]]:
        """Return what is mounted read-only from where to where."""
        found = [(Path("/", name), Path("/", name)) for name in _SYSTEM if Path("/", name).exists()]
        # Once where it was built for, since its libraries look for each other there, and once in its place.
        own = [] if _PYTHON.is_relative_to("/usr") else [(_PYTHON, _PYTHON)]
        return [*found, *own, (_PYTHON, Path("/usr/local"))]

    def _make_mount_points(self) -> None:
        """Make them beforehand: bubblewrap's own parents would be closed to other users."""
        places = [str(target) for _, target in self._system() if not target.is_relative_to("/usr/local")]
        for place in [*places, *self.mounts, "/dev", "/proc", "/tmp"]:
            (self.root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _as_user(self) -> list[str]:
        if not self.user:
            return []
        uid, _, gid = self.user.partition(":")
        drop = ("--clear-groups", "--no-new-privs", "--bounding-set=-all")
        return ["setpriv", f"--reuid={uid}", f"--regid={gid}", *drop]


def require_sandbox() -> None:
    """Refuse early where nothing can be run.

    Raises
    ------
    SandboxUnavailableError
        With what is missing.
    """
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("bwrap"):
        raise SandboxUnavailableError(_NEEDS)
