"""An image of ours, run as a container is: its command as process 1, its user, a root that is read-only.

Beside ``/tmp`` only ``/data`` can be written, where store and queue lie, which elsewhere are services.
"""

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from bench.dry_build import Image
from bench.sandbox import Sandbox
from tests import loopback

READY_WITHIN_S = 60
#: SIGTERM to SIGKILL is 10 s on Cloud Run.
STOPPED_WITHIN_S = 10


class Container:
    """A container that is ready inside the ``with`` and gone after it."""

    SETTINGS = {  # noqa: RUF012 - a constant
        "CUTOUT_STORE": "file:///data/objects",
        "CUTOUT_QUEUE": "sqlite:///data/queue.db",
        "CUTOUT_SECRET_KEY": "s" * 32,
    }

    def __init__(self, image: Image, data: Path, **settings: str) -> None:
        self._log = data / f"{image.root.parent.name}.log"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.sandbox = Sandbox(
            root=image.root,
            environ={**image.environ, **self.SETTINGS, **settings, "PORT": str(port)},
            folder=image.folder,
            mounts={"/data": data},
            user=image.user,
        )
        self._command = image.command

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            command = self.sandbox.command(self._command)
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + READY_WITHIN_S
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self._kill()
                raise AssertionError(f"not ready; it says:\n{self.log}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def main(self) -> psutil.Process:
        """Process 1 of the container."""
        (found,) = psutil.Process(self.process.pid).children()
        return found

    def get(self, path: str) -> httpx.Response:
        return loopback.get(f"{self.url}{path}", timeout=30)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command just as the image's own is run."""
        return run(self.sandbox, *words)

    def stop(self) -> int:
        """Ask process 1 to stop as Cloud Run does, and return its exit status."""
        self.main.send_signal(signal.SIGTERM)
        return self.process.wait(STOPPED_WITHIN_S)

    def _is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self.get("/ready").status_code == 200
        return False

    def _kill(self) -> None:
        """End process 1, and with it everything in its namespace."""
        if self.process.poll() is None:
            inside = psutil.Process(self.process.pid).children(recursive=True)
            for process in inside:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.kill()
            self.process.wait()
            assert psutil.wait_procs(inside, STOPPED_WITHIN_S)[1] == []


def run(sandbox: Sandbox, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a sandbox to its end."""
    return subprocess.run(sandbox.command(words), capture_output=True, text=True, timeout=60, check=False)
