"""A whole service in memory whose every yield belongs to one scheduler, so that a run can be repeated.

Processes run the real handler, ledger, settling, sweep, broom, replays and API as tasks of one thread.  A
task stops before and after each call of a port; whoever drives it says which goes on, what its call meets,
and who dies.
"""

import itertools
import json
import secrets
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet

from shared.broom import Broom
from shared.errors import QueueUnavailableError, StoreUnavailableError, TransientError
from shared.memory_store import MemoryStore
from shared.ports import Blob
from shared.replaying import Driver
from shared.side_by_side import here
from shared.sweep import Sweep
from tests.api_world import ApiWorld
from tests.beside import Drawn
from tests.call_sites import sites_of_this_call
from tests.promises import require
from tests.world import Killed
from worker.beats import Pulse
from worker.handler import handle
from worker.services import Patience, Services
from worker.slots import Slot, Slots


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a task has stopped: before or after a call of a port, or in the middle of an inference."""

    moment: str  #: before, after or during
    port: str  #: store or queue, or what takes its time: model or clock
    method: str = ""
    name: str = ""
    sites: tuple[str, ...] = ()

    @property
    def is_a_call(self) -> bool:
        return self.port in {"store", "queue"}


#: Where a task stands that waits for a slot.
WAITING = Stop("waiting", "slots")


@dataclass(eq=False)
class Task:
    """A piece of work of one process, which goes on when it is told to."""

    process: "Proc"
    what: str
    work: Callable[[], Any]
    on_end: Callable[[Any], None] = lambda _value: None
    on_death: Callable[[], None] = lambda: None  #: it was killed, or answers that it may be tried again
    began: float = 0.0
    stop: Stop | None = None
    is_over: bool = False
    job: tuple[str, int] | None = None  #: that a delivery is about
    wakes: float = 0.0  #: until when it sleeps

    def __post_init__(self) -> None:
        self._greenlet = greenlet(self._run)

    def go_on(self, instruction: object = None) -> None:
        """Run until the next stop, or to the end."""
        self.stop = self._greenlet.switch(instruction)
        if self._greenlet.dead:
            self.is_over = True

    def _run(self, _instruction: object) -> None:
        try:
            value = self.work()
        except (Killed, TransientError):
            self.on_death()
        else:
            self.on_end(value)


@dataclass(eq=False)
class Proc:
    """A process: it may be frozen, its clock may be wrong, and once killed it does nothing any more."""

    simulation: "Simulation"
    kind: str
    skew: timedelta = timedelta(0)
    is_dead: bool = False
    is_frozen: bool = False
    is_stopping: bool = False
    slots: Slots = field(init=False)
    tasks: list[Task] = field(default_factory=list)
    pulses: list[Pulse] = field(default_factory=list)
    name: str = ""
    beside: Drawn | None = None  #: of the task that was begun last
    torn: str = ""  #: the one record that this process reads damaged

    def __post_init__(self) -> None:
        self.slots = SimulatedSlots(self)

    def watch(self, port: object, label: str) -> Any:
        return _Port(port, label, self)

    def at_work(self) -> int:
        """How many jobs are in the middle of an inference."""
        return sum(task.stop.port == "model" for task in self.tasks if task.stop)

    def clock(self) -> datetime:
        return self.simulation.clock() + self.skew

    def pause(self, stop: Stop) -> object:
        """Stop here until told to go on; return what the call is to meet."""
        if self.is_dead:
            raise Killed(stop)
        instruction = getcurrent().parent.switch(stop)
        if self.is_dead:
            raise Killed(stop)
        return instruction


class SimulatedSlots(Slots):
    """The slots of a process, one or two; who waits for one lets others go on."""

    def __init__(self, process: Proc) -> None:
        clock = process.simulation.clock
        super().__init__(
            process.simulation.dice.choice([1, 1, 2]), lambda: process.is_stopping, clock.monotonic
        )
        self._process = process
        self._held: list[Slot] = []

    def take(self, *, alone: bool, within_s: float) -> Slot:
        slot = super().take(alone=alone, within_s=within_s)
        holders = [one for one in self._held if one.taken or one.storing or one in self._ready]
        self._held = [*holders, slot]
        if len(self._held) > 1 and any(one.alone for one in self._held):
            self._process.simulation.broken = "a job that must run alone has a neighbour"
        return slot

    def _let_change(self, within_s: float) -> None:  # noqa: ARG002 - by nobody's clock but the scheduler's
        self._process.pause(WAITING)


class _Port:
    """A port whose every call stops before and after."""

    def __init__(self, port: object, label: str, process: Proc) -> None:
        self._port, self._label, self._process = port, label, process

    def __getattr__(self, method: str) -> Callable[..., Any]:
        real = getattr(self._port, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._process.simulation.note(self._process, method, args)
            sites = sites_of_this_call(self._label, method, 2)
            self._process.simulation.reached.update(sites)
            stop = Stop("before", self._label, method, str(args[0]) if args else "", sites)
            instruction = self._process.pause(stop)
            if instruction == "away":
                raise self._away("nothing was done")
            try:
                value = real(*args, **kwargs)
                if instruction == "again":  # the answer was lost, and the adapter has asked again
                    value = real(*args, **kwargs)
            finally:
                late = self._process.pause(replace(stop, moment="after"))
            if late == "lost":
                raise self._away("it was done, and the answer was lost")
            if args and args[0] == self._process.torn and isinstance(value, Blob):
                return replace(value, data=value.data[:-1])
            return _damaged(value) if instruction == "damaged" else value

        return call

    def _away(self, how: str) -> Exception:
        return (StoreUnavailableError if self._label == "store" else QueueUnavailableError)(how)


def _damaged(value: object) -> object:
    """Return a photo with another byte, as if no checksum had been looked at on its way; else the value."""
    if not isinstance(value, Blob) or not value.stat.name.startswith("inputs/"):
        return value
    return replace(value, data=bytes([value.data[0] ^ 1]) + value.data[1:])


class Inline(Executor):
    """Does each piece of work as it is submitted, in the task that submits it."""

    def __init__(self, _at_most: int, _name: str) -> None:
        super().__init__()

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it again
            future.set_exception(error)
        return future


#: Shorter sleeps are over at once: nothing that matters fits into them.
_NAP_S = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request to the API came to."""

    status: int
    data: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class CountingStore(MemoryStore):
    """A store in memory that tells whether anything in it has changed."""

    changes = 0

    def delete(self, name: str, *, generation: int | None = None) -> None:
        super().delete(name, generation=generation)
        self.changes += 1

    def _write(self, name: str, data: bytes) -> Any:
        self.changes += 1
        return super()._write(name, data)


class Simulation(ApiWorld):
    """Processes over one store and one queue, and the tasks that they have begun."""

    def __init__(self, tmp: Path, seed: int, **given: Any) -> None:
        self.dice = Random(seed)
        # Names are drawn at random, and order what is listed: here they follow from the seed as well.
        self._names, secrets._sysrand = secrets._sysrand, Random(seed)
        super().__init__(tmp, **given)
        self.store = CountingStore(self.clock)
        self.client = self.api()
        self.procs: list[Proc] = []
        self.inferences: Counter[tuple[str, int]] = Counter()
        self.model.during = self._infer
        self.current: Task | None = None
        self.patience = Patience(for_a_slot_s=0)
        self.broken: str | None = None  #: seen by a task, which takes exceptions for its own
        self.steps = 0
        self.killed_at: Counter[tuple[str, str]] = Counter()
        self.photos_read: set[str] = set()  #: by workers
        self.reached: set[str] = set()  #: places that call a port
        self._numbers = itertools.count()

    def close(self) -> None:
        """Let names be random again."""
        secrets._sysrand = self._names

    # --- processes and tasks --------------------------------------------------------------------

    def process(self, kind: str, **given: Any) -> Proc:
        process = Proc(self, kind, name=f"{kind}-{next(self._numbers)}", **given)
        self.procs.append(process)
        return process

    def live(self, kind: str) -> list[Proc]:
        """The processes of a kind that take work; a new one where there is none."""
        found = [p for p in self.procs if p.kind == kind and not (p.is_dead or p.is_frozen or p.is_stopping)]
        return found or [self.process(kind)]

    def begin(self, process: Proc, what: str, work: Callable[[], Any], **given: Any) -> Task:
        task = Task(process, what, work, began=self.clock.monotonic(), **given)
        process.tasks.append(task)
        self.step(task)
        return task

    def step(self, task: Task, instruction: object = None) -> None:
        """Let one task go on to its next stop."""
        self.steps += 1
        self.current = task
        task.go_on(instruction)
        require(self.broken is None, "I4", str(self.broken))
        if task.is_over:
            task.process.tasks.remove(task)

    def runnable(self) -> list[Task]:
        now = self.clock.monotonic()
        return [task for p in self.procs if not p.is_frozen for task in p.tasks if task.wakes <= now]

    def sleepers(self) -> list[Task]:
        now = self.clock.monotonic()
        return [task for p in self.procs for task in p.tasks if task.wakes > now]

    def count(self, *kinds: str) -> int:
        """How many tasks of some kinds have begun and not ended."""
        return sum(task.what in kinds for p in self.procs for task in p.tasks)

    def note(self, process: Proc, method: str, args: tuple[Any, ...]) -> None:
        """Remember whose photos workers have looked at."""
        if process.kind == "worker" and method in {"read", "open"} and str(args[0]).startswith("inputs/"):
            self.photos_read.add(args[0])

    def kill(self, process: Proc) -> None:
        """End a process at once; what its tasks had asked for and not been given does not happen."""
        process.is_dead = True
        for task in list(process.tasks):
            for site in task.stop.sites if task.stop else ():
                self.killed_at[site, task.stop.moment] += 1
            self.current = task
            task.go_on()
            assert task.is_over, "a dead process went on"
        process.tasks.clear()
        self.procs.remove(process)

    def run_to_end(self, *tasks: Task) -> None:
        for task in tasks:
            while not task.is_over:
                self.step(task)

    def _nap(self, process: Proc, seconds: float) -> None:
        """Let a task sleep for a while in which others go on."""
        if seconds <= _NAP_S:
            self.clock.turn(seconds=seconds)
            return
        assert self.current
        self.current.wakes = self.clock.monotonic() + seconds
        process.pause(Stop("during", "clock"))

    def _infer(self) -> None:
        task = self.current
        if task.process.is_dead:  # killed in an errand beside this, which keeps to itself what it raises
            raise Killed
        self.inferences[task.job] += 1
        if task.process.at_work() >= task.process.slots.count:
            self.broken = "more inferences than slots"
        if error := task.process.pause(Stop("during", "model", sites=("model",))):
            raise error

    # --- what processes do ----------------------------------------------------------------------

    def ledger(self, process: Proc | None = None) -> Any:
        if process is None:
            return super().ledger()
        process.beside = here if process.kind == "front" else Drawn(Random(self.dice.random()))
        return replace(
            super().ledger(process),
            clock=process.clock,
            pool=Inline,
            sleep=lambda seconds: self._nap(process, seconds),
        )

    def services(self, process: Proc | None = None, **changes: Any) -> Services:
        if process is None:
            return super().services(**changes)
        return super().services(
            process,
            slots=process.slots,
            instance=process.name,
            start_pulse=process.pulses.append,
            is_stopping=lambda: process.is_stopping,
            patience=self.patience,
            **changes,
        )

    def post(self, process: Proc, path: str, body: bytes, **given: Any) -> Task:
        """Push to the API, which does one thing after the other."""
        client = self.api(process)
        return self.begin(process, path, lambda: client.post(path, data=body).status_code, **given)

    def ask(
        self, process: Proc, what: str, call: tuple[str, str], asked: dict[str, Any], **given: Any
    ) -> Task:
        """Send a request to the API; what it comes to is an ``Answer``."""
        client, (method, path) = self.api(process), call

        def work() -> Answer:
            answer = client.open(path, method=method, **asked)
            return Answer(answer.status_code, answer.data)

        return self.begin(process, what, work, **given)

    def handle(self, process: Proc, body: bytes, job: tuple[str, int] | None, **given: Any) -> Task:
        services = self.services(process)
        return self.begin(process, "delivery", lambda: handle(body, services), job=job, **given)

    def beat(self, process: Proc, pulse: Pulse) -> Task:
        return self.begin(process, "beat", pulse.tick)

    def sweep(self, process: Proc | None = None) -> Any:
        if process is None:
            return super().sweep()
        ledger, monotonic = self.ledger(process), self.clock.monotonic

        def work() -> None:
            """Do what ``/internal/sweep`` does."""
            Sweep(ledger=ledger, monotonic=monotonic).run()
            Driver(ledger=ledger, by="sweep").drive_all(self.pace.sweep_every * 0.8, monotonic)

        return self.begin(process, "sweep", work)

    def broom(self, process: Proc, part: str, retention: timedelta) -> Task:
        broom = Broom(ledger=self.ledger(process), retention=retention, monotonic=self.clock.monotonic)
        return self.begin(process, "broom", lambda: broom.sweep(part))
