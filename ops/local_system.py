"""The whole system on one machine: both services, the broker and the sweep, until told to stop."""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from ops.children import Child
from ops.data_folder import DataFolder
from shared import messages
from shared.broker_file import set_aside_if_damaged
from shared.pace import ONE_MACHINE
from shared.push import Pusher
from shared.sqlite_queue import SqliteQueue
from shared.subscriptions import Subscription

log = logging.getLogger(__name__)

_LOOK_S = 0.1
_STOP_WITHIN_S = 8.0
_SWEEP_TIMEOUT_S = 60.0


@dataclass
class LocalSystem:
    """Two children, and what runs beside them in this process."""

    folder: DataFolder
    api: Child
    worker: Child
    slots: int
    say: Callable[[str], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    engine: str | None = None

    def run(self, on_ready: Callable[[], None]) -> None:
        """Run until ``stopping`` is set; ``ChildFailedError`` if a service does not start."""
        set_aside_if_damaged(self.folder.queue, datetime.now(UTC))
        pusher = Pusher(SqliteQueue(self.folder.queue), self._subscriptions())
        try:
            pusher.start()
            threading.Thread(target=self._sweep, name="sweep", daemon=True).start()
            self._wait_until_ready()
            if not self.stopping.is_set():
                self._write_run_file()
                on_ready()
            while not self.stopping.wait(_LOOK_S):
                if self._revive():
                    self._write_run_file()
        finally:
            self.stopping.set()
            # First the pusher: an answer of a service that stops must not count as a refusal.
            pusher.stop()
            self._stop_children()
            self.folder.run_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End every process of both services at once."""
        for child in (self.api, self.worker):
            child.signal(signal.SIGKILL)

    def _subscriptions(self) -> list[Subscription]:
        return [
            Subscription(
                name="cutout-jobs-worker",
                topic=messages.JOBS,
                endpoint=f"{self.worker.url}/push",
                max_in_flight=self.slots + 1,
                dead_letter_topic=messages.DEAD_JOBS,
            ),
            Subscription(
                name="cutout-jobs-dead-api",
                topic=messages.DEAD_JOBS,
                endpoint=f"{self.api.url}/internal/dead-letters",
                max_in_flight=2,
            ),
        ]

    def _revive(self) -> bool:
        revived = [child.name for child in (self.api, self.worker) if child.revive()]
        for name in revived:
            self.say(f"starting the {name}")
        return bool(revived)

    def _wait_until_ready(self) -> None:
        while not self.stopping.wait(_LOOK_S):
            self._revive()
            if all(self._is_ready(child) for child in (self.api, self.worker)):
                return

    def _is_ready(self, child: Child) -> bool:
        if not child.was_ready:
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.get(f"{child.url}/ready", timeout=2)
                child.was_ready = answer.is_success
                if child is self.worker and answer.is_success:
                    self.engine = answer.json()["engine"]["name"]
        return child.was_ready

    def _sweep(self) -> None:
        """Sweep every few seconds; a sweep that fails is the next one's business."""
        with httpx.Client(timeout=_SWEEP_TIMEOUT_S) as client:
            while not self.stopping.wait(ONE_MACHINE.sweep_every.total_seconds()):
                with contextlib.suppress(httpx.HTTPError):
                    client.post(f"{self.api.url}/internal/sweep")

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
            "pids": {"up": os.getpid(), "api": self.api.pid, "worker": self.worker.pid},
            "urls": {"api": self.api.url, "worker": self.worker.url, "push": f"{self.worker.url}/push"},
            "engine": self.engine,
            "data": str(self.folder.root),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
