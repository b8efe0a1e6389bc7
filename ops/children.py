"""Child processes: services on sockets that outlive them, and an emulator; started again when they die.

``up`` holds the listening sockets, so a restarted child never finds its port taken, and connections wait
in the backlog meanwhile instead of being refused.  Nothing survives ``up``, not even its ``kill -9``.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_PR_SET_PDEATHSIG = 1
_LOG_BYTES = 10_000_000
_TAIL_BYTES = 4000

#: A child that dies is started again after 0.2 s, then after twice that, up to 5 s.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
#: A child that has died so often without ever having been ready will not get better by trying.
_HOPELESS_DEATHS = 5


class ChildFailedError(Exception):
    """A child does not start; the text holds the end of its log."""


@dataclass
class Child:
    """A process that answers at a URL."""

    name: str
    url: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    listener: socket.socket | None = None  #: handed over to it, and kept
    was_ready: bool = False
    _process: subprocess.Popen[bytes] | None = None
    _deaths: int = 0
    _due: float = field(default=0.0)

    @property
    def pid(self) -> int | None:
        """Process id; a service's is that of gunicorn's master."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it in a process group of its own."""
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[self.listener.fileno()] if self.listener else [],
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, which takes no lock
            )

    def revive(self) -> bool:
        """Start it if it does not run; return whether it was started now.

        Raises
        ------
        ChildFailedError
            If it never comes up.
        """
        now = time.monotonic()
        if self._process and self._process.poll() is not None:
            self._bury(now)
        if self._process is None and now >= self._due:
            self.start()
            return True
        return False

    def _bury(self, now: float) -> None:
        self.signal(signal.SIGKILL)  # what is left of its group must not serve on
        self._process = None
        self._deaths += 1
        if not self.was_ready and self._deaths >= _HOPELESS_DEATHS:
            raise ChildFailedError(f"The {self.name} does not start. The end of {self.log}:\n{self._tail()}")
        doublings = self._deaths - 1 if not self.was_ready else 0
        self._due = now + min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**doublings)

    def _tail(self) -> str:
        return self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")

    def signal(self, number: int) -> None:
        """Send a signal to every process of its group."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def ask_to_stop(self) -> None:
        """Ask it to stop; gunicorn's master asks its child."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def wait(self, until: float) -> None:
        """Wait for it to end, and end it when the time is over."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, until - time.monotonic()))
        self.signal(signal.SIGKILL)
        self._process.wait()


def service(name: str, listener: socket.socket, environ: Mapping[str, str], log: Path) -> Child:
    """Return a service under gunicorn, on a socket that listens already."""
    host, port = listener.getsockname()[:2]
    config, app = f"python:{name}.gunicorn_conf", f"{name}.app:from_environ()"
    bind = f"fd://{listener.fileno()}"
    command = [sys.executable, "-m", "gunicorn", "--config", config, "--bind", bind, app]
    return Child(name, f"http://{host}:{port}", command, environ, log, listener)


def listen(port: int) -> socket.socket:
    """Return a socket that listens on loopback; port 0 is any free one; ``OSError`` if it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def die_with_parent() -> None:
    """Make the system end this process when its parent ends; to be called between fork and exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
