"""The services as gunicorn runs them in chaos: wired as in life, over ports that meet what is ordered.

Life is quicker here: a claim is dead after half a second, so that a thousand deaths fit into minutes.
"""

import json
import os
import resource
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask

import api.app
import worker.app
from api.services import Services as ApiServices
from shared import logs
from shared.folder_store import FolderStore
from shared.ledger import Ledger
from shared.logs import bound_fields
from shared.pace import ONE_MACHINE, Pace
from shared.settings import Settings
from shared.side_by_side import in_thread
from shared.sqlite_queue import SqliteQueue
from shared.steady_clock import steady_clock
from tests.chaos.ports import Orders
from worker.app import Lifecycle
from worker.matting.disc import DiscModel
from worker.model_gate import ModelGate
from worker.running import ThreadRunner, die_now
from worker.services import Services
from worker.slots import Slots

BRISK = Pace(
    beat=timedelta(seconds=0.1),
    dead_after=timedelta(seconds=0.6),
    sweep_every=timedelta(seconds=0.3),
    first_look=timedelta(seconds=1.0),
    republish_after=timedelta(seconds=0.5),
    rest=timedelta(0),
    looks_always=True,
)


def given() -> dict[str, Any]:
    """What the scenario wants of this process."""
    return json.loads(os.environ["CHAOS"])  # noqa: TID251 - told by whoever started it


@dataclass(frozen=True)
class HostClock:
    """A host's clock that is off, and may be set while services run: a file says by how many seconds."""

    skew_s: float = 0.0
    jumps: Path | None = None

    def ns(self) -> int:
        jumped_s = float(self.jumps.read_text()) if self.jumps else 0.0
        return time.time_ns() + int((self.skew_s + jumped_s) * 1e9)

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.ns() / 1e9, UTC)

    def set(self, by_s: float) -> None:
        """Set it, whole at once."""
        draft = self.jumps.with_suffix(".draft")
        draft.write_text(str(by_s))
        draft.replace(self.jumps)


class CountedModel:
    """Finds a disc, takes its time, and writes down for whom."""

    name, version, checkpoint_sha256 = "disc", "1", None

    def __init__(self, orders: Orders, file: Path, takes_s: float) -> None:
        self._orders, self._file, self._takes_s, self._disc = orders, file, takes_s, DiscModel()

    def alpha(self, rgb: Any) -> Any:
        with self._file.open("a") as file:
            file.write(f"{bound_fields().get('job_id')}\n")
        self._orders.meet("during model")
        time.sleep(self._takes_s)
        return self._disc.alpha(rgb)


def keep_few_files() -> None:
    """Let this process hold no more files open than the scenario says."""
    if most := given().get("files"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def host_clock() -> HostClock:
    """The clock of the host that this process believes to be on."""
    jumps = given().get("jumps")
    return HostClock(given().get("skew_s", 0), Path(jumps) if jumps else None)


def ledger(settings: Settings, orders: Orders) -> Ledger:
    clock, steady = host_clock(), None
    if clock.jumps:  # as a store does by itself
        steady = steady_clock(settings.store, settings.store / ".tmp", clock.ns)
    store, queue = FolderStore(settings.store, clock_ns=steady), SqliteQueue(settings.queue, clock)
    is_bare = "files" in given()  # to look for orders takes a file too
    return Ledger(
        store=store if is_bare else orders.watch(store, "store"),
        queue=queue if is_bare else orders.watch(queue, "queue"),
        clock=clock,
        pace=BRISK if given().get("is_brisk", True) else ONE_MACHINE,
    )


def api_app() -> Flask:
    """Build the API."""
    keep_few_files()
    settings = Settings.from_environ(os.environ)  # noqa: TID251 - as the service does
    logs.configure("api", "chaos")
    orders = Orders(Path(given()["orders"]) / "api")
    return api.app.create_app(ApiServices(settings=settings, ledger=ledger(settings, orders)))


def worker_app() -> Flask:
    """Build the worker."""
    keep_few_files()
    settings = Settings.from_environ(os.environ)  # noqa: TID251 - as the service does
    logs.configure("worker", "chaos")
    orders, stopping = Orders(Path(given()["orders"]) / "worker"), threading.Event()
    gate = ModelGate(stopping.is_set)
    gate.open(CountedModel(orders, Path(given()["inferences"]), given().get("engine_s", 0.0)))
    services = Services(
        ledger=ledger(settings, orders),
        gate=gate,
        slots=Slots(settings.slots, stopping.is_set),
        instance=secrets.token_hex(8),
        revision="chaos",
        run=ThreadRunner(is_stopping=stopping.is_set, grace_s=30, die=die_now),
        beside=in_thread,
        is_stopping=stopping.is_set,
    )
    return worker.app.create_app(Lifecycle(services=services, stopping=stopping))
