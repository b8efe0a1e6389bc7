"""``./cutout up``: the whole system on one machine, in the foreground."""

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from ops.children import Child, ChildFailedError, listen
from ops.data_folder import DataFolder, FolderInUseError
from ops.local_system import LocalSystem
from shared import logs
from shared.errors import ServiceError
from shared.settings import PREFIX, Settings, SettingsError

#: What the children are given of this process's environment beside the settings.
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
)

#: For the API: what an upload has freed goes back to the system (measured: 9 MB less after 500 of 20 MB).
#: Not for the worker, whose large arrays would be mapped anew each time.
_GIVE_MEMORY_BACK = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}

_FALLBACK = """
  ****************************************************************************
  *  ENGINE grabcut: no checkpoint was found.                                *
  *  GrabCut is for trying the system out. Its cut-outs are rough; it is     *
  *  not what a shop should sell.                                            *
  ****************************************************************************
"""


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="0 is any free one."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".cutout"),
    show_default=True,
    help="Folder that holds everything: photos, results, the queue, logs.",
)
@click.option("--engine", default="auto", show_default=True, help="auto, or an engine of GET /v1/models.")
@click.option("--slots", type=click.IntRange(1, 64), default=1, show_default=True, help="Jobs at once.")
def up(port: int, data: Path, engine: str, slots: int) -> None:
    """Run the whole system on this machine until Ctrl-C.

    The first line on standard output, once everything is ready, is: ready http://127.0.0.1:PORT
    """
    folder = DataFolder(data.absolute())
    try:
        lock = folder.lock()
        folder.prepare()
        environ = child_environ(folder, engine, slots)
        Settings.from_environ(environ)
    except (FolderInUseError, SettingsError) as error:
        refuse(str(error))
    except (OSError, ServiceError) as error:
        refuse(
            f"{folder.root} cannot be used: {error}. Make room or mend its rights, or choose another --data."
        )
    system = _system(folder, environ, port, slots)
    _stop_on_signals(system)
    logs.configure("up", "local", folder.log("up").open("a"))
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        system.run(lambda: _tell_ready(system, engine))
    except ChildFailedError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    finally:
        os.close(lock)


def refuse(reason: str) -> NoReturn:
    """Say why nothing was started, and leave."""
    click.echo(reason, err=True)
    sys.exit(2)


def child_environ(folder: DataFolder, engine: str, slots: int) -> dict[str, str]:
    """Return the environment of both services: the operator's settings, and ours for this folder."""
    ours = os.environ  # noqa: TID251 - up is where a system's settings come from
    environ = {name: ours[name] for name in _PASSED_ON if name in ours}
    environ |= {f"{PREFIX}SECRET_KEY": folder.secret()}
    environ |= {name: value for name, value in ours.items() if name.startswith(PREFIX)}
    return environ | {
        f"{PREFIX}STORE": folder.objects.as_uri(),
        f"{PREFIX}QUEUE": f"sqlite://{folder.queue.as_uri().removeprefix('file://')}",
        f"{PREFIX}ENGINE": engine,
        f"{PREFIX}SLOTS": str(slots),
        # One arena a thread would let memory that uploads have freed lie about.
        "MALLOC_ARENA_MAX": "2",
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
        "TMPDIR": str(folder.uploads),
    }


def _system(folder: DataFolder, environ: dict[str, str], port: int, slots: int) -> LocalSystem:
    try:
        front = listen(port)
    except OSError as error:
        refuse(f"Port {port} cannot be taken: {error.strerror}. Choose another with --port.")
    api = Child("api", front, {**environ, **_GIVE_MEMORY_BACK}, folder.log("api"))
    worker = Child("worker", listen(0), environ, folder.log("worker"))
    return LocalSystem(folder, api, worker, slots, say=lambda line: click.echo(line, err=True))


def _stop_on_signals(system: LocalSystem) -> None:
    """Stop in order on the first signal, at once on the second."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if system.stopping.is_set():
            system.kill()
        system.stopping.set()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)


def _tell_ready(system: LocalSystem, engine: str) -> None:
    click.echo(f"ready {system.api.url}")
    sys.stdout.flush()
    if system.engine == "grabcut" and engine == "auto":
        click.secho(_FALLBACK, fg="yellow", bold=True, err=True)
    click.echo(f"docs {system.api.url}/docs   data {system.folder.root}   Ctrl-C stops", err=True)
