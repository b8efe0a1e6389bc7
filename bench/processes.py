"""The services as processes, started as `./cutout up` starts them, and the bare application beside them.

What is measured is what runs: the same gunicorn, the same settings, a real disk.  Nothing outlives it.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.load import Call, WrongAnswerError, ask
from bench.machine import ROOT
from ops.up import GIVE_MEMORY_BACK

_STARTS_WITHIN_S = 60.0
_STOPS_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A gunicorn that answers."""

    port: int
    master: psutil.Process
    folder: Path  #: where uploads end up, a file each

    @property
    def child(self) -> psutil.Process:
        """The process that answers requests."""
        return self.master.children()[0]

    def forget_uploads(self, older_than_s: float = 0.0) -> None:
        """Delete uploads, so that the disk does not fill; nobody reads them in a measurement."""
        limit = time.time() - older_than_s
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_ctime <= limit:
                    path.unlink()


@contextmanager
def api(data: Path, settings: Mapping[str, str] = {}) -> Iterator[Server]:
    """Run the API on a data folder, or wherever the settings say; nobody works on its jobs."""
    (data / "objects" / "inputs").mkdir(parents=True, exist_ok=True)
    app = "api.app:from_environ()"
    with _gunicorn("api.gunicorn_conf", app, data, "/ready", {**GIVE_MEMORY_BACK, **settings}) as (
        port,
        master,
    ):
        yield Server(port=port, master=master, folder=data / "objects" / "inputs")


@contextmanager
def worker(data: Path, settings: Mapping[str, str] = {}) -> Iterator[Server]:
    """Run the worker on a data folder; it is pushed to by whoever measures."""
    app = "worker.app:from_environ()"
    with _gunicorn("worker.gunicorn_conf", app, data, "/ready", settings) as (port, master):
        yield Server(port=port, master=master, folder=data / "objects" / "inputs")


@contextmanager
def five_ms(data: Path, app: str, slots: int) -> Iterator[Server]:
    """Run one of the workers of ``bench.five_ms`` under the worker's gunicorn settings."""
    config = "bench.bare_gunicorn" if app.startswith("theirs") else "worker.gunicorn_conf"
    settings = {"CUTOUT_SLOTS": str(slots)}
    with _gunicorn(config, f"bench.five_ms:{app}", data, "/ready", settings) as (port, master):
        yield Server(port=port, master=master, folder=data / "objects" / "inputs")


@contextmanager
def bare(data: Path, settings: Mapping[str, str] = {}) -> Iterator[Server]:
    """Run the bare application under the API's gunicorn settings; with a bucket in them it uploads there."""
    folder = data / "bare"
    folder.mkdir(parents=True, exist_ok=True)
    app = "bench.bare_bucket:create_app()" if settings else f"bench.bare:create_app({str(folder)!r})"
    with _gunicorn("bench.bare_gunicorn", app, data, "/health", {**GIVE_MEMORY_BACK, **settings}) as (
        port,
        master,
    ):
        yield Server(port=port, master=master, folder=folder)


@contextmanager
def both(data: Path) -> Iterator[tuple[Server, Server]]:
    """Run ours and the bare application at once; they are measured in turns."""
    with api(data) as ours, bare(data) as theirs:
        yield ours, theirs


def environment(data: Path) -> dict[str, str]:
    """Return the environment of a service on a data folder: nothing is taken over from ours."""
    (data / "tmp").mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(data / "tmp"),
        "MALLOC_ARENA_MAX": "2",
        "CUTOUT_STORE": f"file://{data}/objects",
        "CUTOUT_QUEUE": f"sqlite://{data}/queue.db",
        "CUTOUT_SECRET_KEY": "b" * 32,
        "CUTOUT_ENGINE": "grabcut",
    }


@contextmanager
def process(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[psutil.Process]:
    """Run a command with its output in a file; it and its children are gone afterwards."""
    with log.open("ab") as output, ExitStack() as stack:
        started = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        stack.callback(_stop, started)
        yield psutil.Process(started.pid)


def await_answer(port: int, path: str, started: psutil.Process, log: Path) -> None:
    """Wait until a service answers 200 on a path; say what it logged if it does not."""
    until = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until and started.status() != psutil.STATUS_ZOMBIE:
        with suppress(OSError, WrongAnswerError):
            ask(port, Call(method="GET", path=path, expects=200))
            return
        time.sleep(0.05)
    raise TimeoutError(f"no answer on {path}; its log ends:\n{log.read_text()[-2000:]}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def _gunicorn(
    config: str,
    app: str,
    data: Path,
    ready: str,
    settings: Mapping[str, str] = {},
) -> Iterator[tuple[int, psutil.Process]]:
    port, log = free_port(), data / f"{config.partition('.')[0]}.log"
    bind = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "gunicorn", "--config", f"python:{config}", "--bind", bind, app]
    with process(command, environment(data) | dict(settings), log) as master:
        await_answer(port, ready, master, log)
        yield port, master


def _stop(started: "subprocess.Popen[bytes]") -> None:
    children = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
    started.terminate()
    try:
        started.wait(_STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
