"""What chaos does in processes of its own comes back in order, and one that dies is told of and replaced."""

import os

import pytest

from tests.chaos.spread import DiedError, lanes


def test_a_lane_does_one_thing_after_the_other_and_goes_on_when_its_process_has_died() -> None:
    with lanes(2) as (first, second):
        begun = [first.start(abs, -1), first.start(os._exit, 3), first.start(abs, -2), second.start(abs, -3)]
        assert begun[0].result() == 1
        with pytest.raises(DiedError):
            begun[1].result()
        assert [done.result() for done in begun[2:]] == [2, 3]


def test_what_work_raises_is_raised_to_whoever_waits_for_it() -> None:
    with lanes(1) as (lane,):
        with pytest.raises(ZeroDivisionError):
            lane.start(divmod, 1, 0).result()
        assert lane.start(divmod, 7, 2).result() == (3, 1)
