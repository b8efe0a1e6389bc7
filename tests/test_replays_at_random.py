"""A replay keeps its promises in whatever order drivers, workers, deaths and time come."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ImageCorruptError, InternalError
from shared.replay_progress import View
from tests.dead import a_plan, cancel, die, driver, fail
from tests.world import Killed, Process, World, kill_at

JOBS = 7

PLANS = ("replay_20260101000000aaaa", "replay_20260101000000bbbb")

ADVANCE = st.tuples(st.just("advance"), st.sampled_from([*PLANS, PLANS[0]]))
ANSWER = st.tuples(st.just("answer"), st.integers(0, JOBS - 1))
STEPS = st.one_of(
    ADVANCE,
    ADVANCE,
    ANSWER,
    ANSWER,
    st.tuples(st.just("die"), st.integers(0, 40)),
    st.tuples(st.just("turn"), st.sampled_from([0.1, 1.0, 10.0, 61.0])),
    st.tuples(st.just("sweep"), st.just(0)),
)


@dataclass
class Story:
    """Two replays of the same jobs, what becomes of the jobs, and what has been seen of the replays."""

    world: World
    names: list[str]
    ends: list[str]  #: what will become of each job
    seen: dict[str, View] = field(default_factory=dict)

    def advance(self, plan_id: str) -> None:
        driver(self.world).advance(plan_id)

    def die(self, moment: int) -> None:
        try:
            driver(self.world, ledger=self.world.ledger(Process(kill_at(moment)))).advance(PLANS[0])
        except Killed:
            return

    def answer(self, number: int) -> None:
        name = self.names[number]
        if self.world.job(name).status != "queued":
            return
        if self.ends[number] == "succeeded":
            self.world.deliver(job_id=name, epoch=1)
        elif self.ends[number] == "cancelled":
            cancel(self.world, name, 1)
        else:
            error = InternalError if self.ends[number] == "failed" else ImageCorruptError
            fail(self.world, name, 1, error=error)

    def turn(self, seconds: float) -> None:
        self.world.clock.turn(seconds=seconds)

    def sweep(self, _: int) -> None:
        self.world.sweep()

    # --- what must be so ------------------------------------------------------------------------

    def look(self) -> None:
        assert max(self.world.job(name).epoch for name in self.names) <= 1, "no job is opened twice"
        for plan_id in PLANS:
            view = driver(self.world).look(plan_id)
            self.check(view, self.seen.get(plan_id))
            self.seen[plan_id] = view

    def check(self, view: View, before: View | None) -> None:
        tally, plan = view.tally, view.progress.plan
        assert tally.opened == tally.settled + len(tally.pending)
        assert tally.opened + sum(tally.skipped.values()) <= view.progress.position
        mine = [name for name in self.names if self.opener(name) == plan.id]
        statuses = [self.world.job(name).status for name in mine]
        if len(mine) - statuses.count("cancelled") > plan.canary:
            answered = statuses.count("succeeded") + statuses.count("failed")
            assert answered >= plan.canary, (
                "the canary is waited for, and one that was cancelled proves nothing"
            )
        if before:
            assert before.progress.position <= view.progress.position
            assert before.tally.opened <= tally.opened
            assert before.status in {"running", view.status}, "an end is an end"

    def opener(self, name: str) -> str | None:
        """Which replay has opened a job."""
        record = f"jobs/{name}/e1/opened.json"
        if record not in self.world.names(f"jobs/{name}/"):
            return None
        return json.loads(self.world.store.read(record).data)["replay"]

    def finish(self) -> None:
        """Let everybody do what is left, and nobody die any more."""
        for _ in range(300):
            views = [driver(self.world).advance(plan_id) for plan_id in PLANS]
            self.look()
            if all(view.status != "running" for view in views):
                return
            for number in range(JOBS):
                self.answer(number)
            self.turn(max(0.5, min(view.wait.total_seconds() for view in views)))
        raise AssertionError(f"the replays have not ended: {views}")

    def check_end(self, view: View) -> None:
        plan, tally = view.progress.plan, view.tally
        ends = [end for name, end in zip(self.names, self.ends, strict=True) if self.opener(name) == plan.id]
        told = (tally.succeeded, tally.failed, tally.other)
        if view.status == "done":
            others = ends.count("photo") + ends.count("cancelled")
            assert told == (ends.count("succeeded"), ends.count("failed"), others)
            assert len(ends) + sum(tally.skipped.values()) == JOBS
        else:
            assert view.status == "stopped"
            assert tally.failed / tally.answered > plan.stop_above
            assert tally.tried >= plan.canary or view.progress.position == JOBS
        assert self.world.names("replaying/") == []


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(STEPS, min_size=10, max_size=30),
    ends=st.lists(
        st.sampled_from(["succeeded", "succeeded", "failed", "photo", "cancelled"]),
        min_size=JOBS,
        max_size=JOBS,
    ),
    terms=st.fixed_dictionaries(
        {
            "rate_per_s": st.sampled_from([0.5, 1.0, 2.0, 3.5, 100.0]),
            "canary": st.integers(0, JOBS),
            "stop_above": st.sampled_from([0.0, 0.2, 0.5, 1.0]),
        }
    ),
)
def test_no_job_is_opened_twice_and_what_is_said_is_what_happened(steps, ends, terms) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        names = die(world, *range(JOBS))
        for plan_id in PLANS:
            driver(world).begin(a_plan(world, names, id=plan_id, **terms))
        story = Story(world, names, ends)
        for what, how in steps:
            step: Callable[[object], None] = getattr(story, what)
            step(how)
            story.look()
        story.finish()
        for plan_id in PLANS:
            story.check_end(driver(world).look(plan_id))
