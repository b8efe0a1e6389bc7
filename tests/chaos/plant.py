"""A system of real processes for one scenario, in one file: services, broker, sweep, and its promises."""

import contextlib
import itertools
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from bench.processes import environment
from ops.children import Child, listen
from ops.up import GIVE_MEMORY_BACK
from shared import records
from shared.checksums import crc32c
from shared.errors import TransientError
from shared.folder_store import FolderStore
from shared.ledger import Ledger
from shared.pace import Pace
from shared.pausing import held_routes
from shared.push import Pusher
from shared.recipes import Recipe
from shared.records import Accepted, PhotoPin
from shared.sqlite_queue import SqliteQueue
from shared.topology import topology
from tests import loopback
from tests.chaos.apps import BRISK
from tests.chaos.ports import Order
from tests.promises import BrokenPromiseError, Promises, require
from tests.world import photo_bytes

BACKOFF_S = (0.1, 1.0)
SETTLES_WITHIN_S = 60.0


class NeverCameError(TimeoutError):
    """Nobody has come to the moment that something was ordered for."""


class Plant:
    """The system; running inside the ``with``, gone after it."""

    def __init__(  # noqa: PLR0913 - what scenarios differ in
        self,
        folder: Path,
        *,
        workers: int = 1,
        slots: int = 2,
        skews_s: Sequence[float] = (),
        in_flight: int | None = None,
        backoff_s: tuple[float, float] = BACKOFF_S,
        pace: Pace = BRISK,
        **chaos: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._numbers, self._pace = folder, itertools.count(), pace
        for service in ("api", "worker"):
            (folder / "orders" / service).mkdir(parents=True)
        self.queue = SqliteQueue(folder / "queue.db")
        self.store = FolderStore(folder / "objects")
        self.ledger = Ledger(store=self.store, queue=self.queue, clock=lambda: datetime.now(UTC), pace=pace)
        self.promises, self.photo = Promises(self.ledger), photo_bytes(32)
        (folder / "photo.jpg").write_bytes(self.photo)
        files = {name: str(folder / name) for name in ("orders", "inferences")}
        chaos |= {**files, "is_brisk": pace is BRISK}
        fronts = [listen(0), listen(0)]
        skew = iter([*skews_s, *[0.0] * (workers + 1)])
        self.api = self._child("api", fronts[0], slots, {**chaos, "skew_s": next(skew)}, "api")
        self.workers = [
            self._child("worker", fronts[1], slots, {**chaos, "skew_s": next(skew)}, f"worker-{n}")
            for n in range(workers)
        ]
        self.guests: list[Child] = []  #: services on the same sockets that are not of this checkout
        self._fronts, self._over = fronts, threading.Event()
        self.sweep_turn = threading.Lock()  #: whoever has it sweeps; nobody else does meanwhile
        urls = {"api": self.api.url, "worker": self.workers[0].url}
        routes = [
            r.on_this_machine(
                urls[r.service], max_in_flight=in_flight or slots * workers + 1, backoff_s=backoff_s
            )
            for r in topology().routes
        ]
        self.pusher = Pusher(self.queue, routes)

    def _child(
        self, service: str, listener: socket.socket, slots: int, chaos: dict[str, Any], name: str
    ) -> Child:
        environ = environment(self.folder) | {"CHAOS": json.dumps(chaos), "CUTOUT_SLOTS": str(slots)}
        environ |= GIVE_MEMORY_BACK if service == "api" else {}
        config, app = f"python:tests.chaos.{service}_conf", f"tests.chaos.apps:{service}_app()"
        bind = f"fd://{listener.fileno()}"
        command = [sys.executable, "-m", "gunicorn", "--config", config, "--bind", bind, app]
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        return Child(name, url, command, environ, self.folder / f"{name}.log", listener)

    # --- running --------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        for child in (self.api, *self.workers, *self.guests):
            child.start()
        for child in (self.api, *self.workers):
            self.await_ready(child)
        self.pusher.start()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._sweep, self._keep)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        self._over.set()
        self.pusher.stop()
        for child in (self.api, *self.workers, *self.guests):
            child.signal(9)
            child.wait(time.monotonic() + 5)
        for thread in self._threads:
            thread.join(10)
        for front in self._fronts:
            front.close()
        if not failed:
            self.promises.check()  # of everything that lies there, whoever may have asked for it

    def await_ready(self, child: Child, within_s: float = 60) -> None:
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                if loopback.get(f"{child.url}/health", timeout=5).is_success:
                    child.was_ready = True
                    return
            time.sleep(0.02)
        raise TimeoutError(f"{child.name} does not answer: {child.log.read_text()[-2000:]}")

    def _sweep(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self._over.wait(self._pace.sweep_every.total_seconds()):
                with self.sweep_turn, contextlib.suppress(httpx.HTTPError):
                    client.post(f"{self.api.url}/internal/sweep")

    def _keep(self) -> None:
        while not self._over.wait(0.1):
            for child in (self.api, *self.workers, *self.guests):
                child.revive()

    def child(self, service: str) -> Child:
        """The process of a service, or the first of them."""
        return self.api if service == "api" else self.workers[0]

    def address(self, child: Child) -> tuple[str, int]:
        host, _, port = child.url.removeprefix("http://").partition(":")
        return host, int(port)

    def inner(self, child: Child) -> psutil.Process:
        """The process that does the work, not gunicorn's master."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(psutil.Error, IndexError):
                return psutil.Process(child.pid).children()[0]
            time.sleep(0.01)
        raise TimeoutError(f"{child.name} has no process")

    def order(self, service: str, **order: Any) -> str:
        """Leave an order for a service; return what its file is called."""
        name = f"order-{next(self._numbers)}"
        Order(**order).leave(self.folder / "orders" / service, name)
        return name

    def take_back(self, service: str, name: str) -> None:
        """Want an order done no more."""
        (self.folder / "orders" / service / name).unlink(missing_ok=True)

    def is_done(self, service: str, name: str) -> bool:
        return not (self.folder / "orders" / service / name).exists()

    def require_done(self, service: str, name: str, what: str) -> None:
        """Take an order back that nobody has come to, and say so."""
        if not self.is_done(service, name):
            self.take_back(service, name)
            raise NeverCameError(what)

    def pause(self) -> None:
        """Hold jobs as ``./cutout pause`` does: they are accepted, and stay queued."""
        self.pusher.hold(route.name for route in held_routes())

    def resume(self) -> None:
        self.pusher.hold(())

    # --- jobs -----------------------------------------------------------------------------------

    def new_id(self) -> str:
        return f"job_{next(self._numbers):016}"

    def accept(
        self, job_id: str, *, publishes: bool = True, ledger: Ledger | None = None, **changes: Any
    ) -> None:
        """Promise a job as the API does, without it; or as it did when another ledger's clock was right."""
        ledger = ledger or self.ledger
        now, data = ledger.clock(), self.photo
        pin = PhotoPin(
            name=records.input_name(f"upload-{job_id}"), generation=0, bytes=len(data), crc32c=crc32c(data),
            sha256="0" * 64, content_type="image/jpeg", width=32, height=32,
        )  # fmt: skip
        accepted = Accepted(
            created_at=now,
            expires_at=now + timedelta(days=400),
            recipe=Recipe(),
            photo=pin,
            request_digest="d",
        )
        ledger.accept(job_id, replace(accepted, **changes), self.folder / "photo.jpg")
        if publishes:
            ledger.publish(job_id, 0, 0, by="api")

    def submit(self, key: str, timeout_s: float = 30, request_id: str | None = None) -> httpx.Response:
        """Submit a photo as a client does; the request carries its key as its id, unless it has another."""
        url, headers = f"{self.api.url}/v1/jobs", {"Idempotency-Key": key, "X-Request-Id": request_id or key}
        return loopback.post(url, files={"image": self.photo}, headers=headers, timeout=timeout_s)

    def settled(self, job_id: str, within_s: float = SETTLES_WITHIN_S) -> float:
        """Wait until a job has settled and owes nothing, looking at every promise; return the seconds."""
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            with contextlib.suppress(TransientError):
                self.promises.check_job(job_id)
                job = self.promises.job(job_id)
                if job.terminal and not self.store.list(f"open/{job_id}.").objects:
                    break
            time.sleep(0.01)
        self.promises.check_settled(job_id)
        self.promises.check_job(job_id)
        return time.monotonic() - began

    def require_succeeded(self, job_id: str, within_s: float = SETTLES_WITHIN_S) -> float:
        took_s = self.settled(job_id, within_s)
        job = self.promises.job(job_id)
        require(job.status == "succeeded", "I1", f"{job_id} is {job.status}: {job.terminal.error}")
        done, claims = (self.folder / "inferences").read_text().count(job_id), len(job.worked.claims)
        require(done <= claims, "I4", f"{job_id}: {done} inferences, {claims} claims")
        return took_s

    def inferences(self) -> Counter[str]:
        file = self.folder / "inferences"
        return Counter(file.read_text().split()) if file.exists() else Counter()

    def push(self, body: bytes, timeout_s: float = 90) -> int:
        return loopback.post(f"{self.workers[0].url}/push", content=body, timeout=timeout_s).status_code


@contextmanager
def violations(found: list[str], where: str) -> Iterator[None]:
    """Note a broken promise, or that a run came to nothing, and go on with the next."""
    try:
        yield
    except (BrokenPromiseError, TimeoutError, httpx.HTTPError) as error:
        found.append(f"{where}: {error}")
