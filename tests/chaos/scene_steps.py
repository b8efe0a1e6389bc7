"""What the callers of the store do, each a step that they take again until they are content (G1).

A step returns whether its caller is content; one that is not, or that met an outage, is taken again later:
a delivery by the queue, a request by its client or operator, a sweep and a turn of the broom by the next one.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from shared import uploads
from shared.broom import Broom
from shared.messages import decode
from shared.replays import Plan
from tests.chaos.turned import Turned
from tests.dead import a_plan, driver, job_name
from tests.promises import require
from tests.world import JOB
from worker.handler import Outcome

Step = Callable[[Turned], object]

#: A plan is the same whenever it is asked for.
_PLANNED_AT = datetime(2026, 1, 1, tzinfo=UTC)
_PART = JOB.removeprefix("job_")[:2]


def submit(world: Turned) -> bool:
    world.accept(world.process)
    return True


def deliver(world: Turned, during: Callable[[], None] | None = None) -> bool:
    world.model.during = during
    return world.deliver(world.services(world.process)) is Outcome.ACK


def deliver_a_long_one(world: Turned) -> bool:
    def beat() -> None:
        for _ in range(3):
            world.clock.turn(seconds=15)
            world.pulses[-1].tick()

    return deliver(world, beat)


def deliver_one_that_is_cancelled(world: Turned) -> bool:
    return deliver(world, world.cancel)


def deliver_and_stop(world: Turned) -> bool:
    """Send SIGTERM in the middle, once; the delivery is refused and comes again."""
    stopping: list[bool] = []
    world.model.during = partial(stopping.append, True)
    return world.deliver(world.services(world.process, is_stopping=lambda: bool(stopping))) in Outcome


def asked(method: str, url: str, *, answers: int, **request: Any) -> Step:
    """Return a step of the API that goes on until it has answered so."""

    def ask(world: Turned) -> bool:
        answer = world.client.open(url, method=method, **request)
        require(answer.status_code in {answers, 503}, "G1", f"{answer.status_code} to {method} {url}")
        return answer.status_code == answers

    return ask


SWEEP = asked("POST", "/internal/sweep", answers=200)


def swept_until(is_so: Callable[[Turned], bool]) -> Step:
    return lambda world: SWEEP(world) and is_so(world)


def broomed_until_gone(*prefixes: str) -> Step:
    def sweep(world: Turned) -> bool:
        Broom(
            ledger=world.ledger(world.process),
            retention=timedelta(days=400),
            monotonic=world.clock.monotonic,
        ).sweep(_PART)
        if is_done := not any(map(world.left, prefixes)):
            return is_done
        world.clock.turn(minutes=66)
        return False

    return sweep


def submit_upload(world: Turned) -> bool:
    (name,) = world.left(uploads.PREFIX)
    body = {"upload_id": uploads.parse_record_name(name)}
    ask = asked("POST", "/v1/jobs", answers=202, json=body, headers={"Idempotency-Key": "k"})
    return bool(ask(world))


def deliver_published(world: Turned) -> bool:
    """Deliver what is published; what is refused comes again, what is owed the sweep publishes."""
    for message in list(world.queue.published):
        about = decode(message.data)
        if (
            world.deliver(world.services(world.process), job_id=about.job_id, epoch=about.epoch)
            is Outcome.ACK
        ):
            world.queue.published.remove(message)
    if is_owed := bool(world.left("open/")):
        SWEEP(world)
    return not is_owed


def _plan(world: Turned) -> Plan:
    return a_plan(world, [job_name(0), job_name(1)], created_at=_PLANNED_AT)


def begin_replay(world: Turned) -> bool:
    driver(world, ledger=world.ledger(world.process)).begin(_plan(world))
    return True


def drive_replay(world: Turned) -> bool:
    """Take its steps and deliver what it publishes, until it has ended or the store is away."""
    for _ in range(100):
        view = driver(world, ledger=world.ledger(world.process)).advance(_plan(world).id)
        if view.status != "running":
            require(view.status == "done", "G1", f"the replay is {view.status}")
            return True
        SWEEP(world)
        deliver_published(world)
        world.clock.turn(seconds=max(0.05, view.wait.total_seconds()))
    return False
