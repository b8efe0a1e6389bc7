"""The rules by which Hypothesis drives a simulation, in one file, since they share one run and are short.

Clients, the queue and bad luck each do one thing a rule; ``bustle`` does many, as dice say, which takes a run
deeper than single rules come.  What is asked of the API stands in ``tests.front``.
"""

import contextlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shared import messages, settling
from shared.errors import (
    IdempotencyKeyReusedError,
    JobNotSettledError,
    TransientError,
)
from shared.jobs import Job
from shared.memory_queue import Delivery, MemoryQueue, Published
from shared.messages import Envelope, wrap
from shared.pace import CLOUD, ONE_MACHINE, OPEN_AT_MOST
from shared.records import Terminal
from shared.subscriptions import ACKNOWLEDGING, Subscription
from tests.front import Front
from tests.leads import AIMS, FAULTS_OF_OURS, JOBS, LEADS, LED_TO_BY, MOMENTS, SITES, SPANS_S, TROUBLE, WORK
from tests.promises import COUNTED_ENDS, Promises, require
from tests.simulation import WAITING, Proc, Simulation, Task
from tests.world import photo_bytes
from worker.beats import Pulse
from worker.handler import Outcome
from worker.report import withdraw
from worker.services import Patience

__all__ = ["AIMS", "KILLED_AT", "MOMENTS", "REACHED", "SITES", "TALLY", "Machine"]

T = TypeVar("T")

PICK = st.integers(0, 255)
TURNS = st.integers(10, 80)
#: What a call of a port may meet before it is made, and after it.
FAULTS = {"before": ("away", "again", "damaged"), "after": ("lost",)}
#: No request of a client lasts longer than this: its process, or what is in front of it, ends it.
REQUESTS_LAST = timedelta(minutes=50)
#: Jobs are kept for so long: clocks are turned beyond it.
KEPT_FOR = timedelta(days=2)
TOLD_AGAIN_WITHIN = timedelta(hours=8)

WORKER = Subscription(
    name="worker",
    topic=messages.JOBS,
    endpoint="http://worker/push",
    max_in_flight=64,
    max_attempts=6,
    dead_letter_topic=messages.DEAD_JOBS,
)
DEAD = Subscription(name="dead", topic=messages.DEAD_JOBS, endpoint="http://api/dead", max_in_flight=64)

#: Over all runs of this process, for chaos to tell.
TALLY: Counter[str] = Counter()
KILLED_AT: Counter[tuple[str, str]] = Counter()
REACHED: set[str] = set()


def envelope_of(message: Published) -> bytes:
    envelope = Envelope(message_id=message.message_id, data=message.data)
    return json.dumps(wrap(envelope, published_at="2026-01-01T00:00:00Z")).encode()


class Reticent(MemoryQueue):
    """A queue that does not tell what waits in it, as Pub/Sub does not."""

    def untried(self, topic: str) -> list[bytes]:  # noqa: ARG002 - of none
        return []


class Machine(Front, RuleBasedStateMachine):
    """One run: a few jobs, any number of processes, and whatever the rules do to them."""

    def __init__(self) -> None:
        super().__init__()
        self.tmp = Path(tempfile.mkdtemp(prefix="cutout-simulation-"))
        self.is_broken = False

    @initialize(seed=st.integers(0, 2**32), is_cloud=st.booleans())
    def begin(self, seed: int, is_cloud: bool) -> None:
        pace = CLOUD if is_cloud else ONE_MACHINE
        self.sim = Simulation(self.tmp, seed, pace=pace, kept_for=KEPT_FOR)
        self.sim.photo = photo_bytes(32)
        self.sim.patience = Patience()
        queue = Reticent if is_cloud else MemoryQueue
        self.sim.queue = queue(self.sim.clock, (WORKER, DEAD), jitter=self.sim.dice.random)
        self.promises = Promises(
            self.sim.ledger(),
            self.sim.inferences,
            photos_read=self.sim.photos_read,
            drivers=lambda: self.sim.count("sweep", "advance"),
        )
        self.seen = 0  #: changes of the store
        self.buried: set[str] = set()

    def teardown(self) -> None:
        try:
            if hasattr(self, "sim") and not self.is_broken:
                self._let_everybody_finish()
                TALLY["steps"] += self.sim.steps
                TALLY["runs"] += 1
                KILLED_AT.update(self.sim.killed_at)
        finally:
            if hasattr(self, "sim"):
                REACHED.update(self.sim.reached)
                self.sim.close()
            shutil.rmtree(self.tmp, ignore_errors=True)

    # --- clients and operators ------------------------------------------------------------------

    @rule(job=PICK, digest=st.sampled_from(["one", "one", "one", "another"]), where=PICK)
    def submit(self, job: int, digest: str, where: int) -> None:
        process, job_id = self._pick(self.sim.live("api"), where), self._pick(JOBS, job)
        work = partial(self._accept, process, job_id, digest)
        self._begin(process, "submit", work, on_end=partial(self._was_told, job_id, digest))

    def _accept(self, process: Proc, job_id: str, digest: str) -> str:
        try:
            self.sim.accept(process, job_id=job_id, digest=digest)
        except TransientError:
            return "try again"
        except IdempotencyKeyReusedError:
            return "refused"
        return "accepted"

    def _was_told(self, job_id: str, digest: str, answer: str) -> None:
        if answer != "try again":
            is_same = self.promises.job(job_id).accepted.request_digest == digest
            require(is_same == (answer == "accepted"), "I1", f"{job_id}: {answer} for {digest}")

    @rule(job=PICK)
    def cancel(self, job: int) -> None:
        self._on_known_job(job, self._cancel)

    def _cancel(self, process: Proc, job: Job) -> None:
        ledger = self.sim.ledger(process)
        if job.terminal is None:
            ended = Terminal(status="cancelled", at=ledger.clock(), settled_by="client")
            settling.settle(ledger, job.id, job.worked.number, ended)

    @rule(job=PICK)
    def erase(self, job: int) -> None:
        self._on_known_job(job, self._erase)

    def _erase(self, process: Proc, job: Job) -> None:
        settling.erase(self.sim.ledger(process), job.id, kind="erasure", by="client")

    def _on_known_job(self, number: int, act: Callable[[Proc, Job], None]) -> None:
        job = self.promises.ledger.job(self._pick(self._accepted() or JOBS, number))
        process = self._pick(self.sim.live("api"), number)

        def work() -> None:
            with contextlib.suppress(TransientError, JobNotSettledError):
                act(process, job)

        if job:
            self._begin(process, act.__name__, work)

    # --- the queue ------------------------------------------------------------------------------

    @rule(which=PICK, where=PICK)
    def deliver(self, which: int, where: int) -> None:
        """Push what is due, in any order; what is refused comes back later or goes to the dead letters."""
        now = self.sim.clock()
        held = WORKER if self.is_paused else None
        due = [
            d
            for d in self.sim.queue.deliveries
            if not d.is_in_flight and d.due <= now and d.subscription is not held
        ]
        if due:
            self._push(self._pick(due, which), where)

    def _push(self, delivery: Delivery, where: int) -> Task:
        delivery.is_in_flight = True
        body = envelope_of(delivery.message)
        job = self._job_of(delivery.message)
        end = {"on_end": partial(self._answered, delivery), "on_death": partial(self._answered, delivery, 0)}
        if delivery.subscription is DEAD:
            if job:
                self.buried.add(job[0])
            process = self._pick(self.sim.live("front"), where)
            return self._ran(self.sim.post(process, "/internal/dead-letters", body, **end))
        process = self._pick(self.sim.live("worker"), where)
        return self._ran(self.sim.handle(process, body, job, **end))

    def _answered(self, delivery: Delivery, answer: Outcome | int) -> None:
        if delivery not in self.sim.queue.deliveries:
            return  # the queue has lost everything meanwhile
        if answer is Outcome.ACK or answer in ACKNOWLEDGING:
            job = self._job_of(delivery.message)
            if delivery.subscription is WORKER and job:
                self._require_settled(*job)
            self.sim.queue.ack(delivery)
        else:
            self.sim.queue.refuse(delivery)

    def _require_settled(self, job_id: str, epoch: int) -> None:
        trace = self.promises.ledger.history(job_id).epoch(epoch)
        require(
            trace is None or trace.terminal, "I1", f"{job_id} e{epoch} was acknowledged and has not settled"
        )

    @precondition(lambda self: self.sim.queue.published)
    @rule(which=PICK, where=PICK, times=st.integers(1, 3))
    def deliver_again(self, which: int, where: int, times: int) -> None:
        """Push copies of a message of any age, whose answers nobody looks at."""
        message = self._pick([m for m in self.sim.queue.published if m.topic == messages.JOBS], which)
        for turn in range(times):
            process = self._pick(self.sim.live("worker"), where + turn)
            self._ran(self.sim.handle(process, envelope_of(message), self._job_of(message)))

    @rule()
    def lose_the_queue(self) -> None:
        self.sim.queue.deliveries.clear()

    # --- time, and the sweep --------------------------------------------------------------------

    def _bustle(self, turns: int, trouble: float) -> None:
        """Let a while pass in which everything happens that may, as the simulation's dice say."""
        dice = self.sim.dice
        acts = [*WORK, *TROUBLE]
        weights = [*WORK.values(), *(trouble * weight for weight in TROUBLE.values())]
        for act in dice.choices(acts, weights, k=turns):
            act(self, dice)

    # A rule's weight is how often it stands here: without these most runs would come to nothing.
    calm = rule(turns=TURNS, trouble=st.just(0))(_bustle)
    busy = rule(turns=TURNS, trouble=st.just(1))(_bustle)
    brisk = rule(turns=TURNS, trouble=st.just(1))(_bustle)
    lively = rule(turns=TURNS, trouble=st.just(2))(_bustle)
    wild = rule(turns=TURNS, trouble=st.just(4))(_bustle)
    rough = rule(turns=TURNS, trouble=st.just(4))(_bustle)

    @rule(steps=st.integers(1, 200), faults=st.sampled_from([0, 0, 0, 0.05, 0.3]))
    def go_on(self, steps: int, faults: float) -> None:
        """Let tasks go on for a while, in an order that the simulation's dice say."""
        for _ in range(steps):
            if not (tasks := self.sim.runnable()):
                return
            self.go_on_with(self.sim.dice.choice(tasks), faults)

    def go_on_with(self, task: Task, faults: float, fault: str | None = None) -> None:
        is_unlucky = task.stop.is_a_call and self.sim.dice.random() < faults
        possible = FAULTS[task.stop.moment] if task.stop.is_a_call else ()
        chosen = self.sim.dice.choice([f for f in possible if f == fault] or possible) if is_unlucky else None
        self._step(task, chosen)

    @rule(
        site=st.sampled_from(SITES),
        moment=st.sampled_from(["before", "after"]),
        faults=st.sampled_from([0, 0.1]),
    )
    def go_on_and_kill(self, site: str, moment: str, faults: float) -> None:
        """Let tasks go on until one has come to a call of a port, and kill its process there."""
        others = set(self.sim.runnable())
        for lead in (lead for part, lead in LEADS if part in site):
            lead(self, self.sim.dice)
        fault = next((fault for part, fault in LED_TO_BY.items() if part in site), None)
        faults = max(faults, 0.3) if fault else faults
        for _ in range(300):
            if not (tasks := self.sim.runnable()):
                return
            led = [task for task in tasks if task not in others]
            task = self.sim.dice.choice(led if led and self.sim.dice.random() < 0.8 else tasks)
            if site in task.stop.sites and task.stop.moment == moment:
                self._kill(task.process)
                return
            self.go_on_with(task, faults, fault)

    def go_on_from(self, task: Task, kind: type[Exception] | None) -> None:
        """Let an inference end, perhaps by an error."""
        self._step(task, kind and kind("on purpose"))

    def run_those(self, *kinds: str) -> None:
        """Let every task of some kinds come to its end undisturbed."""
        self._run(lambda task: task.what in kinds)

    def _run(self, is_meant: Callable[[Task], bool] = lambda _task: True) -> list[Task]:
        """Let tasks come to their end undisturbed; return those that wait for slots which do not come."""
        while tasks := [task for task in self.sim.runnable() if is_meant(task)]:
            if going := [task for task in tasks if task.stop != WAITING]:
                self._step(self.sim.dice.choice(going))
                continue
            for task in tasks:
                self._step(task)
            if all(task.stop == WAITING and not task.is_over for task in tasks):
                return tasks
        return []

    def attempt(self, job_id: str) -> Task:
        """Push a job's message to a worker that is there for it alone."""
        data = messages.encode(messages.JobMessage(job_id=job_id, epoch=0))
        body = json.dumps(wrap(Envelope(message_id="a", data=data), published_at="")).encode()
        return self._ran(self.sim.handle(self.sim.process("worker"), body, (job_id, 0)))

    def bury_openly(self, body: bytes) -> None:
        self._ran(self.sim.post(self.sim.live("front")[0], "/internal/dead-letters", body))

    def any_failed(self, dice: Random) -> int:
        """The number of a job that has failed, if there is one."""
        failed = [n for n, j in enumerate(self.promises.accepted) if self.promises.job(j).status == "failed"]
        return dice.choice(failed or [0])

    @rule()
    def finish(self) -> None:
        """Let everything that has begun come to its end undisturbed."""
        self._run()

    @rule(span_s=st.sampled_from(SPANS_S))
    def turn_the_clock(self, span_s: int) -> None:
        """Let time pass in which nobody does anything, not even beat."""
        self.sim.clock.turn(seconds=span_s)
        self._kill_long_requests()

    def _kill_long_requests(self) -> None:
        limit = self.sim.clock.monotonic() - REQUESTS_LAST.total_seconds()
        for process in [
            p for p in self.sim.procs if p.kind == "api" and any(t.began < limit for t in p.tasks)
        ]:
            self._kill(process)

    @rule(beats=st.integers(1, 40))
    def let_time_pass(self, beats: int) -> None:
        """Let time pass in which whoever lives beats."""
        for _ in range(beats):
            self.sim.clock.turn(seconds=self.sim.pace.beat.total_seconds())
            self._kill_long_requests()
            for process in [p for p in self.sim.procs if not p.is_frozen]:
                self._beat_all(process)

    def _beat_all(self, process: Proc) -> None:
        for pulse in [p for p in process.pulses if not p.is_concluded]:
            task = self._ran(self.sim.beat(process, pulse))
            while not task.is_over:
                self._step(task)

    @rule(where=PICK, hours=st.sampled_from([-1, 1, 24]))
    def set_a_clock_wrong(self, where: int, hours: int) -> None:
        if self.sim.procs:
            self._pick(self.sim.procs, where).skew = timedelta(hours=hours)

    @rule(where=PICK)
    def sweep(self, where: int) -> None:
        self._guarded(lambda: self._ran(self.sim.sweep(self._pick(self.sim.live("api"), where))))

    @rule(which=PICK)
    def beat(self, which: int) -> None:
        if beating := self.beating():
            self.beat_once(*self._pick(beating, which))

    def beating(self) -> list[tuple[Proc, Pulse]]:
        """The pulses that may beat now; each has one thread."""
        idle = [p for p in self.sim.procs if not p.is_frozen and all(t.what != "beat" for t in p.tasks)]
        return [(p, pulse) for p in idle for pulse in p.pulses if not pulse.is_concluded]

    def beat_once(self, process: Proc, pulse: Pulse) -> Task:
        return self._ran(self.sim.beat(process, pulse))

    @rule(where=PICK)
    def warm_up(self, where: int) -> None:
        data = messages.encode(messages.WarmupMessage(window="w"))
        body = json.dumps(wrap(Envelope(message_id="w", data=data), published_at="")).encode()
        self._ran(self.sim.handle(self._pick(self.sim.live("worker"), where), body, None))

    # --- bad luck -------------------------------------------------------------------------------

    def kill_every_worker(self) -> None:
        for process in [p for p in self.sim.procs if p.kind == "worker"]:
            self._kill(process)

    @precondition(lambda self: self.sim.runnable())
    @rule(which=PICK)
    def kill(self, which: int) -> None:
        self._kill(self._pick(self.sim.runnable(), which).process)

    @precondition(lambda self: self.sim.runnable())
    @rule(which=PICK, what=PICK)
    def let_a_call_fail(self, which: int, what: int) -> None:
        task = self._pick(self.sim.runnable(), which)
        if task.stop.is_a_call:
            self._step(task, self._pick(FAULTS[task.stop.moment], what))

    @precondition(lambda self: any(t.stop.port == "model" for t in self.sim.runnable()))
    @rule(kind=st.sampled_from(FAULTS_OF_OURS))
    def let_an_inference_fail(self, kind: type[Exception]) -> None:
        self.go_on_from(next(t for t in self.sim.runnable() if t.stop.port == "model"), kind)

    @precondition(lambda self: self.sim.procs)
    @rule(where=PICK)
    def freeze_or_thaw(self, where: int) -> None:
        process = self._pick(self.sim.procs, where)
        process.is_frozen = not process.is_frozen

    @rule(where=PICK)
    def stop_a_worker(self, where: int) -> None:
        process = self._pick(self.sim.live("worker"), where)
        process.is_stopping = True
        services = self.sim.services(process)
        self._begin(process, "withdraw", lambda: withdraw(services))

    # --- and afterwards -------------------------------------------------------------------------

    def _let_everybody_finish(self) -> None:
        """End what is bad, turn the clock, and hold every promise against what became of it."""
        self.ended = self.sim.clock()
        for process in list(self.sim.procs):
            process.is_frozen = False
            if self.sim.dice.random() < 0.3:
                self._kill(process)
        self._finish_tasks()
        self.end_pause()
        if self.sim.dice.random() < 0.5:
            self.sim.queue.deliveries.clear()
        spans_s = [61] * 8 + [601] * (int(OPEN_AT_MOST.total_seconds()) // 600 + 20)
        for span_s in spans_s:
            if not self._unfinished():
                break
            self.sim.clock.turn(seconds=span_s)
            self.sweep(0)
            self._finish_tasks()
            for delivery in self.sim.queue.due():
                self._push(delivery, 0)
                self._finish_tasks()
        for job_id in self._accepted():
            self.promises.check_settled(job_id)
            self._require_a_reason(self.promises.job(job_id))
        self.check_replays()
        self.sweep_everything()

    def _finish_tasks(self) -> None:
        while self.sim.runnable() or self.sim.sleepers():
            stuck = self._run()
            is_held = not stuck or self.sim.sleepers()
            require(is_held, "I1", f"{[task.job for task in stuck]} wait for slots that nobody holds")
            for process in self.sim.procs:
                self._beat_all(process)
            if sleepers := self.sim.sleepers():
                self.sim.clock.turn(seconds=min(t.wakes for t in sleepers) - self.sim.clock.monotonic())
        for process in self.sim.procs:
            self._beat_all(process)

    def _accepted(self) -> list[str]:
        """The jobs that were promised, in that order."""
        return self.promises.accepted

    def _unfinished(self) -> list[str]:
        return [
            *(n for n in self.sim.names("open/") if n[5:].partition(".")[0] in self._accepted()),
            *self.sim.names("replaying/"),
        ]

    def _require_a_reason(self, job: Job) -> None:
        """A job fails only for what has really happened to it: a photo is at fault if it was overwritten.

        What its attempts are at fault for is looked at as it settles.
        """
        slug = (job.terminal.error or {}).get("slug")
        if job.terminal.status != "failed" or slug in COUNTED_ENDS.values():
            return
        # Publications grow rare: a message lost so late may not come again before the day is over.
        is_old = self.ended - job.history.began(job.worked) >= TOLD_AGAIN_WITHIN
        reasons = {"dead-lettered": job.id in self.buried or is_old}
        reasons["input-gone"] = job.accepted.photo.name in self.overwritten
        require(reasons.get(slug), "I1", f"{job.id} failed as {slug} without a reason")

    # --- one step -------------------------------------------------------------------------------

    def _pick(self, found: list[T], number: int) -> T:
        return found[number % len(found)]

    def _job_of(self, message: Published) -> tuple[str, int] | None:
        decoded = messages.decode(message.data)
        return (decoded.job_id, decoded.epoch) if isinstance(decoded, messages.JobMessage) else None

    def _begin(self, process: Proc, what: str, work: Callable[[], Any], **given: Any) -> None:
        self._guarded(lambda: self.sim.begin(process, what, work, **given))

    def _ran(self, task: Task) -> Task:
        self._look()
        return task

    def _step(self, task: Task, instruction: object = None) -> None:
        self._guarded(lambda: self.sim.step(task, instruction))

    def _kill(self, process: Proc) -> None:
        self._guarded(lambda: self.sim.kill(process))

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException:
            self.is_broken = True
            raise
        self._look()

    def _look(self) -> None:
        """Look at the records again if one has changed."""
        if self.sim.store.changes != self.seen:
            self.seen = self.sim.store.changes
            try:
                self.promises.check()
            except BaseException:
                self.is_broken = True
                raise
