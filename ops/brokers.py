"""What pushes messages to the services on one machine: the embedded broker, or a Pub/Sub emulator.

An emulator forgets everything when it is restarted, topics and all.  They are made again as soon as it
answers, and looked after as long as the system runs; what it had forgotten the sweep publishes again.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ops.children import Child
from shared.broker_file import set_aside_if_damaged
from shared.errors import QueueUnavailableError, StoreUnavailableError
from shared.pausing import Held, held_routes
from shared.places import Project
from shared.push import Pusher
from shared.sqlite_queue import SqliteQueue
from shared.topology import topology

log = logging.getLogger(__name__)

Urls = Mapping[str, str]  #: of each service, by its name

#: To the API; the worker gets one more than it has slots, so that none is idle between two jobs.
_IN_FLIGHT = 2
#: Between two looks at an emulator's topology, and while it is missing.
_LOOK_S, _LOOK_AGAIN_S = 1.0, 0.1
#: Of the child, and again of the thread.
_STOPS_WITHIN_S = 1.0


class Broker(Protocol):
    """Pushes what is published, from ``start`` to ``stop``."""

    address: str  #: of the emulator, or "embedded"
    child: Child | None  #: the process that pushes, if it is one

    def start(self, is_paused: Callable[[], bool]) -> None:
        """Begin to push to services that may not be up yet; it may be asked whether jobs are to be held."""
        ...

    def is_ready(self) -> bool:
        """Whether what is published now will be pushed."""
        ...

    def hold(self, *, is_held: bool) -> None:
        """Push no jobs to the worker, or push them again; may be said at any time, and again."""
        ...

    def stop(self) -> None:
        """Push no more; what is not acknowledged by now is not counted as refused."""
        ...


class EmbeddedBroker:
    """Pushes from a file, in threads of this process."""

    address = "embedded"
    child: Child | None = None

    def __init__(self, file: Path, urls: Urls, slots: int) -> None:
        described = topology()
        self._file = file
        subscriptions = [
            route.on_this_machine(
                urls[route.service],
                max_in_flight=slots + 1 if route.service == "worker" else _IN_FLIGHT,
                backoff_s=described.backoff_on_one_machine_s,
            )
            for route in described.routes
        ]
        self._is_paused: Callable[[], bool] = lambda: False
        self._pusher = Pusher(SqliteQueue(file), subscriptions, is_held=self._is_held)

    def start(self, is_paused: Callable[[], bool]) -> None:
        """Begin to push, from a new file if the one that is there is damaged."""
        self._is_paused = is_paused
        set_aside_if_damaged(self._file, datetime.now(UTC))
        self._pusher.start()

    def is_ready(self) -> bool:
        """Whether what is published now will be pushed: it is on the disk."""
        return True

    def hold(self, *, is_held: bool) -> None:
        """Leave jobs where they are, on the disk."""
        self._pusher.hold(route.name for route in held_routes() if is_held)

    def _is_held(self, name: str) -> bool:
        """Whether a pause is on record, so that no job goes out that was accepted under it."""
        if name not in {route.name for route in held_routes()}:
            return False
        try:
            return self._is_paused()
        except StoreUnavailableError:
            return False  # then what was said last holds

    def stop(self) -> None:
        """Push no more, at once."""
        self._pusher.stop()


class EmulatedBroker:
    """An emulator, ours or somebody else's, with a thread that keeps its topology."""

    def __init__(self, project: Project, urls: Urls, child: Child | None, say: Callable[[str], None]) -> None:
        self.address, self.child = project.emulator or "", child
        self._project, self._urls, self._say = project, urls, say
        self._is_made, self._is_stopping = threading.Event(), threading.Event()
        self._trouble, self._is_held = "", False
        self._keeper = threading.Thread(target=self._keep, name="topology", daemon=True)

    def start(self, is_paused: Callable[[], bool]) -> None:  # noqa: ARG002 - it is told in time
        """Begin to make topics and subscriptions as soon as the emulator answers."""
        self._keeper.start()

    def is_ready(self) -> bool:
        """Whether there are topics and subscriptions, as far as was seen last."""
        return self._is_made.is_set()

    def hold(self, *, is_held: bool) -> None:
        """Detach the jobs' push at the next look, a second later at most."""
        self._is_held = is_held

    def stop(self) -> None:
        """End the emulator if it is ours, before the services end; look after it no more."""
        self._is_stopping.set()
        if self.child:
            self.child.ask_to_stop()
            self.child.wait(time.monotonic() + _STOPS_WITHIN_S)
        self._keeper.join(_STOPS_WITHIN_S)

    def _keep(self) -> None:
        while not self._is_stopping.is_set():
            try:
                self._make()
            except QueueUnavailableError as error:
                self._wait_out(error.detail)
            except Exception as error:
                # A bug, or a thing in the way, must not leave the next restart to itself.
                log.exception("topology.crashed")
                self._wait_out(str(error))
            else:
                self._is_stopping.wait(_LOOK_S)

    def _make(self) -> None:
        from shared import pubsub_topology  # noqa: PLC0415 - 50 MB that the embedded broker does without

        held = Held.ALL if self._is_held else Held.NONE
        with pubsub_topology.opened(self._project) as maker:
            done = maker.make(topology(), pubsub_topology.Pusher(urls=self._urls), held)
        if done:
            log.info("topology.made", extra={"done": done})
            if self._is_made.is_set() and any(line.startswith("created") for line in done):
                self._say("the emulator had forgotten its topics; they are there again")
        self._trouble = ""
        self._is_made.set()
        if self.child:
            self.child.was_ready = True

    def _wait_out(self, trouble: str) -> None:
        is_starting = self.child is not None and not self._is_made.is_set()
        if trouble != self._trouble and not is_starting:
            log.warning("topology.unavailable", extra={"address": self.address, "reason": trouble})
            self._say(f"the Pub/Sub emulator at {self.address}: {trouble} Waiting for it.")
            self._trouble = trouble
        self._is_stopping.wait(_LOOK_AGAIN_S)
