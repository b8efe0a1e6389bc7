"""Slots bound how many jobs render at once, how many store beside them, and how many stand ready."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import worker.slots
from shared.errors import ShuttingDownError, WorkerBusyError
from tests.world import JOB, Process, World
from worker.handler import Outcome
from worker.services import Patience
from worker.slots import Slot, Slots

OTHER = "job_fedcba9876543210"
WITHIN_S = 20.0


def take(slots: Slots, *, alone: bool = False, within_s: float = 0) -> Slot:
    return slots.take(alone=alone, within_s=within_s)


def assert_full(slots: Slots, *, alone: bool = False) -> None:
    with pytest.raises(WorkerBusyError):
        take(slots, alone=alone)


def test_slots_are_given_back_once_however_often_it_is_said() -> None:
    slots = Slots(1)
    slot = take(slots)
    slot.give_back()
    slot.give_back()
    take(slots)
    again = threading.Thread(target=slot.give_back)
    again.start()
    again.join()
    assert_full(slots)


def test_a_job_that_must_run_alone_goes_before_those_that_need_one_slot() -> None:
    slots = Slots(2)
    slot, alone = take(slots), threading.Event()

    def wait_for_all() -> None:
        take(slots, alone=True, within_s=10).give_back()
        alone.set()

    waiter = threading.Thread(target=wait_for_all)
    waiter.start()
    while not slots._waiting_for_all:
        pass
    assert_full(slots)
    slot.give_back()
    waiter.join(10)
    assert alone.is_set()


# --- handing on -------------------------------------------------------------------------------------


def test_a_slot_that_was_handed_on_is_taken_by_the_next() -> None:
    slots = Slots(1)
    storing = take(slots)
    storing.hand_on()
    rendering = take(slots)
    assert_full(slots)
    storing.give_back()
    assert_full(slots)
    rendering.give_back()
    take(slots)


def test_no_more_store_than_there_are_slots() -> None:
    """What has been rendered and not yet stored stands in memory: a store that stalls must not pile it up."""
    slots = Slots(2)
    storing = []
    for _ in range(2):
        storing.append(take(slots))
        storing[-1].hand_on()
    more = [take(slots), take(slots)]
    more[0].hand_on()
    assert_full(slots)
    storing[0].give_back()
    take(slots)  # the third has been handed on now
    assert_full(slots)
    more[0].give_back()
    assert_full(slots)


def test_one_that_ends_while_it_waits_to_be_handed_on_gives_its_own_slot_back() -> None:
    slots = Slots(1)
    storing = take(slots)
    storing.hand_on()
    ended = take(slots)
    ended.hand_on()
    ended.give_back()
    storing.give_back()
    assert (slots._taken, slots._storing) == (0, 0)
    take(slots)
    assert_full(slots)


def test_handing_on_twice_gives_nothing_away() -> None:
    slots = Slots(2)
    slot = take(slots)
    slot.hand_on()
    slot.hand_on()
    take(slots), take(slots)
    assert_full(slots)
    assert slots._storing == 1


def test_a_slot_that_was_given_back_is_not_handed_on() -> None:
    slots = Slots(1)
    slot = take(slots)
    slot.give_back()
    slot.hand_on()
    assert slots._storing == 0
    assert slots._taken == 0


def test_a_job_that_must_run_alone_waits_for_those_who_store() -> None:
    """The death it may bring would count for them too."""
    slots = Slots(2)
    storing = take(slots)
    storing.hand_on()
    assert_full(slots, alone=True)
    storing.give_back()
    take(slots, alone=True)


def test_a_job_that_runs_alone_hands_nothing_on() -> None:
    slots = Slots(1)
    alone = take(slots, alone=True)
    alone.hand_on()
    assert_full(slots)
    alone.give_back()
    take(slots)


# --- standing ready ---------------------------------------------------------------------------------


def ready(slots: Slots) -> Slot:
    """Take a place to stand ready, where no slot is free."""
    slot = take(slots, within_s=WITHIN_S)
    assert not slot.taken
    return slot


def in_line(slots: Slots) -> Slot:
    """Stand ready with everything done but what needs the slot."""
    slot = ready(slots)
    with pytest.raises(WorkerBusyError):
        slot.enter(within_s=0)
    return slot


def test_as_many_stand_ready_as_there_are_slots() -> None:
    slots = Slots(2)
    at_work = [take(slots), take(slots)]
    in_line(slots), ready(slots)
    with pytest.raises(WorkerBusyError):
        take(slots, within_s=0.05)
    at_work[0].give_back()
    ready(slots)


def test_nobody_passes_one_in_line() -> None:
    slots = Slots(1)
    at_work, first = take(slots), in_line(slots)
    at_work.give_back()
    assert first.taken == 1
    first.enter(within_s=0)
    second = in_line(slots)
    assert_full(slots)
    first.hand_on()
    assert second.taken == 1
    assert_full(slots)


def test_the_line_is_kept() -> None:
    slots = Slots(2)
    at_work = [take(slots), take(slots)]
    first, second = in_line(slots), in_line(slots)
    at_work[0].give_back()
    assert (first.taken, second.taken) == (1, 0)


def test_the_second_in_line_goes_and_the_first_keeps_its_place() -> None:
    slots = Slots(2)
    at_work = [take(slots), take(slots)]
    first, second = in_line(slots), in_line(slots)
    second.give_back()
    at_work[0].give_back()
    assert (first.taken, second.taken) == (1, 0)


def test_a_photo_that_takes_long_to_read_keeps_nobody_from_a_slot() -> None:
    slots = Slots(2)
    at_work = [take(slots), take(slots)]
    reading, other = ready(slots), in_line(slots)
    at_work[0].give_back()
    assert (reading.taken, other.taken) == (0, 1)
    at_work[1].give_back()
    newcomer = take(slots)
    assert newcomer.taken == 1
    newcomer.give_back()
    reading.enter(within_s=0)


@pytest.mark.parametrize(("comes_free_after_s", "is_taken"), [(29.0, True), (30.5, False)])
def test_who_has_little_time_left_gets_a_slot_or_nothing(comes_free_after_s: float, is_taken: bool) -> None:
    """Its claim would be given back before the slot came."""
    now = [0.0]
    slots = Slots(1, monotonic=lambda: now[0])
    take(slots)
    before = take(slots, within_s=60.0)

    def change(_within_s: float) -> None:
        now[0] += comes_free_after_s
        before.give_back()

    slots._let_change = change
    if is_taken:
        assert not take(slots, within_s=60.0).taken
    else:
        with pytest.raises(WorkerBusyError):
            take(slots, within_s=60.0)
        assert now == [61.0]


def test_a_free_slot_is_entered_without_waiting() -> None:
    take(Slots(1)).enter(within_s=0)


def test_one_that_stands_ready_waits_no_longer_than_it_is_told() -> None:
    slots = Slots(1)
    take(slots)
    waiting = ready(slots)
    with pytest.raises(WorkerBusyError):
        waiting.enter(within_s=0.05)


def test_one_that_stands_ready_in_a_worker_that_stops_hears_of_it() -> None:
    slots = Slots(1, is_stopping=lambda: True)
    take(slots)
    with pytest.raises(ShuttingDownError):
        ready(slots).enter(within_s=WITHIN_S)


def test_one_that_stands_ready_no_more_gives_its_place_to_another() -> None:
    slots = Slots(1)
    at_work, first = take(slots), in_line(slots)
    first.give_back()
    first.give_back()
    second = in_line(slots)
    at_work.give_back()
    assert (first.taken, second.taken) == (0, 1)


def test_a_slot_that_comes_free_wakes_who_stands_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.slots, "_LOOK_S", 10 * WITHIN_S)
    slots = Slots(1)
    at_work, waiting = take(slots), ready(slots)
    with ThreadPoolExecutor(1) as pool:
        entered = pool.submit(waiting.enter, within_s=10 * WITHIN_S)
        while not slots._changed._waiters:
            pass
        at_work.give_back()
        entered.result(WITHIN_S)


def test_a_job_that_must_run_alone_waits_for_those_who_stand_ready() -> None:
    """They have claimed: the death it may bring would count for them too."""
    slots = Slots(1)
    at_work, waiting = take(slots), ready(slots)
    assert_full(slots, alone=True)
    at_work.give_back()
    assert_full(slots, alone=True)
    waiting.give_back()
    take(slots, alone=True)


def test_nobody_stands_ready_beside_a_job_that_runs_alone() -> None:
    slots = Slots(2)
    alone = take(slots, alone=True)
    with pytest.raises(WorkerBusyError):
        take(slots, within_s=0.05)
    alone.give_back()
    take(slots), take(slots)
    ready(slots)


def test_nobody_begins_to_stand_ready_while_a_job_waits_to_run_alone() -> None:
    slots = Slots(1)
    at_work, waiting = take(slots), in_line(slots)
    with ThreadPoolExecutor(1) as pool:
        alone = pool.submit(slots.take, alone=True, within_s=WITHIN_S)
        while not slots._waiting_for_all:
            pass
        at_work.give_back()
        with pytest.raises(WorkerBusyError):
            take(slots, within_s=0.05)
        waiting.enter(within_s=0)  # it has its slot already
        waiting.give_back()
        assert alone.result(WITHIN_S).taken == 1


def test_one_that_stands_ready_makes_way_for_a_job_that_must_run_alone() -> None:
    """That job's time for a slot would not suffice for two others, one after the other."""
    slots = Slots(1)
    at_work, waiting = take(slots), ready(slots)
    with ThreadPoolExecutor(2) as pool:
        entering = pool.submit(waiting.enter, within_s=WITHIN_S)
        alone = pool.submit(slots.take, alone=True, within_s=WITHIN_S)
        with pytest.raises(WorkerBusyError):
            entering.result(WITHIN_S / 2)
        waiting.give_back()
        at_work.give_back()
        assert alone.result(WITHIN_S).taken == 1


def test_an_old_word_of_one_that_ran_alone_lets_nobody_in_beside_the_next() -> None:
    slots = Slots(2)
    old = take(slots, alone=True)
    old.give_back()
    take(slots, alone=True)
    old.give_back()
    assert_full(slots)
    with pytest.raises(WorkerBusyError):
        take(slots, within_s=0.05)


def test_one_photo_is_cut_out_while_the_pictures_of_another_are_being_stored(tmp_path: Path) -> None:
    """The accelerator does not wait for the network; neither job is done before its pictures are there."""
    world = World(tmp_path, order="threads")
    world.accept()
    world.accept(job_id=OTHER)
    is_held, go_on, slots = threading.Event(), threading.Event(), Slots(1)

    def hold(call: str) -> None:
        if call.startswith("before store.create results/JOB/") and call.endswith("/preview"):
            is_held.set()
            assert go_on.wait(WITHIN_S), "the other job was not worked on meanwhile"

    with ThreadPoolExecutor() as pool:
        first = pool.submit(world.deliver, world.services(Process(hold), slots=slots))
        assert is_held.wait(WITHIN_S)
        patient = world.services(slots=slots, patience=Patience(for_a_slot_s=WITHIN_S))
        assert world.deliver(patient, job_id=OTHER) is Outcome.ACK
        assert [world.job(job_id).status for job_id in (JOB, OTHER)] == ["processing", "succeeded"]
        go_on.set()
        assert first.result(WITHIN_S) is Outcome.ACK
    assert world.job(JOB).status == "succeeded"
    take(slots, alone=True)
