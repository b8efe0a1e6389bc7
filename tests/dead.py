"""Jobs that have failed by no fault of their photo, and plans to replay them."""

from datetime import timedelta
from typing import Any

from shared import settling
from shared.errors import DeadLetteredError, PermanentError
from shared.ledger import Ledger
from shared.messages import JOBS, decode
from shared.records import Terminal
from shared.replay_progress import View
from shared.replaying import Driver
from shared.replays import Plan
from tests.world import World


def job_name(number: int) -> str:
    return f"job_{number:016d}"


def die(world: World, *numbers: int, error: type[PermanentError] = DeadLetteredError) -> list[str]:
    """Accept jobs, and let each fail as if no worker had been there for it."""
    names = [job_name(number) for number in numbers]
    for name in names:
        world.accept(job_id=name)
        fail(world, name, error=error)
    return names


def fail(world: World, job_id: str, epoch: int = 0, error: type[PermanentError] = DeadLetteredError) -> None:
    ledger = world.ledger()
    settling.settle(ledger, job_id, epoch, settling.failed(error("gone"), ledger, by="test"))


def cancel(world: World, job_id: str, epoch: int) -> None:
    """Do what a client does who no longer wants the job."""
    ended = Terminal(status="cancelled", at=world.clock(), settled_by="client")
    settling.settle(world.ledger(), job_id, epoch, ended)


def a_plan(world: World, names: list[str], **changes: Any) -> Plan:
    facts = {
        "id": "replay_20260101000000abcd",
        "created_at": world.clock(),
        "by": "ada",
        "reason": "the worker was down",
        "rate_per_s": 5.0,
        "canary": 1,
        "stop_above": 0.2,
        "selection": tuple((name, 0) for name in names),
    }
    return Plan(**{**facts, **changes})


def driver(world: World, by: str = "test", ledger: Ledger | None = None) -> Driver:
    return Driver(ledger=ledger or world.ledger(), by=by)


def push_all(world: World) -> int:
    """Deliver every message that was published, as often as it was."""
    published, world.queue.published[:] = list(world.queue.published), []
    messages = [decode(found.data) for found in published if found.topic == JOBS]
    for message in messages:
        world.deliver(job_id=message.job_id, epoch=message.epoch)
    return len(messages)


def drive(world: World, plan: Plan, *, works: bool = True, at_most: int = 500) -> View:
    """Advance a replay until it has ended, with a worker beside it that does what is published."""
    for _ in range(at_most):
        view = driver(world).advance(plan.id)
        if view.status != "running":
            return view
        if works:
            push_all(world)
        world.clock.turn(seconds=max(0.05, view.wait.total_seconds()))
    raise AssertionError(f"the replay has not ended: {view}")


def opened(world: World) -> list[str]:
    """Every job that is in its epoch 1."""
    return [name.split("/")[1] for name in world.names("jobs/") if name.endswith("/e1/opened.json")]


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)
