"""The whole system on one machine: services, what pushes to them, sweep and broom, until told to stop."""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from ops.brokers import Broker
from ops.children import Child
from ops.data_folder import DataFolder
from shared import broom
from shared.errors import StoreUnavailableError
from shared.pace import ONE_MACHINE

log = logging.getLogger(__name__)

_LOOK_S, _HEED_S = 0.1, 0.5
_STOP_WITHIN_S = 8.0
_SWEEP_TIMEOUT_S = 60.0


@dataclass
class LocalSystem:
    """Both services, and what runs beside them."""

    folder: DataFolder
    api: Child
    worker: Child
    broker: Broker
    say: Callable[[str], None]
    is_paused: Callable[[], bool]  #: whether jobs are to be held; ``StoreUnavailableError`` if nobody knows
    stopping: threading.Event = field(default_factory=threading.Event)
    engine: str | None = None
    _is_held: bool = False

    def run(self, on_ready: Callable[[], None]) -> None:
        """Run until ``stopping`` is set; ``ChildFailedError`` if a service does not start."""
        try:
            self._heed_pause(if_unknown=True)
            self.broker.start(self.is_paused)
            threading.Thread(target=self._heed_pauses, name="pause", daemon=True).start()
            for call, every in (("sweep", ONE_MACHINE.sweep_every), ("broom", broom.EVERY)):
                threading.Thread(target=self._repeat, args=(call, every), name=call, daemon=True).start()
            self._wait_until_ready()
            if not self.stopping.is_set():
                self._write_run_file()
                on_ready()
            while not self.stopping.wait(_LOOK_S):
                if self._revive():
                    self._write_run_file()
        finally:
            self.stopping.set()
            # First what pushes: an answer of a service that stops must not count as a refusal.
            self.broker.stop()
            self._stop_children()
            self.folder.run_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End every process at once."""
        for child in self._children():
            child.signal(signal.SIGKILL)

    def _children(self) -> list[Child]:
        return [child for child in (self.broker.child, self.api, self.worker) if child]

    def _revive(self) -> bool:
        revived = [child.name for child in self._children() if child.revive()]
        for name in revived:
            self.say(f"starting the {name}")
        return bool(revived)

    def _wait_until_ready(self) -> None:
        services = (self.api, self.worker)
        with httpx.Client(timeout=2) as client:  # to make one takes longer than to ask
            while not self.stopping.wait(_LOOK_S):
                self._revive()
                if self.broker.is_ready() and all(self._is_ready(child, client) for child in services):
                    return

    def _is_ready(self, child: Child, client: httpx.Client) -> bool:
        if not child.was_ready:
            with contextlib.suppress(httpx.HTTPError):
                answer = client.get(f"{child.url}/ready")
                child.was_ready = answer.is_success
                if child is self.worker and answer.is_success:
                    self.engine = answer.json()["engine"]["name"]
        return child.was_ready

    def _heed_pauses(self) -> None:
        while not self.stopping.wait(_HEED_S):
            self._heed_pause(if_unknown=self._is_held)

    def _heed_pause(self, *, if_unknown: bool) -> None:
        """Hold jobs or not, as the record says, or as is said while it cannot be read."""
        try:
            is_held = self.is_paused()
        except StoreUnavailableError:
            is_held = if_unknown
        self.broker.hold(is_held=is_held)
        if is_held is not self._is_held:
            self.say("delivery is paused: ./cutout resume goes on" if is_held else "delivery goes on")
        self._is_held = is_held

    def _repeat(self, call: str, every: timedelta) -> None:
        """Make an internal call again and again; one that fails is the next one's business."""
        with httpx.Client(timeout=_SWEEP_TIMEOUT_S) as client:
            while not self.stopping.wait(every.total_seconds()):
                with contextlib.suppress(httpx.HTTPError):
                    client.post(f"{self.api.url}/internal/{call}")

    def _stop_children(self) -> None:
        until = time.monotonic() + _STOP_WITHIN_S
        for child in (self.worker, self.api):
            child.ask_to_stop()
        for child in (self.worker, self.api):
            child.wait(until)

    def _write_run_file(self) -> None:
        self.folder.write_run_file(self.describe())

    def describe(self) -> dict[str, Any]:
        """Say what runs where."""
        return {
            "url": self.api.url,
            "pids": {"up": os.getpid()} | {child.name: child.pid for child in self._children()},
            "urls": {"api": self.api.url, "worker": self.worker.url, "push": f"{self.worker.url}/push"},
            "broker": self.broker.address,
            "engine": self.engine,
            "data": str(self.folder.root),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
