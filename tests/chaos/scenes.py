"""The scenes in which jobs call the store (G1), in one file: what there is at first serves several."""

import contextlib

from shared import records, settling
from shared.broom import LEAST_RETENTION
from shared.jobs import Claim
from shared.replays import Step as ReplayStep
from shared.replays import step_name
from shared.uploads import Uploads
from tests.chaos.scene import Check, Scene
from tests.chaos.scene_steps import (
    TOKEN,
    Step,
    asked,
    begin_replay,
    begin_to_drive_replay,
    broomed_until,
    broomed_until_gone,
    cancel_it,
    cancel_replay_in_a_batch,
    deliver,
    deliver_a_long_one,
    deliver_and_stop,
    deliver_one_that_is_cancelled,
    deliver_one_whose_beat_is_there,
    deliver_published,
    drive_replay,
    find_own_claim,
    submit,
    submit_over_http,
    submit_upload,
    sweep_replay,
    sweep_replay_to_its_end,
    swept_until,
)
from tests.chaos.scenes_asked import CLIENTS, OPERATORS, WORKERS
from tests.chaos.turned import Turned
from tests.dead import die, job_name
from tests.promises import require
from tests.world import JOB, Killed, Process, push_body

REPLAY = "replay_20260101000000abcd"
_STALE = f"{records.input_prefix(JOB)}stale"


# --- what there is at first ---------------------------------------------------------------------


def _accepted(world: Turned) -> None:
    world.accept()
    world.queue.published.clear()


def _settled(world: Turned) -> None:
    world.accept()
    world.deliver()


def _claimed_before(world: Turned, times: int = 1, **released: str) -> None:
    _accepted(world)
    for number in range(1, times + 1):
        world.claim(number, **released)
        world.store.create(f"results/{JOB}/e0/{number}/color.jpg", b"a loser's")
    world.clock.turn(seconds=970)  # when a sweep looks at it, and may publish it again


def _killed_after(world: Turned, moment: str) -> None:
    """Let the worker die, and a sweep's turn come."""

    def kill(call: str) -> None:
        if call.startswith(moment):
            raise Killed(call)

    _accepted(world)
    with contextlib.suppress(Killed):
        world.deliver(world.services(Process(kill)))
    world.clock.turn(seconds=970)


def _marked_only(world: Turned) -> None:
    world.ledger().mark(JOB, 0)
    world.store.create(_STALE, world.photo)
    world.clock.turn(seconds=3850)


def _erased_too_early(world: Turned) -> None:
    """Leave a picture that came after its job had been erased."""
    _settled(world)
    settling.erase(world.ledger(), JOB, kind="erasure", by="client")
    world.store.create(f"results/{JOB}/e0/2/color", b"a loser's")


def _uploaded(world: Turned) -> None:
    upload = Uploads(store=world.store, clock=world.clock).begin("image/jpeg", len(world.photo), None)
    world.store.create(upload.input, world.photo, content_type="image/jpeg")


def _two_dead(world: Turned) -> None:
    die(world, 0, 1)
    world.queue.published.clear()


def _cut_short(world: Turned) -> None:
    """Let a replay's driver die when it has begun its first batch."""
    _two_dead(world)
    begin_replay(world)
    step = ReplayStep(number=0, start=0, stop=1, at=world.clock())
    records.write_once(world.store, step_name(REPLAY, 0), step.document())


def _claimed_in_doubt(world: Turned) -> None:
    _accepted(world)
    claim = Claim(job_id=JOB, epoch=0, number=1)
    records.write_once(world.store, claim.name("json"), {"worker": "worker-1"}, token=TOKEN)


def _long_ago(world: Turned) -> None:
    """Let a warm-up, a photo that became a job and a longer retention be of last week."""
    _uploaded(world)
    submit_upload(world)
    deliver_published(world)
    records.write_once(world.store, f"{records.WARMUPS}1.json", {"window": "1"})
    records.write_once(world.store, LEAST_RETENTION, {"least_s": 800 * 86_400})
    world.clock.turn(days=7)


def _over(given: Step, **span: float) -> Step:
    """Let time go by after it."""
    return lambda world: (given(world), world.clock.turn(**span))


# --- what must be true in the end ----------------------------------------------------------------


def _nothing_left(*prefixes: str) -> Check:
    def check(world: Turned) -> None:
        left = [name for prefix in prefixes for name in world.left(prefix)]
        require(not left, "G1", f"left over: {left}")

    return check


def _no_losers(world: Turned) -> None:
    winner = world.promises.job(JOB).terminal.attempt
    mine = records.results_prefix(JOB, 0, winner)
    losers = [name for name in world.left("results/") if not name.startswith(mine)]
    require(not losers, "G1", f"left over: {losers}")


def _has_one_photo(world: Turned) -> bool:
    return world.left(records.input_prefix(JOB)) == [world.promises.job(JOB).accepted.photo.name]


def _is_resolved(world: Turned) -> None:
    require(
        any(name.endswith(".resolved.json") for name in world.left("dead/")), "G1", "nothing is on record"
    )


_RESOLUTION = {"jobs": [job_name(0)], "reason": "refunded", "by": "ada"}

JOBS = (
    Scene(name="submission and delivery", steps=(submit, deliver)),
    Scene(name="a long attempt's beats", given=_accepted, steps=(deliver_a_long_one,)),
    Scene(name="an attempt given back at SIGTERM", given=_accepted, steps=(deliver_and_stop, deliver)),
    Scene(name="a loser's pictures", given=_claimed_before, steps=(deliver,), silent=1, check=_no_losers),
    Scene(
        name="a job cancelled in the middle of its attempt",
        given=_accepted,
        steps=(deliver_one_that_is_cancelled,),
        ends=("cancelled",),
        silent=1,
        check=_nothing_left("results/"),
    ),
    Scene(
        name="cancel",
        given=_accepted,
        steps=(asked("POST", f"/v1/jobs/{JOB}/cancel", answers=200),),
        ends=("cancelled",),
    ),
    Scene(
        name="erase",
        given=_settled,
        steps=(asked("DELETE", f"/v1/jobs/{JOB}", answers=204),),
        check=_nothing_left("results/", "inputs/"),
    ),
    Scene(
        name="expiry by the broom",
        given=_over(_settled, days=401),
        steps=(broomed_until_gone("results/", "inputs/"),),
    ),
    Scene(
        name="a picture that came after its job was erased, by the broom",
        given=_erased_too_early,
        steps=(broomed_until_gone("results/"),),
    ),
    Scene(
        name="an upload that became no job, by the broom",
        given=_over(_uploaded, minutes=66),
        steps=(broomed_until_gone("uploads/", "inputs/"),),
        ends=(),
    ),
    Scene(
        name="submission by upload_id",
        given=_uploaded,
        steps=(submit_upload, deliver_published),
    ),
    Scene(
        name="a marker without a promise, by the sweep and the broom",
        given=_marked_only,
        steps=(swept_until(lambda world: not world.left("open/")), broomed_until_gone("inputs/")),
        ends=(),
    ),
    Scene(
        name="published again by the sweep",
        given=_over(_accepted, seconds=970),
        steps=(swept_until(lambda world: bool(world.queue.published)), deliver_published),
    ),
    Scene(
        name="finished by the sweep",
        given=lambda world: _killed_after(world, "after store.create jobs/JOB/e0/terminal.json"),
        steps=(swept_until(lambda world: not world.left("open/")),),
    ),
    Scene(
        name="given up by the sweep",
        given=lambda world: _claimed_before(world, 3),
        steps=(swept_until(lambda world: not world.left("open/")),),
        ends=("failed",),
        silent=3,
        check=_nothing_left("results/"),
    ),
    Scene(
        name="a dead letter",
        given=lambda world: _claimed_before(world, reason="storage"),
        steps=(asked("POST", "/internal/dead-letters", answers=204, data=push_body()),),
        ends=("failed",),
        check=_nothing_left("results/"),
    ),
    Scene(
        name="a dead letter resolved",
        given=lambda world: die(world, 0),
        steps=(asked("POST", "/v1/dead-letters/resolve", answers=200, json=_RESOLUTION),),
        ends=("failed",),
        check=_is_resolved,
    ),
    Scene(
        name="a replay of two jobs",
        given=_two_dead,
        steps=(begin_replay, begin_to_drive_replay, deliver_published, drive_replay),
        ends=("succeeded", "succeeded"),
        check=_nothing_left("replaying/"),
    ),
    Scene(
        name="a replay that the sweep drives",
        given=lambda world: (_two_dead(world), begin_replay(world)),
        steps=(sweep_replay, sweep_replay, sweep_replay_to_its_end),
        ends=("succeeded", "succeeded"),
        check=_nothing_left("replaying/"),
    ),
    Scene(
        name="a replay cancelled in the middle of a batch",
        given=_cut_short,
        steps=(cancel_replay_in_a_batch,),
        ends=("failed", "failed"),
        check=_nothing_left("replaying/"),
    ),
    Scene(
        name="a replay's marker without a plan, by the sweep",
        given=_over(lambda world: world.lay(f"replaying/{REPLAY}", b"{}"), minutes=66),
        steps=(swept_until(lambda world: not world.left("replaying/")),),
        ends=(),
    ),
    Scene(
        name="a submission over HTTP, and again with its key",
        given=lambda world: world.lay("workers/1.json", b'{"version": 1, "engine": {"name": "grabcut"}}'),
        steps=(submit_over_http, submit_over_http, cancel_it),
        ends=("cancelled",),
    ),
    Scene(
        name="a submission where one was begun",
        given=_over(lambda world: world.ledger().mark(JOB, 0), minutes=6),
        steps=(submit, deliver),
    ),
    Scene(
        name="a submission whose photo is there",
        given=lambda world: world.lay(f"{records.input_prefix(JOB)}0", world.photo, "image/jpeg"),
        steps=(submit, deliver),
    ),
    Scene(
        name="the same submission again, at once",
        given=lambda world: world.accept(),
        steps=(submit, broomed_until(_has_one_photo), deliver_published),
    ),
    Scene(name="a beat that was written", given=_accepted, steps=(deliver_one_whose_beat_is_there,)),
    Scene(
        name="a claim in doubt",
        given=_claimed_in_doubt,
        steps=(find_own_claim, deliver),
    ),
    Scene(
        name="an event",
        given=lambda world: _killed_after(world, "after store.create jobs/JOB/e0/terminal.json"),
        steps=(asked("POST", "/internal/events", answers=204, data=push_body()),),
    ),
    Scene(
        name="what was asked for long ago, by the broom",
        given=_long_ago,
        steps=(broomed_until_gone("warmups/", "uploads/"),),
    ),
)

SCENES = (*JOBS, *CLIENTS, *OPERATORS, *WORKERS)
