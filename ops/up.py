"""``./cutout up``: the whole system on one machine, in the foreground."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from ops.children import ChildFailedError, listen, service
from ops.data_folder import DataFolder, FolderInUseError
from ops.local_system import LocalSystem
from ops.places import QueuePlace, read_queue_option, read_store_option
from shared import logs
from shared.adapters import build_store
from shared.errors import QueueUnavailableError, ServiceError
from shared.pausing import read_pause
from shared.places import STORAGE_EMULATOR
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
    STORAGE_EMULATOR,
)

#: For the API: what an upload has freed goes back to the system (measured: 9 MB less after 500 of 20 MB).
#: Not for the worker, whose large arrays would be mapped anew each time.
GIVE_MEMORY_BACK = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}

#: gRPC's handlers of a fork write to the child's standard error, and help nobody who execs at once.
_NO_FORKS = {"GRPC_ENABLE_FORK_SUPPORT": "0"}

_FALLBACK = """
  ****************************************************************************
  *  ENGINE grabcut: no checkpoint was found.                                *
  *  GrabCut is for trying the system out. Its cut-outs are rough; it is     *
  *  not what a shop should sell.                                            *
  ****************************************************************************
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command was asked for."""

    port: int
    data: Path
    engine: str
    slots: int
    queue: QueuePlace
    store: str | None  #: a bucket's URL; else the data folder


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
@click.option(
    "--queue",
    default="embedded",
    show_default=True,
    metavar="embedded|emulator|HOST:PORT",
    callback=read_queue_option,
    help="What pushes messages: the embedded broker, a Pub/Sub emulator of our own, or somebody's.",
)
@click.option(
    "--store",
    metavar="gs://BUCKET",
    callback=read_store_option,
    help=f"Keep objects in the Cloud Storage emulator of {STORAGE_EMULATOR}, not in the data folder.",
)
def up(**given: Any) -> None:
    """Run the whole system on this machine until Ctrl-C.

    The first line on standard output, once everything is ready, is: ready http://127.0.0.1:PORT
    """
    os.environ.update(_NO_FORKS)  # noqa: TID251 - gRPC reads it when it is loaded
    wanted = Wanted(**given)
    if wanted.store and not os.environ.get(STORAGE_EMULATOR):  # noqa: TID251 - as above
        raise click.UsageError(f"--store needs {STORAGE_EMULATOR}: up keeps everything on this machine.")
    folder = DataFolder(wanted.data.absolute())
    try:
        lock = folder.lock()
        folder.prepare()
        environ = child_environ(folder, wanted)
        settings = Settings.from_environ(environ)
    except (FolderInUseError, SettingsError) as error:
        refuse(str(error))
    except (OSError, ServiceError) as error:
        refuse(
            f"{folder.root} cannot be used: {error}. Make room or mend its rights, or choose another --data."
        )
    store = build_store(settings)
    system = _system(folder, environ, wanted, lambda: read_pause(store) is not None)
    _stop_on_signals(system)
    logs.configure("up", "local", folder.log("up").open("a"))
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        system.run(lambda: _tell_ready(system, wanted.engine))
    except QueueUnavailableError as error:
        refuse(f"{folder.queue} cannot be used: {error}")
    except ChildFailedError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    finally:
        os.close(lock)


def refuse(reason: str) -> NoReturn:
    """Say why nothing was started, and leave."""
    click.echo(reason, err=True)
    sys.exit(2)


def child_environ(folder: DataFolder, wanted: Wanted) -> dict[str, str]:
    """Return the environment of both services: the operator's settings, and ours for this folder."""
    ours = os.environ  # noqa: TID251 - up is where a system's settings come from
    environ = {name: ours[name] for name in _PASSED_ON if name in ours}
    environ |= {f"{PREFIX}SECRET_KEY": folder.secret()}
    environ |= {name: value for name, value in ours.items() if name.startswith(PREFIX)}
    return (
        environ
        | wanted.queue.environ(folder)
        | {
            f"{PREFIX}STORE": wanted.store or folder.objects.as_uri(),
            f"{PREFIX}ENGINE": wanted.engine,
            f"{PREFIX}SLOTS": str(wanted.slots),
            # One arena a thread would let memory that uploads have freed lie about.
            "MALLOC_ARENA_MAX": "2",
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
            "TMPDIR": str(folder.uploads),
        }
    )


def _system(
    folder: DataFolder, environ: dict[str, str], wanted: Wanted, is_paused: Callable[[], bool]
) -> LocalSystem:
    try:
        front = listen(wanted.port)
    except OSError as error:
        refuse(f"Port {wanted.port} cannot be taken: {error.strerror}. Choose another with --port.")
    api = service("api", front, {**environ, **GIVE_MEMORY_BACK}, folder.log("api"))
    worker = service("worker", listen(0), environ, folder.log("worker"))
    urls = {child.name: child.url for child in (api, worker)}
    broker = wanted.queue.broker(folder, urls, wanted.slots, environ, _say)
    return LocalSystem(folder, api, worker, broker, _say, is_paused)


def _say(line: str) -> None:
    click.echo(line, err=True)


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
