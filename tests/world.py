"""A whole service in memory, with a clock turned by hand and a process that can be killed anywhere."""

import base64
import io
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shared import messages, records, settling
from shared.checksums import crc32c
from shared.jobs import Job
from shared.ledger import Ledger
from shared.memory_queue import MemoryQueue
from shared.memory_store import MemoryStore
from shared.pace import CLOUD, Pace
from shared.recipes import EffectRequest, Recipe
from shared.records import Accepted, PhotoPin, Terminal
from shared.sweep import Sweep
from tests.beside import MANY_ORDERS
from worker.handler import Outcome, handle
from worker.matting.disc import DiscModel
from worker.model_gate import ModelGate
from worker.services import Services
from worker.slots import Slots

JOB = "job_0123456789abcdef"
TWO_EFFECTS = Recipe(effects=(EffectRequest(name="color"), EffectRequest(name="enhancedblackwhite")))


class Killed(BaseException):
    """The process died; nothing in it may catch this."""


@dataclass
class TurnedClock:
    """A clock that moves when it is told to."""

    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def turn(self, **span: float) -> None:
        self.time += timedelta(**span)


class Process:
    """A process whose every port call is told to a spy; once killed, it does nothing any more."""

    def __init__(self, spy: Callable[[str], None] = lambda _call: None) -> None:
        self._spy, self.is_dead, self.beside = spy, False, None

    def watch(self, port: object, label: str) -> Any:
        return _Watched(port, label, self)

    def tell(self, call: str) -> None:
        if self.is_dead:
            raise Killed(call)
        try:
            self._spy(call)
        except Killed:
            self.is_dead = True
            raise


class _Watched:
    """A port that tells its process before and after each call."""

    def __init__(self, port: object, label: str, process: Process) -> None:
        self._port, self._label, self._process = port, label, process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            what = f"{self._label}.{name} {_short(args[0] if args else '')}"
            self._process.tell(f"before {what}")
            value = method(*args, **kwargs)
            self._process.tell(f"after {what}")
            return value

        return call


def _short(name: object) -> str:
    return str(name).replace(JOB, "JOB")


def kill_at(moment: int) -> Callable[[str], None]:
    """Return a spy that kills at the given call, counted from 0."""
    count = itertools.count()

    def spy(call: str) -> None:
        if next(count) == moment:
            raise Killed(call)

    return spy


def once_at(moment: int, do: Callable[[], object]) -> Callable[[str], None]:
    """Return a spy that does something at the given call, counted from 0."""
    count = itertools.count()
    return lambda _call: do() if next(count) == moment else None


@cache
def photo_bytes(side: int = 96) -> bytes:
    """Return a small real JPEG: a bright disc on a dark ground, with some texture."""
    y, x = np.mgrid[:side, :side]
    disc = np.hypot(x - side / 2, y - side / 2) < side / 3
    pixels = np.where(disc[..., None], (210, 160, 90), (30, 50, 80)) + ((x * 7 + y * 13) % 17)[..., None]
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


@dataclass
class ScriptedModel:
    """The disc engine, which counts, and does what a test wants done in the middle of an attempt."""

    calls: int = 0
    during: Callable[[], None] | None = None
    fail_with: Exception | None = None
    #: No pixel is mixed: to find the colours of those takes most of the time of a small photo.
    disc: DiscModel = field(default_factory=lambda: DiscModel(rim_px=1e-6))
    name: str = "disc"
    version: str = "1"
    checkpoint_sha256: str | None = None

    def alpha(self, rgb: Any) -> Any:
        self.calls += 1
        if self.during:
            self.during()
        if self.fail_with:
            raise self.fail_with
        return self.disc.alpha(rgb)


@dataclass
class World:
    """Store, queue, ledger and worker, all in this process."""

    tmp: Path
    clock: TurnedClock = field(default_factory=TurnedClock)
    pace: Pace = CLOUD
    slots: int = 1
    order: str = "early"  #: how each process does what it does side by side
    kept_for: timedelta = timedelta(days=400)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.queue = MemoryQueue(self.clock)
        self.gate = ModelGate()
        self.model = ScriptedModel()
        self.gate.open(self.model)
        self.pulses: list[Any] = []
        self.photo = photo_bytes()
        self._uploads = itertools.count()

    def ledger(self, process: Process | None = None) -> Ledger:
        process = process or Process()
        process.beside = process.beside or MANY_ORDERS[self.order]()
        return Ledger(
            store=process.watch(self.store, "store"),
            queue=process.watch(self.queue, "queue"),
            clock=self.clock,
            pace=self.pace,
            beside=process.beside,
            monotonic=self.clock.monotonic,
            sleep=lambda seconds: self.clock.turn(seconds=seconds),
        )

    def services(self, process: Process | None = None, **changes: Any) -> Services:
        ledger = self.ledger(process)
        return Services(
            **{
                "ledger": ledger,
                "beside": ledger.beside,
                "gate": self.gate,
                "slots": Slots(self.slots),
                "instance": "worker-1",
                "revision": "test",
                "start_pulse": self.pulses.append,
                "monotonic": self.clock.monotonic,
                **changes,
            }
        )

    def accept(
        self,
        process: Process | None = None,
        *,
        job_id: str = JOB,
        recipe: Recipe | None = None,
        digest: str = "digest",
    ) -> None:
        """Do what the API does for a submission, with an Idempotency-Key."""
        data = self.photo
        path = self.tmp / "spool.jpg"
        path.unlink(missing_ok=True)  # a store may have taken the last one as it lay there
        path.write_bytes(data)
        pin = PhotoPin(
            name=f"{records.input_prefix(job_id)}{next(self._uploads)}",
            generation=0,
            bytes=len(data),
            crc32c=crc32c(data),
            sha256="0" * 64,
            content_type="image/jpeg",
            width=96,
            height=96,
        )
        accepted = Accepted(
            created_at=self.clock(),
            expires_at=self.clock() + self.kept_for,
            recipe=recipe or Recipe(),
            photo=pin,
            request_digest=digest,
        )
        ledger = self.ledger(process)
        ledger.accept(job_id, accepted, path)
        ledger.publish(job_id, 0, 0, by="api")

    def deliver(self, services: Services | None = None, *, job_id: str = JOB, epoch: int = 0) -> Outcome:
        """Push the job's message once."""
        services = services or self.services()
        try:
            outcome = handle(push_body(job_id, epoch), services)
        except Killed:
            services.beside.die()
            raise
        services.beside.join()
        return outcome

    def sweep(self) -> dict[str, int]:
        return Sweep(ledger=self.ledger(), monotonic=self.clock.monotonic).run()

    def cancel(self, job_id: str = JOB) -> Terminal:
        terminal = Terminal(status="cancelled", at=self.clock(), settled_by="client")
        return settling.settle(self.ledger(), job_id, 0, terminal)

    def tick_pulses(self) -> None:
        """Let every pulse beat once, as its thread would."""
        for pulse in self.pulses:
            if not pulse.is_concluded:
                pulse.tick()

    def job(self, job_id: str = JOB) -> Job:
        job = self.ledger().job(job_id)
        assert job is not None, "the job was accepted and is not there"
        return job

    def names(self, prefix: str = "") -> list[str]:
        return [stat.name for stat in self.store.list(prefix).objects]

    def put(self, name: str, **document: Any) -> None:
        """Write a record as another process would have."""
        records.write_once(self.store, name, document)

    def claim(self, number: int, **released: Any) -> None:
        """Leave the traces of an attempt, released if a reason is given."""
        base = f"jobs/{JOB}/e0/claims/{number}"
        self.put(f"{base}.json", worker="elsewhere")
        if released:
            self.put(f"{base}.released.json", **released)

    def ends_of_claims(self) -> list[str]:
        """How each claim but the winner's ended: its release's reason, or silence."""
        job = self.job()
        winner = job.terminal.attempt if job.terminal else 0
        ends = []
        for claim in job.worked.claims.values():
            name = f"jobs/{JOB}/e0/claims/{claim.number}.released.json"
            if claim.number != winner:
                ends.append(json.loads(self.store.read(name).data)["reason"] if claim.released else "silent")
        return ends

    def assert_succeeded(self, job_id: str = JOB, epoch: int = 0) -> None:
        """Assert the whole promise: settled, the bytes are there, nothing is owed or left over."""
        job = self.job(job_id)
        assert job.status == "succeeded"
        assert job.terminal is not None
        outcome = job.terminal.outcome
        kept = [outcome["matte"], outcome["preview"], *outcome["results"].values()]
        for picture in kept:
            data = self.store.read(picture["object"]).data
            assert len(data) == picture["bytes"]
            Image.open(io.BytesIO(data)).load()
        assert sorted(self.names("results/")) == sorted(p["object"] for p in kept)
        assert job.worked.announced is not None
        assert records.marker_name(job_id, epoch) not in self.names("open/")


def push_body(job_id: str = JOB, epoch: int = 0, **extra: Any) -> bytes:
    """Return the body of a push for a job's epoch."""
    data = messages.encode(messages.JobMessage(job_id=job_id, epoch=epoch))
    message = {"data": base64.b64encode(data).decode(), "messageId": "m-1", "attributes": {}}
    return json.dumps({"message": message, "subscription": "s", **extra}).encode()
