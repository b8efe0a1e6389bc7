"""A photo that kills or breaks the worker is given up after three tries; an outage never counts."""

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared.errors import OutOfMemoryError, StoreUnavailableError
from shared.pace import ONE_MACHINE
from tests.world import JOB, Killed, Process, World
from worker.beats import Pulse
from worker.handler import Outcome
from worker.services import Patience
from worker.slots import Slots


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.accept()
    return world


def die(world: World) -> None:
    """Deliver to a worker that the photo kills."""

    def kill() -> None:
        raise Killed

    world.model.during = kill
    with pytest.raises(Killed):
        world.deliver()
    world.model.during = None
    world.clock.turn(seconds=61)


def slug(world: World) -> str:
    return world.job().terminal.error["slug"]


def test_a_photo_that_kills_three_workers_is_poison(world: World) -> None:
    """Fault D9."""
    for _ in range(3):
        die(world)
    assert world.deliver() is Outcome.ACK
    assert slug(world) == "poison"
    assert world.model.calls == 3
    assert world.names("dead/") == [f"dead/2026-01-01/{JOB}.e0.json"]
    assert world.names("open/") == []


def test_two_deaths_are_not_the_end(world: World) -> None:
    die(world)
    die(world)
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("bug"), "internal-error"),
        (OutOfMemoryError("cuda"), "out-of-memory"),
        (MemoryError(), "out-of-memory"),
    ],
)
def test_a_fault_three_times_over_fails_the_job_with_its_slug(
    world: World, error: Exception, expected: str
) -> None:
    world.model.fail_with = error
    for _ in range(3):
        assert world.deliver() is Outcome.REFUSE
    assert world.deliver() is Outcome.ACK
    assert slug(world) == expected
    assert world.names("dead/")


def test_three_timeouts_are_a_timeout(world: World) -> None:
    world.model.during = lambda: world.clock.turn(seconds=481)
    for _ in range(3):
        assert world.deliver() is Outcome.REFUSE
    assert world.deliver() is Outcome.ACK
    assert slug(world) == "timeout"


def test_deaths_and_bugs_count_together_and_the_last_word_names_it(world: World) -> None:
    die(world)
    die(world)
    world.model.fail_with = ValueError("bug")
    assert world.deliver() is Outcome.REFUSE
    assert world.deliver() is Outcome.ACK
    assert slug(world) == "internal-error"


def test_an_outage_of_storage_never_counts(world: World) -> None:
    world.model.fail_with = StoreUnavailableError("away")
    for _ in range(10):
        assert world.deliver() is Outcome.REFUSE
    world.model.fail_with = None
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_an_outage_that_refuses_the_release_too_is_told_when_it_is_over(world: World) -> None:
    away: list[bool] = []

    def fail(_call: str) -> None:
        if away:
            raise StoreUnavailableError("away")

    for _ in range(4):
        process = Process(fail)
        world.model.during = lambda: away.append(True)
        assert world.deliver(world.services(process)) is Outcome.REFUSE
        away.clear()
        world.tick_pulses()
        world.clock.turn(seconds=61)
    world.model.during = None
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_nobody_gives_up_a_job_whose_claim_is_alive(world: World) -> None:
    die(world)
    die(world)

    def look_from_elsewhere() -> None:
        assert world.deliver() is Outcome.REFUSE
        world.sweep()
        assert world.job().terminal is None

    world.model.during = look_from_elsewhere
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_a_beat_keeps_a_long_attempt_alive(world: World) -> None:
    def work_long() -> None:
        for _ in range(8):
            world.clock.turn(seconds=15)
            world.tick_pulses()
            assert world.deliver() is Outcome.REFUSE

    world.model.during = work_long
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()
    assert world.job().terminal.attempt == 1


def test_a_beat_whose_answer_was_lost_goes_on(world: World) -> None:
    ledger = world.ledger()
    claim = ledger.claim(ledger.look(JOB, 0), {"worker": "a"})
    ledger.beat(claim)  # its answer is lost: the claim does not know the generation
    pulse = Pulse(ledger, claim)
    for _ in range(3):
        world.clock.turn(seconds=15)
        pulse.tick()
    assert world.ledger().look(JOB, 0).kind.value == "busy"


def test_a_pulse_notices_that_the_job_was_settled_elsewhere(world: World) -> None:
    ledger = world.ledger()
    pulse = Pulse(ledger, ledger.claim(ledger.look(JOB, 0), {"worker": "a"}))
    pulse.tick()
    assert not pulse.settled_elsewhere.is_set()
    world.cancel()
    pulse.tick()
    assert pulse.settled_elsewhere.is_set()


def test_a_job_whose_last_claim_died_runs_alone(tmp_path: Path) -> None:
    """It cannot take neighbours down twice."""
    world = World(tmp_path)
    world.accept()
    die(world)
    slots = Slots(2)
    neighbour = slots.take(alone=False, within_s=0)
    services = world.services(slots=slots, patience=Patience(for_a_slot_s=0))
    assert world.deliver(services) is Outcome.REFUSE
    neighbour.give_back()
    refused: list[bool] = []

    def try_a_neighbour() -> None:
        try:
            slots.take(alone=False, within_s=0).give_back()
        except Exception:  # noqa: BLE001 - any refusal will do
            refused.append(True)

    world.model.during = try_a_neighbour
    assert world.deliver(services) is Outcome.ACK
    assert refused == [True]
    slots.take(alone=True, within_s=0).give_back()


def lose_answer(call: str, part: str) -> None:
    if call == f"after store.create {part}":
        raise StoreUnavailableError("the answer was lost")


def test_a_claim_whose_answer_was_lost_is_given_back_and_never_counts(world: World) -> None:
    """Storage applied the write and did not say so: without care that would look like a death."""
    for number in range(1, 6):
        process = Process(lambda call, n=number: lose_answer(call, f"jobs/JOB/e0/claims/{n}.json"))
        assert world.deliver(world.services(process)) is Outcome.REFUSE
        world.tick_pulses()
        world.clock.turn(seconds=61)
    assert world.model.calls == 0
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_a_claim_in_doubt_that_was_never_written_is_forgotten(world: World) -> None:
    def fail(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/claims/1.json":
            raise StoreUnavailableError("away")

    assert world.deliver(world.services(Process(fail))) is Outcome.REFUSE
    for _ in range(5):
        world.tick_pulses()
    assert all(pulse.is_concluded for pulse in world.pulses)
    assert world.names(f"jobs/{JOB}/e0/claims/") == []


def test_a_claim_in_doubt_that_is_anothers_is_left_alone(world: World) -> None:
    def fail(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/claims/1.json":
            raise StoreUnavailableError("away")

    world.deliver(world.services(Process(fail)))
    world.claim(1)
    for _ in range(5):
        world.tick_pulses()
    assert world.names(f"jobs/{JOB}/e0/claims/") == [f"jobs/{JOB}/e0/claims/1.json"]


@pytest.mark.parametrize("damage", [b"not json", b"", b"[" * 100_000], ids=["text", "nothing", "too deep"])
def test_a_release_that_cannot_be_read_does_not_keep_the_job_open(world: World, damage: bytes) -> None:
    world.claim(1)
    world.store.create(f"jobs/{JOB}/e0/claims/1.released.json", damage)
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def test_a_zombie_that_beats_again_still_counts_once_it_is_over(world: World) -> None:
    for number in (1, 2, 3):
        world.claim(number)
    world.clock.turn(seconds=61)
    world.put(f"jobs/{JOB}/e0/claims/1.beat")
    assert world.deliver() is Outcome.REFUSE
    world.clock.turn(seconds=61)
    assert world.deliver() is Outcome.ACK
    assert slug(world) == "poison"
    assert world.model.calls == 0


@pytest.mark.parametrize("reason", ["timeout", "out-of-memory"])
def test_after_a_timeout_or_a_lack_of_memory_the_next_attempt_runs_alone(world: World, reason: str) -> None:
    world.claim(1, reason=reason)
    assert world.ledger().look(JOB, 0).must_run_alone
    for number, harmless in enumerate(["shutdown", "busy"], start=2):
        world.claim(number, reason=harmless)
        assert not world.ledger().look(JOB, 0).must_run_alone


def test_a_pulse_survives_a_fault_of_ours(world: World) -> None:
    ledger = world.ledger()
    pulse = Pulse(ledger, ledger.claim(ledger.look(JOB, 0), {"worker": "a"}))
    world.store.delete(f"jobs/{JOB}/e0/claims/1.beat")
    broken, pulse.ledger = pulse.ledger, None
    pulse._tick_whatever_happens()
    pulse.ledger = broken
    pulse._tick_whatever_happens()
    assert f"jobs/{JOB}/e0/claims/1.beat" in world.names()


def test_a_started_pulse_beats_by_itself(tmp_path: Path) -> None:
    world = World(tmp_path, pace=replace(ONE_MACHINE, beat=timedelta(milliseconds=5)))
    world.accept()
    seen: list[bool] = []

    def wait_for_a_beat() -> None:
        until = time.monotonic() + 10
        while f"jobs/{JOB}/e0/claims/1.beat" not in world.names() and time.monotonic() < until:
            time.sleep(0.005)
        seen.append(f"jobs/{JOB}/e0/claims/1.beat" in world.names())

    world.model.during = wait_for_a_beat
    assert world.deliver(world.services(start_pulse=Pulse.start)) is Outcome.ACK
    assert seen == [True]
