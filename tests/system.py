"""A real system on this machine for a test: ``./cutout up`` as a process, and everything it starts."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

ROOT = Path(__file__).resolve().parent.parent

READY_WITHIN_S = 60
STOPPED_WITHIN_S = 10


def in_ci() -> bool:
    """Whether nothing may be skipped."""
    return os.environ.get("CI") == "true"  # noqa: TID251 - what CI says of itself


def processes_of(data: Path) -> list[psutil.Process]:
    """Every process that was started for a data folder, found by its environment or its arguments."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            words = [*process.cmdline(), *process.environ().values()]
            if process.pid != os.getpid() and any(
                str(data) in word for word in words if "PYTEST" not in word
            ):
                found.append(process)
    return found


class System:
    """``./cutout up`` on a data folder; ready inside the ``with``, gone after it."""

    def __init__(self, data: Path, *options: str, environ: dict[str, str] | None = None) -> None:
        self.data = data / "system"
        self._options, self._environ = options, environ or {}
        self.process: subprocess.Popen[str] | None = None
        self.stderr = ""

    def __enter__(self) -> Self:
        command = [str(ROOT / "cutout"), "up", "--port", "0", "--data", str(self.data), *self._options]
        # An inherited PYTEST_CURRENT_TEST would name the folder in processes that are not ours.
        environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}  # noqa: TID251
        # A checkpoint that lies on this machine, or could be fetched, would make another engine of "auto".
        environ |= {"CUTOUT_CHECKPOINT": str(self.data / "models")} | self._environ
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, cwd=ROOT
        )
        threading.Thread(target=self._read_stderr, daemon=True).start()
        timer = threading.Timer(READY_WITHIN_S, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line.startswith("ready http://127.0.0.1:"):
            self.kill_everything()
            raise AssertionError(f"up said {line!r}, then {self.stderr}\n{self.logs()}")
        self.url = line.removeprefix("ready ").strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            sys.stderr.write(self.logs())
        if self.process.poll() is None:
            self.stop()
        self.process.stdout.close()

    def _read_stderr(self) -> None:
        with self.process.stderr as stream:
            for line in stream:
                self.stderr += line

    @property
    def run(self) -> dict[str, Any]:
        return json.loads((self.data / "run.json").read_text())

    @property
    def pids(self) -> dict[str, int]:
        return self.run["pids"]

    @property
    def urls(self) -> dict[str, str]:
        return self.run["urls"]

    def command(self, *args: str) -> str:
        """Run a command as an operator would, and return what it says; it must succeed."""
        words = [str(ROOT / "cutout"), *args, "--url", self.url]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; it must do so in its time, and leave nothing."""
        self.process.send_signal(number)
        status = self.process.wait(STOPPED_WITHIN_S)
        assert processes_of(self.data) == []
        return status

    def kill_everything(self) -> None:
        """``kill -9`` of everything at once."""
        for process in processes_of(self.data):
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.wait(STOPPED_WITHIN_S)

    def logs(self) -> str:
        tails = [f"--- {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.data.glob("logs/*.log"))]
        return "\n".join(tails)
