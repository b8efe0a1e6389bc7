"""A job is given up for what is on record: who was silent too long cannot change that by speaking late."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ops.story import tell
from shared import records, settling
from shared.errors import InputGoneError
from shared.history import Release
from shared.jobs import Claim, Kind
from shared.sweep import Sweep
from tests.api_world import ApiWorld
from tests.promises import Promises
from tests.test_story import line_with, records_of
from tests.world import JOB, Killed, Process, kill_at, once_at, push_body
from worker.beats import Pulse
from worker.handler import Outcome

#: Who gives a job up, each over ports that tell a process of every call.
GIVERS: dict[str, Callable[[ApiWorld, Process], object]] = {
    "delivery": lambda world, process: world.deliver(world.services(process)),
    "sweep": lambda world, process: Sweep(
        ledger=world.ledger(process), monotonic=world.clock.monotonic
    ).run(),
    "dead letter": lambda world, process: world.api(process).post("/internal/dead-letters", data=push_body()),
}
#: How three attempts ended, the last word on them, and the slug that follows; ``None`` fell silent.
LATE: dict[str, tuple[tuple[str | None, ...], Release]] = {
    "the last, by an outage": (("out-of-memory", "out-of-memory", None), Release.STORAGE),
    "the first, by an outage": ((None, "timeout", "out-of-memory"), Release.STORAGE),
    "the second, stopped": (("timeout", None, "timeout"), Release.SHUTDOWN),
    "one of many, by an outage": ((None, None, None), Release.STORAGE),
    "one of many, by a bug": ((None, None, None), Release.BUG),
}


@pytest.fixture(params=GIVERS)
def give_up(request) -> Callable[[ApiWorld, Process], object]:
    return GIVERS[request.param]


def used_up(tmp: Path, ends: tuple[str | None, ...]) -> ApiWorld:
    """Return a world with a job whose attempts have ended so, each silent for too long or given back."""
    world = ApiWorld(tmp)
    world.accept()
    for number, end in enumerate(ends, 1):
        world.claim(number, **({"reason": end} if end else {}))
        world.clock.turn(seconds=61)
    return world


def speak(world: ApiWorld, ends: tuple[str | None, ...], word: Release) -> None:
    """Let the attempt that fell silent first give its claim back after all."""
    number = ends.index(None) + 1
    world.ledger().release(Claim(job_id=JOB, epoch=0, number=number), word, "It was only slow.")


def begin_a_fourth(world: ApiWorld, ends: tuple[str | None, ...]) -> None:
    """Let the silent attempt tell of an outage, and another begin if the job is free for it."""
    speak(world, ends, Release.STORAGE)
    standing = world.ledger().look(JOB, 0)
    if standing.kind is Kind.FREE:
        world.ledger().claim(standing, {"worker": "elsewhere"})


def calls_of(give_up: Callable[[ApiWorld, Process], object], world: ApiWorld) -> int:
    seen: list[str] = []
    give_up(world, Process(seen.append))
    return len(seen)


def require_evidence(world: ApiWorld) -> None:
    """Hold the job against its records, and bring it to its end if it is open."""
    if world.job().terminal is None:
        world.deliver()
        world.deliver()
    assert world.job().terminal is not None
    promises = Promises(world.ledger())
    promises.check()
    promises.check_settled(JOB)


@pytest.mark.parametrize("late", LATE)
def test_whenever_a_silent_attempt_speaks_the_verdict_is_that_of_the_records(
    tmp_path: Path, give_up: Callable[[ApiWorld, Process], object], late: str
) -> None:
    ends, word = LATE[late]
    seen: set[str] = set()
    for moment in range(calls_of(give_up, used_up(tmp_path, ends))):
        world = used_up(tmp_path, ends)
        give_up(world, Process(once_at(moment, lambda w=world: speak(w, ends, word))))
        require_evidence(world)
        seen.add(world.job().status)
    assert "failed" in seen, "it was too late for it at some moment"
    assert ("succeeded" in seen) == (word is not Release.BUG), "it was in time at another"


@pytest.mark.parametrize("late", LATE)
def test_whoever_dies_while_giving_up_another_does_it(
    tmp_path: Path, give_up: Callable[[ApiWorld, Process], object], late: str
) -> None:
    ends, _ = LATE[late]
    expected = used_up(tmp_path, ends)
    for moment in range(calls_of(give_up, expected)):
        world = used_up(tmp_path, ends)
        with pytest.raises(Killed):
            give_up(world, Process(kill_at(moment)))
        assert world.deliver() is Outcome.ACK
        world.sweep()
        assert world.job().terminal.error["slug"] == expected.job().terminal.error["slug"]
        require_evidence(world)


def test_nobody_gives_a_job_up_over_the_head_of_an_attempt_that_has_begun_meanwhile(
    tmp_path: Path, give_up: Callable[[ApiWorld, Process], object]
) -> None:
    ends = ("out-of-memory", "out-of-memory", None)
    begun = 0
    for moment in range(1, calls_of(give_up, used_up(tmp_path, ends))):
        world = used_up(tmp_path, ends)
        give_up(world, Process(once_at(moment, lambda w=world: begin_a_fourth(w, ends))))
        is_at_work = len(world.job().worked.claims) == 4
        assert (world.job().terminal is None) == is_at_work, f"at call {moment}"
        begun += is_at_work
    assert begun, "it was in time at some moment"


def test_the_last_word_is_the_last_attempt_s_however_many_there_were(
    tmp_path: Path, give_up: Callable[[ApiWorld, Process], object]
) -> None:
    """By name, the tenth attempt stands before the second."""
    ends = ("busy", "out-of-memory", *("storage",) * 12, "out-of-memory", "timeout")
    world = used_up(tmp_path, ends)
    give_up(world, Process())
    assert world.job().terminal.error["slug"] == "timeout"
    require_evidence(world)


def test_an_attempt_that_was_given_up_for_silent_may_win_all_the_same(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path)
    world.accept()
    for number in (1, 2):
        world.claim(number, reason="out-of-memory")

    def be_silent() -> None:
        world.clock.turn(seconds=61)
        with pytest.raises(Killed):
            world.deliver(world.services(Process(die_before_the_verdict)))

    def die_before_the_verdict(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/terminal.json":
            raise Killed

    world.model.during = be_silent
    assert world.deliver() is Outcome.ACK
    assert f"jobs/{JOB}/e0/claims/3.released.json" in world.names()
    world.assert_succeeded()


def test_nobody_gives_a_job_up_while_an_attempt_that_was_taken_for_dead_is_at_work_again(
    tmp_path: Path, give_up: Callable[[ApiWorld, Process], object]
) -> None:
    """The first attempt was frozen, and others that came after it have failed."""
    world = ApiWorld(tmp_path)
    world.accept()

    def come_back() -> None:
        world.clock.turn(seconds=61)
        for number in (2, 3):
            world.claim(number, reason="out-of-memory")
            world.clock.turn(seconds=61)
        world.tick_pulses()
        give_up(world, Process())
        require_waited_for(world, 1)

    world.model.during = come_back
    assert world.deliver() is Outcome.ACK
    assert f"jobs/{JOB}/e0/claims/1.released.json" not in world.names()
    world.assert_succeeded()


def test_nobody_gives_a_job_up_while_an_attempt_that_is_silent_on_record_is_at_work_again(
    tmp_path: Path, give_up: Callable[[ApiWorld, Process], object]
) -> None:
    """It comes back just before its silence is put on record, and goes on for a while."""
    world = used_up(tmp_path, ("out-of-memory", "out-of-memory", None))
    pulse = Pulse(world.ledger(), Claim(job_id=JOB, epoch=0, number=3))

    def come_back(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/claims/3.released.json":
            pulse.tick()

    give_up(world, Process(come_back))
    for _ in range(3):
        require_waited_for(world, 3)
        give_up(world, Process())
        world.clock.turn(seconds=15)
        pulse.tick()
    world.clock.turn(seconds=61)
    assert world.deliver() is Outcome.ACK
    assert world.job().terminal.error["slug"] == "out-of-memory"
    require_evidence(world)


@pytest.mark.parametrize("giver", ["sweep", "dead letter"])
def test_no_job_is_dead_lettered_while_an_attempt_that_was_taken_for_dead_is_at_work_again(
    tmp_path: Path, giver: str
) -> None:
    """The first attempt was frozen, and the second given back; the queue has given up, or a day is over."""
    world = ApiWorld(tmp_path)
    world.accept()
    world.clock.turn(hours=24)

    def come_back() -> None:
        world.clock.turn(seconds=61)
        world.claim(2, reason="storage")
        world.clock.turn(seconds=61)
        world.tick_pulses()
        GIVERS[giver](world, Process())
        assert world.job().terminal is None

    world.model.during = come_back
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def require_waited_for(world: ApiWorld, number: int) -> None:
    assert world.job().terminal is None
    assert world.ledger().look(JOB, 0).kind is Kind.BUSY
    moral = tell(records_of(world))[-1]
    assert f"attempt {number}, which was taken for dead, gave a sign " in moral


def test_after_a_silence_that_did_not_use_the_job_up_the_next_attempt_runs_alone(tmp_path: Path) -> None:
    """The second attempt speaks just before its silence is put on record, and just after the third's was."""
    ends = ("out-of-memory", None, None)
    world = used_up(tmp_path, ends)

    def speak_first(call: str) -> None:
        if call == "before store.create jobs/JOB/e0/claims/2.released.json":
            speak(world, ends, Release.STORAGE)

    Sweep(ledger=world.ledger(Process(speak_first)), monotonic=world.clock.monotonic).run()
    standing = world.ledger().look(JOB, 0)
    assert dict(standing.reasons) == {1: "out-of-memory", 2: "storage", 3: "silent"}
    assert (standing.kind, standing.must_run_alone) == (Kind.FREE, True)


def test_what_a_silent_attempt_stores_after_the_verdict_goes_with_the_next_delivery(tmp_path: Path) -> None:
    world = used_up(tmp_path, (None, None, None))
    world.deliver(world.services(Process(lambda _call: world.clock.turn(seconds=0.01))))
    assert world.job().terminal.error["slug"] == "poison"
    world.store.create(f"{records.results_prefix(JOB, 0, 3)}matte", b"late")
    assert world.deliver() is Outcome.ACK
    assert world.names("results/") == []


def test_the_story_of_a_job_that_was_given_up_shows_what_counted(
    tmp_path: Path, give_up: Callable[[ApiWorld, Process], object]
) -> None:
    ends = ("out-of-memory", None, None)
    world = used_up(tmp_path, ends)
    give_up(world, Process())
    speak(world, ends, Release.STORAGE)
    lines = tell(records_of(world))
    assert "out-of-memory (counts)" in line_with(lines, "attempt 1 gave the job back")
    for number in (2, 3):
        line_with(lines, f"attempt {number}: no beat at all, then silence: its worker died")
        assert "(counts)" in line_with(lines, f"attempt {number} was taken for dead")
    assert "storage" not in "\n".join(lines)
    assert "[out-of-memory]" in line_with(lines, "settled: failed by")


def test_the_story_does_not_call_dead_who_gave_a_sign_after_it_was_taken_for_that(
    tmp_path: Path, give_up: Callable[[ApiWorld, Process], object]
) -> None:
    world = used_up(tmp_path, ("out-of-memory", "out-of-memory", None))
    give_up(world, Process())
    world.clock.turn(seconds=9)
    world.ledger().beat(Claim(job_id=JOB, epoch=0, number=3))
    lines = tell(records_of(world))
    assert line_with(lines, "attempt 3: last beat").endswith(": last beat, after it was taken for dead")
    assert "died" not in "\n".join(lines)


def test_the_story_does_not_call_dead_who_settled_the_job_itself(tmp_path: Path) -> None:
    world = used_up(tmp_path, ("out-of-memory", "out-of-memory", None))
    world.ledger().release(Claim(job_id=JOB, epoch=0, number=3), Release.SILENT)
    end = settling.failed(InputGoneError(), world.ledger(), by="worker", attempt=3)
    settling.settle(world.ledger(), JOB, 0, end)
    assert "died" not in "\n".join(tell(records_of(world)))
