"""What the worker answers to a delivery: refused, nothing was lost; acknowledged, nothing is owed."""

import base64
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import (
    InternalError,
    NoSubjectError,
    OutOfMemoryError,
    QueueUnavailableError,
    ShuttingDownError,
    StoreUnavailableError,
)
from shared.ports import Blob
from shared.recipes import Recipe
from tests.world import JOB, Process, World, push_body
from worker.handler import Outcome, handle
from worker.model_gate import ModelGate
from worker.services import Patience
from worker.slots import Slot, Slots


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.accept()
    return world


def released(world: World) -> list[str]:
    names = [name for name in world.names(f"jobs/{JOB}/e0/claims/") if name.endswith(".released.json")]
    return [json.loads(world.store.read(name).data)["reason"] for name in names]


UNREADABLE = {
    "nothing": b"",
    "not json": b"{",
    "a list": b"[]",
    "no message": b"{}",
    "bad base64": b'{"message": {"data": "%%%"}}',
    "data is no string": b'{"message": {"data": 7}}',
    "not a job message": json.dumps({"message": {"data": base64.b64encode(b"hello").decode()}}).encode(),
    "no job": json.dumps({"message": {"data": base64.b64encode(b'{"version": 1}').decode()}}).encode(),
    "a path for a job": json.dumps(
        {"message": {"data": base64.b64encode(b'{"version": 1, "job_id": "job_../../x"}').decode()}}
    ).encode(),
    "a version from far away": json.dumps(
        {"message": {"data": base64.b64encode(b'{"version": 9, "job_id": "job_a"}').decode()}}
    ).encode(),
    "deeply nested": b"[" * 100_000,
    "ten megabytes": json.dumps({"message": {"data": "A" * 10_000_000}}).encode(),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_message_nobody_can_read_is_not_asked_for_again(world: World, body: bytes, caplog) -> None:
    before = world.names()
    assert handle(body, world.services()) is Outcome.ACK
    assert world.names() == before
    (event,) = [r for r in caplog.records if r.getMessage() == "message.unreadable"]
    assert event.levelno == logging.ERROR
    assert len(event.body) <= 2048


def test_no_such_job_is_acknowledged_and_logged(world: World, caplog) -> None:
    before = world.names()
    assert world.deliver(job_id="job_nobody") is Outcome.ACK
    assert world.names() == before
    assert "delivery.unknown_job" in caplog.messages


def test_while_the_model_loads_nothing_is_recorded(world: World) -> None:
    before = world.names()
    services = world.services(gate=ModelGate(), patience=Patience(for_a_slot_s=0))
    assert world.deliver(services) is Outcome.REFUSE
    assert world.names() == before


def test_while_all_slots_are_busy_nothing_is_recorded(world: World) -> None:
    before, slots = world.names(), Slots(2)
    taken = [slots.take(alone=False, within_s=0) for _ in range(2)]
    services = world.services(slots=slots, patience=Patience(for_a_slot_s=0))
    assert world.deliver(services) is Outcome.REFUSE
    assert world.names() == before
    taken[0].give_back()
    assert world.deliver(services) is Outcome.ACK


def test_a_settled_job_needs_neither_slot_nor_model(world: World) -> None:
    world.deliver()
    services = world.services(gate=ModelGate(), patience=Patience(for_a_slot_s=0))
    assert world.deliver(services) is Outcome.ACK


AWAY = {
    "storage": (StoreUnavailableError("away"), "storage"),
    "queue": (QueueUnavailableError("away"), "queue"),
    "shutdown": (ShuttingDownError("stop"), "shutdown"),
    "gpu memory": (OutOfMemoryError("cuda"), "out-of-memory"),
    "memory": (MemoryError(), "out-of-memory"),
    "a bug": (ZeroDivisionError("oops"), "bug"),
    "a bug that we name": (InternalError("oops"), "bug"),
}


@pytest.mark.parametrize(("error", "reason"), AWAY.values(), ids=AWAY.keys())
def test_a_fault_of_ours_gives_the_claim_back_saying_why(world: World, error: Exception, reason: str) -> None:
    world.model.fail_with = error
    assert world.deliver() is Outcome.REFUSE
    assert released(world) == [reason]
    assert world.job().status == "processing"
    world.model.fail_with = None
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_a_bug_leaves_a_traceback_in_the_log(world: World, caplog) -> None:
    """Field report 17: exceptions swallowed."""
    world.model.fail_with = ZeroDivisionError("oops")
    world.deliver()
    (event,) = [r for r in caplog.records if r.getMessage() == "attempt.failed"]
    assert event.exc_info is not None
    assert "oops" in str(event.exc_info[1])


def test_a_photo_at_fault_fails_for_good_and_is_no_dead_letter(world: World) -> None:
    world.model.fail_with = NoSubjectError("Nothing stands out.")
    assert world.deliver() is Outcome.ACK
    job = world.job()
    assert (job.status, job.terminal.error["slug"]) == ("failed", "no-subject")
    assert world.names("dead/") == []
    assert world.names("open/") == []
    assert world.deliver() is Outcome.ACK
    assert world.model.calls == 1


def test_a_photo_that_is_gone_fails_the_job(world: World) -> None:
    (name,) = world.names("inputs/")
    world.store.delete(name)
    assert world.deliver() is Outcome.ACK
    assert world.job().terminal.error["slug"] == "input-gone"


def test_a_photo_that_was_replaced_is_not_processed(world: World) -> None:
    (name,) = world.names("inputs/")
    world.store.replace(name, b"another photo", generation=world.store.stat(name).generation)
    assert world.deliver() is Outcome.ACK
    assert world.job().terminal.error["slug"] == "input-gone"


def test_a_photo_that_was_damaged_on_its_way_is_read_again_by_the_next_delivery(world: World) -> None:
    """The photo is not at fault: its job must not fail for what a network did."""
    read = world.store.read

    def damaged(name: str) -> Blob:
        blob = read(name)
        return replace(blob, data=blob.data[:-1] + b"?") if name.startswith("inputs/") else blob

    world.store.read = damaged
    assert world.deliver() is Outcome.REFUSE
    assert world.model.calls == 0
    del world.store.read
    assert released(world) == ["storage"]
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_truncated_pixels_fail_the_job(tmp_path: Path) -> None:
    """Field report 14: corrupt upload answered 500 with Python text."""
    world = World(tmp_path)
    world.photo = world.photo[: len(world.photo) // 2]
    world.accept()
    assert world.deliver() is Outcome.ACK
    error = world.job().terminal.error
    assert error["slug"] == "image-corrupt"
    assert "Traceback" not in error["detail"]


def test_an_engine_that_is_not_deployed_fails_the_job(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.accept(recipe=Recipe(engine="another"))
    assert world.deliver() is Outcome.ACK
    assert world.job().terminal.error["slug"] == "engine-unavailable"


def test_an_attempt_past_its_deadline_is_given_back(world: World) -> None:
    world.model.during = lambda: world.clock.turn(seconds=481)
    assert world.deliver() is Outcome.REFUSE
    assert released(world) == ["timeout"]
    assert world.names("results/") == []


def test_a_deadline_between_two_results_leaves_none_of_them(world: World) -> None:
    def turn(call: str) -> None:
        if call == "after store.create results/JOB/e0/1/color":
            world.clock.turn(seconds=481)

    assert world.deliver(world.services(Process(turn))) is Outcome.REFUSE
    assert released(world) == ["timeout"]
    assert world.names("results/") == []


def test_a_claim_that_storage_refused_gives_its_slot_back(world: World) -> None:
    def fail(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/claims/1.json":
            raise StoreUnavailableError("away")

    services = world.services(Process(fail), patience=Patience(for_a_slot_s=0))
    assert world.deliver(services) is Outcome.REFUSE
    services.slots.take(alone=True, within_s=0).give_back()


def test_a_job_whose_attempt_died_while_this_one_waited_comes_again_to_run_alone(world: World) -> None:
    class Slow(Slots):
        def take(self, *, alone: bool, within_s: float) -> Slot:
            if not alone:
                world.claim(1)
                world.clock.turn(seconds=61)
            return super().take(alone=alone, within_s=within_s)

    services = world.services(slots=Slow(1))
    assert world.deliver(services) is Outcome.REFUSE
    assert world.model.calls == 0
    assert world.deliver(services) is Outcome.ACK
    world.assert_succeeded()
    assert world.ends_of_claims() == ["silent"]


def test_an_attempt_that_never_begins_gives_claim_and_slot_back(world: World) -> None:
    """The worker was told to stop just then."""

    def refuse(_work: object, *, until: float) -> None:  # noqa: ARG001 - a runner's
        raise ShuttingDownError("stop")

    services = world.services(run=refuse)
    assert world.deliver(services) is Outcome.REFUSE
    assert released(world) == ["shutdown"]
    services.slots.take(alone=True, within_s=0).give_back()


def test_a_worker_that_stops_gives_its_claim_back(world: World) -> None:
    stopping: list[bool] = []
    world.model.during = lambda: stopping.append(True)
    services = world.services(is_stopping=lambda: bool(stopping))
    assert world.deliver(services) is Outcome.REFUSE
    assert released(world) == ["shutdown"]
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_storage_that_fails_at_any_call_loses_nothing(tmp_path: Path) -> None:
    """Every store call of a delivery fails once; the next delivery makes it good, and none of it counts."""
    seen: list[str] = []
    world = World(tmp_path)
    world.accept()
    world.deliver(world.services(Process(seen.append)))
    for moment, call in enumerate(seen):
        if " store." not in call:
            continue
        world = World(tmp_path)
        world.accept()
        count = iter(range(10_000))

        def fail(_call: str, moment: int = moment, count=count) -> None:
            if next(count) == moment:
                raise StoreUnavailableError("away")

        world.deliver(world.services(Process(fail)))
        world.tick_pulses()
        world.clock.turn(seconds=61)
        assert world.deliver() is Outcome.ACK, call
        world.clock.turn(seconds=61)
        world.sweep()
        world.assert_succeeded()
        counted = {"silent", "bug", "timeout", "out-of-memory"}
        assert not counted & set(world.ends_of_claims()), call


def test_a_warm_up_is_answered_when_the_model_is_ready(world: World) -> None:
    data = base64.b64encode(b'{"version": 1, "type": "warmup", "window": "5"}').decode()
    body = json.dumps({"message": {"data": data, "messageId": "w"}}).encode()
    cold = world.services(gate=ModelGate(), patience=Patience(for_a_slot_s=0))
    assert handle(body, cold) is Outcome.REFUSE
    assert world.names("workers/") == []
    for _ in range(2):
        assert handle(body, world.services()) is Outcome.ACK
    assert world.names("workers/") == ["workers/worker-1.json"]


def test_nothing_of_the_delivery_itself_decides(world: World) -> None:
    """``deliveryAttempt`` is approximate and absent in the emulator."""
    assert handle(push_body(deliveryAttempt=99), world.services()) is Outcome.ACK
    world.assert_succeeded()
