"""What the callers of the store do, each a step that they take again until they are content (G1).

A step returns whether its caller is content; one that is not, or that met an outage, is taken again later:
a delivery by the queue, a request by its client or operator, a sweep and a turn of the broom by the next one.
"""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from shared import uploads
from shared.broom import Broom
from shared.jobs import Claim
from shared.messages import decode
from shared.replays import Plan
from shared.sweep import Sweep
from tests.chaos.turned import Turned
from tests.dead import a_plan, driver, job_name
from tests.promises import require
from tests.world import JOB
from worker.beats import Pulse
from worker.handler import Outcome

Step = Callable[[Turned], object]

#: A plan is the same whenever it is asked for.
_PLANNED_AT = datetime(2026, 1, 1, tzinfo=UTC)
#: Of a claim that nobody knows to be written.
TOKEN = "0123456789abcdef"
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


def deliver_one_whose_beat_is_there(world: Turned) -> bool:
    """Let an earlier beat have been written, though its answer was lost."""

    def beat() -> None:
        name = world.pulses[-1].claim.name("beat")
        if name not in world.left(name):
            world.lay(name, b"{}")
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
    return lambda world: answered(world, method, url, answers=answers, **request) is not None


def answered(world: Turned, method: str, url: str, *, answers: int, **request: Any) -> Any | None:
    """Return what the API answers, or ``None`` if it asks to try again, which is all else it may say."""
    answer = world.ask(method, url, **request)
    require(answer.status_code in {answers, 503}, "G1", f"{answer.status_code} to {method} {url}")
    if answer.status_code == answers:
        return answer
    is_problem = answer.content_type == "application/problem+json" and answer.json["slug"] == "try-again"
    require(is_problem, "G1", f"{answer.data!r:.200} to {method} {url}")
    require(answer.headers.get("Retry-After"), "G1", f"no Retry-After to {method} {url}")
    return None


def sweep(world: Turned) -> bool:
    """Sweep; it has a minute, of which it drives replays for most."""
    waited_s = world.longest_s
    is_done = answered(world, "POST", "/internal/sweep", answers=200) is not None
    world.longest_s = waited_s
    return is_done


def swept_until(is_so: Callable[[Turned], bool]) -> Step:
    return lambda world: sweep(world) and is_so(world)


def broomed_until(is_so: Callable[[Turned], bool]) -> Step:
    def brush(world: Turned) -> bool:
        Broom(
            ledger=world.ledger(world.process),
            retention=timedelta(days=400),
            monotonic=world.clock.monotonic,
        ).sweep(_PART)
        if is_done := is_so(world):
            return is_done
        world.clock.turn(minutes=66)
        return False

    return brush


def broomed_until_gone(*prefixes: str) -> Step:
    return broomed_until(lambda world: not any(map(world.left, prefixes)))


def submit_upload(world: Turned) -> bool:
    name = world.noted.get("upload") or world.left(uploads.PREFIX)[0]
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
        Sweep(ledger=world.ledger(world.process), monotonic=world.clock.monotonic).run()
    return not is_owed


def cancel_replay_in_a_batch(world: Turned) -> bool:
    """Cancel it when its batch is begun and not on record as done."""
    driver(world, ledger=world.ledger(world.process)).cancel(_plan(world).id, "ada", "no")
    return not world.left("replaying/")


def _plan(world: Turned) -> Plan:
    return a_plan(world, [job_name(0), job_name(1)], created_at=_PLANNED_AT)


def find_own_claim(world: Turned) -> bool:
    """Look for a claim whose writing was in doubt, as its pulse does."""
    if not world.pulses:
        pulse = Pulse(world.ledger(world.process), Claim(job_id=JOB, epoch=0, number=1, token=TOKEN))
        pulse.doubt()
        world.pulses.append(pulse)
    world.pulses[-1].tick()
    return world.pulses[-1].is_concluded


def submit_over_http(world: Turned) -> bool:
    """Submit a photo with a key and for an engine, as often as it takes."""
    form = {"image": (io.BytesIO(world.photo), "photo.jpg"), "engine": "grabcut"}
    answer = answered(
        world,
        "POST",
        "/v1/jobs",
        answers=202,
        data=form,
        headers={"Idempotency-Key": "k"},
        content_type="multipart/form-data",
    )
    if answer is not None:
        job_id = world.noted.setdefault("job", answer.json["id"])
        require(job_id == answer.json["id"], "I1", f"one key, and jobs {job_id} and {answer.json['id']}")
        require(world.left(f"jobs/{job_id}/accepted"), "I1", "202, and no promise on record")
    return answer is not None


def cancel_it(world: Turned) -> bool:
    return asked("POST", f"/v1/jobs/{world.noted['job']}/cancel", answers=200)(world)


def begin_replay(world: Turned) -> bool:
    driver(world, ledger=world.ledger(world.process)).begin(_plan(world))
    return True


def begin_to_drive_replay(world: Turned) -> bool:
    """Let its first batch be opened."""
    driver(world, ledger=world.ledger(world.process)).advance(_plan(world).id)
    return True


def drive_replay(world: Turned) -> bool:
    """Take its steps and deliver what it publishes, until it has ended or the store is away."""
    for _ in range(100):
        view = driver(world, ledger=world.ledger(world.process)).advance(_plan(world).id)
        if view.status != "running":
            require(view.status == "done", "G1", f"the replay is {view.status}")
            return True
        deliver_published(world)
        world.clock.turn(seconds=max(0.05, view.wait.total_seconds()))
    return False


def sweep_replay(world: Turned) -> bool:
    """Drive it as the sweep does, though not for as long, and deliver what it publishes."""
    ledger = world.ledger(world.process)
    driver(world, "sweep", ledger).drive_all(timedelta(seconds=5), world.clock.monotonic)
    deliver_published(world)
    return True


def sweep_replay_to_its_end(world: Turned) -> bool:
    return sweep_replay(world) and not world.left("replaying/")
