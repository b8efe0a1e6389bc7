"""What the machine of ``tests.machine`` does many steps at a time: leads to places, work, and trouble.

A lead begins what has to begin so that a place in the code may be come to, where somebody is then killed.
"""

import json
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from shared import messages
from shared.errors import JobTimeoutError, OutOfMemoryError, ShuttingDownError, StoreUnavailableError
from shared.history import Release
from shared.messages import Envelope, wrap
from tests.call_sites import product_files, sites_in
from tests.front import ALL, PUSHES, READS, RETENTIONS
from tests.simulation import Proc, Task
from worker.beats import Pulse

if TYPE_CHECKING:
    from tests.machine import Machine

JOBS = [f"job_{number:016}" for number in range(10)]
SPANS_S = (1, 6, 16, 31, 61, 130, 600, 3700, 6 * 3600, 26 * 3600)

#: Every place of the services that calls a port.
SITES = sorted(sites_in(*product_files()))

#: Where processes are killed on purpose; chaos aims at what is still missing.
MOMENTS = [(site, moment) for site in SITES for moment in ("before", "after")]
AIMS = list(MOMENTS)
#: What an inference may fail with that counts, and how else an attempt may end.
FAULTS_OF_OURS = (ValueError, MemoryError, OutOfMemoryError)
LAST_WORDS = (*FAULTS_OF_OURS, JobTimeoutError, ShuttingDownError, StoreUnavailableError, None)


def _infer_badly(machine: "Machine", dice: Random) -> None:
    if any(t.stop.port == "model" for t in machine.sim.runnable()):
        machine.let_an_inference_fail(dice.choice(FAULTS_OF_OURS))


def _kill_anyone(machine: "Machine", dice: Random) -> None:
    if tasks := machine.sim.runnable():
        machine.kill(dice.randrange(len(tasks)))


def _freeze_anyone(machine: "Machine", dice: Random) -> None:
    if machine.sim.procs:
        machine.freeze_or_thaw(dice.randrange(256))


def _deliver_again(machine: "Machine", dice: Random) -> None:
    if machine.sim.queue.published:
        machine.deliver_again(dice.randrange(256), dice.randrange(256), dice.randint(1, 3))


def _crowd(machine: "Machine", dice: Random) -> None:
    """Give one worker more jobs at once than it has slots, and stop somewhere among them."""
    where = dice.randrange(256)
    for job in dice.sample(range(len(JOBS)), 4):
        machine.submit(job, "one", where)
    machine.go_on(100, 0)
    for _ in range(4):
        machine.deliver(dice.randrange(256), where)
    machine.go_on(dice.randint(10, 100), dice.choice([0, 0.1]))


def _wear_out(machine: "Machine", dice: Random) -> None:
    """Have one attempt after the other at the same message die or fail over its photo."""
    for _ in range(dice.randint(2, 6)):
        machine.deliver(0, dice.randrange(256))
        for _ in range(60):
            tasks = [t for t in machine.sim.runnable() if t.what == "delivery"]
            if not tasks or any(t.stop.port == "model" for t in tasks):
                break
            machine.go_on_with(dice.choice(tasks), 0)
        if dice.random() < 0.5:
            _infer_badly(machine, dice)
            machine.go_on(30, 0)
        machine.kill_every_worker()
        machine.turn_the_clock(61)


def _speak_late(machine: "Machine", dice: Random) -> None:
    """Let attempts that were silent for too long speak while somebody gives their job up."""
    job_id = machine.fresh_job()
    silent = [task for _ in range(3) if (task := _wear_once(machine, dice, job_id))]
    givers = [machine.attempt(job_id) for _ in range(dice.randint(1, 2))]
    for _ in range(dice.randint(0, 16)):
        _go_on_with_any(machine, dice, givers)
    for task in silent:
        if task.stop.port == "model" and not task.is_over and dice.random() < 0.7:
            machine.go_on_from(task, dice.choice(LAST_WORDS))
    for _ in range(dice.randint(0, 40)):
        _go_on_with_any(machine, dice, [*givers, *silent])


def _wear_once(machine: "Machine", dice: Random, job_id: str) -> Task | None:
    """Have an attempt fail over its photo, or return it once it has been silent for too long."""
    task = machine.attempt(job_id)
    while not task.is_over and task.stop.port != "model":
        machine.go_on_with(task, 0)
    if not task.is_over and dice.random() < 0.5:
        machine.go_on_from(task, dice.choice(FAULTS_OF_OURS))
        while not task.is_over:
            machine.go_on_with(task, 0)
    machine.turn_the_clock(61)
    return None if task.is_over else task


def _go_on_with_any(machine: "Machine", dice: Random, tasks: list[Task]) -> None:
    if going := [task for task in tasks if task in machine.sim.runnable()]:
        machine.go_on_with(dice.choice(going), 0)


def _beat_badly(machine: "Machine", dice: Random) -> None:
    """Let an attempt beat, perhaps with answers that are lost, and stop in the middle of the last beat."""
    machine.deliver(dice.randrange(256), dice.randrange(256))
    machine.go_on(dice.randint(5, 20), 0)
    if machine.beating():
        _beat_and_stop(machine, dice, *dice.choice(machine.beating()))


def _beat_and_stop(machine: "Machine", dice: Random, process: Proc, pulse: Pulse) -> None:
    faults = dice.choice([0, 0.4])
    for _ in range(dice.randint(0, 2)):
        task = machine.beat_once(process, pulse)
        while not task.is_over:
            machine.go_on_with(task, faults)
    if not pulse.is_concluded:
        task = machine.beat_once(process, pulse)
        for _ in range(dice.choice([0, 0, 1, 2, 3])):
            if not task.is_over:
                machine.go_on_with(task, faults)


def _doubt_a_claim(machine: "Machine", dice: Random) -> None:
    """Let the writing of a claim fail, so that it is looked for, and stop before that."""
    machine.deliver(dice.randrange(256), dice.randrange(256))
    for _ in range(100):
        tasks = [t for t in machine.sim.runnable() if t.what == "delivery" and t.stop.port != "model"]
        if not tasks:
            return
        task = dice.choice(tasks)
        is_claim = (
            task.stop.moment == "before" and task.stop.method == "create" and "/claims/" in task.stop.name
        )
        machine.go_on_with(task, float(is_claim), "away")
        doubtful = [each for each in machine.beating() if each[1]._doubts]
        if doubtful:
            machine.beat_once(*dice.choice(doubtful))
            return


def _store_a_photo_unanswered(machine: "Machine", dice: Random) -> None:
    """Submit what nobody has submitted, and lose the answer to the photo."""
    new = [number for number, job_id in enumerate(JOBS) if job_id not in machine.promises.accepted]
    if not new:
        return
    others = set(machine.sim.runnable())
    machine.submit(dice.choice(new), "one", dice.randrange(256))
    for task in set(machine.sim.runnable()) - others:
        while not task.is_over and not (
            task.stop.method == "create" and task.stop.name.startswith("inputs/")
        ):
            machine.go_on_with(task, 0)
        if not task.is_over:
            machine.go_on_with(task, 1, "again")


def _report_before(machine: "Machine", _dice: Random) -> None:
    machine.warm_up(0)
    machine.run_those("delivery")


def _leave_an_old_report(machine: "Machine", _dice: Random) -> None:
    machine.warm_up(0)
    machine.finish()
    machine.turn_the_clock(SPANS_S[-1])
    machine.kill_every_worker()
    machine.warm_up(0)


def _bury_one(machine: "Machine", dice: Random) -> None:
    """Let the queue give up a job that a worker has died of."""
    for job_id in dice.sample(JOBS, len(JOBS)):
        if machine.leave_a_dead_claim(job_id):
            data = messages.encode(
                messages.JobMessage(job_id=job_id, epoch=machine.promises.job(job_id).epoch)
            )
            body = json.dumps(wrap(Envelope(message_id="d", data=data), published_at="")).encode()
            machine.bury_openly(body)
            return


def _plan(machine: "Machine", dice: Random) -> None:
    machine.bury_some(dice, JOBS)
    machine.plan_any(dice)


def _replay_some(machine: "Machine", dice: Random) -> None:
    """Bring a replay on its way, and let one or two take its next step while a sweep may."""
    if not machine.sim.names("replaying/") or dice.random() < 0.3:
        _plan(machine, dice)
        machine.run_those("plan")
    for _ in range(dice.randint(0, 2)):
        machine.advance_a_replay(machine.any_that_runs(dice), dice.randrange(256))
        machine.run_those("advance")
        machine.turn_the_clock(dice.choice([1, 1, 6, 16]))
    for _ in range(dice.randint(1, 2)):
        machine.advance_a_replay(machine.any_that_runs(dice), dice.randrange(256))
    if dice.random() < 0.3:
        machine.sweep(dice.randrange(256))


def _end_in_a_batch(machine: "Machine", dice: Random) -> None:
    """Cancel a replay while a driver is at work on a batch of several jobs, and look after it."""
    machine.bury_some(dice, JOBS)
    terms = {"rate_per_s": 100.0, "stop_above": 1.0, "canary": 0}
    machine.plan_a_replay(len(machine.replays), ALL, terms, dice.randrange(256))
    machine.run_those("plan")
    number = len(machine.replays) - 1
    if number < 0:
        return
    machine.advance_a_replay(number, dice.randrange(256))
    drivers = [task for task in machine.sim.runnable() if task.what == "advance"][-1:]
    opened = machine.opened_by(number)
    for _ in range(dice.randint(20, 120)):
        if not drivers or drivers[0].is_over or machine.opened_by(number) > opened:
            break
        machine.go_on_with(drivers[0], 0)
    machine.cancel_a_replay(number, dice.randrange(256))
    machine.run_those("cancel")
    if dice.random() < 0.5:
        machine.turn_the_clock(61)
    machine.sweep(dice.randrange(256))


def _resolve_and_replay(machine: "Machine", dice: Random) -> None:
    _plan(machine, dice)
    machine.run_those("plan")
    machine.resolve(dice.randrange(256), dice.randrange(256))
    machine.advance_a_replay(machine.any_that_runs(dice), dice.randrange(256))


def _sweep_a_replay_away(machine: "Machine", _dice: Random) -> None:
    machine.leave_a_replay_unplanned()
    machine.sweep(0)


def _look_at_engines(machine: "Machine", dice: Random) -> None:
    machine.warm_up(0)
    machine.finish()
    machine.read(READS[10], 0, dice.randrange(256))


def _look_at_a_picture(machine: "Machine", dice: Random) -> None:
    done = [
        n for n, j in enumerate(machine.promises.accepted) if machine.promises.job(j).status == "succeeded"
    ]
    if not done:
        machine.submit(dice.randrange(256), "one", 0)
        machine.run_those("submit")
        machine.deliver(0, dice.randrange(256))
        machine.run_those("delivery")
    which = dice.choice(done or [0])
    if dice.random() < 0.3:
        machine.erase(which)
        machine.run_those("_erase")
    machine.read(READS[1], which, dice.randrange(256))


def _pause_and_resume(machine: "Machine", dice: Random) -> None:
    machine.pause(dice.randrange(256), dice.choice([{}, PUSHES]))
    machine.pause(dice.randrange(256), dice.choice([{}, PUSHES]))
    if dice.random() < 0.5:
        machine.run_those("ask")
    machine.resume(dice.randrange(256))


def _pause_twice(machine: "Machine", dice: Random) -> None:
    machine.resume(dice.randrange(256))
    machine.run_those("ask")
    machine.pause(dice.randrange(256), {})
    machine.run_those("ask")
    machine.pause(dice.randrange(256), PUSHES)


def _send_a_photo(machine: "Machine", dice: Random) -> None:
    machine.begin_an_upload(dice.randrange(256))
    machine.run_those("ask")
    machine.send_a_photo(len(machine.uploads) - 1 if machine.uploads else 0, dice.randrange(256))


def _submit_an_upload(machine: "Machine", dice: Random) -> None:
    _send_a_photo(machine, dice)
    machine.run_those("ask")
    for _ in range(dice.randint(1, 2)):
        which = len(machine.uploads) - 1 if machine.uploads else 0
        machine.submit_an_upload(which, dice.randrange(256), dice.choice([None, "a", "b"]), "one")


def _keep_an_upload(machine: "Machine", dice: Random) -> None:
    _submit_an_upload(machine, dice)
    machine.run_those("ask")
    machine.turn_the_clock(2 * 3600)


def _leave_an_upload(machine: "Machine", dice: Random) -> None:
    _send_a_photo(machine, dice)
    machine.run_those("ask")
    machine.turn_the_clock(2 * 3600)


def _leave_a_warm_up(machine: "Machine", dice: Random) -> None:
    machine.ask_for_a_warm_up(dice.randrange(256))
    machine.run_those("ask")
    machine.turn_the_clock(SPANS_S[-1])


def _sweep_a_late_picture_away(machine: "Machine", dice: Random) -> None:
    job_id = machine.leave_a_late_picture()
    late = machine.promises.accepted.index(job_id)
    machine.sweep_with_the_broom(late, dice.randrange(256), RETENTIONS[-1])


def _use_the_broom(machine: "Machine", dice: Random) -> None:
    machine.sweep_with_the_broom(dice.randrange(256), dice.randrange(256), dice.choice(RETENTIONS))


def _look_at_damage(machine: "Machine", dice: Random) -> None:
    """Look at what is left of a job that was erased, in a process that reads its promise damaged."""
    machine.bury_some(dice, JOBS)
    failed = machine.any_failed(dice)
    machine.erase(failed)
    machine.run_those("_erase")
    machine.read_what_is_damaged(failed, 0)


def _ask_anything(machine: "Machine", dice: Random) -> None:
    machine.read(dice.choice(READS), dice.randrange(256), dice.randrange(256))


def _use_uploads(machine: "Machine", dice: Random) -> None:
    """Begin an upload, send its photo, or submit it: as often as not one that another is about to submit."""
    if not machine.uploads or dice.random() < 0.3:
        machine.begin_an_upload(dice.randrange(256))
    elif dice.random() < 0.5:
        machine.send_a_photo(dice.randrange(256), dice.randrange(256))
    else:
        key, digest = dice.choice([None, None, "a", "b"]), dice.choice(["one", "one", "another"])
        machine.submit_an_upload(dice.randrange(256), dice.randrange(256), key, digest)


Act = Callable[["Machine", Random], object]


def _cancel_late(machine: "Machine", dice: Random) -> None:
    """Cancel a job of which a picture has been stored."""
    task = machine.attempt(machine.fresh_job())
    for _ in range(60):
        if task.is_over or machine.sim.names(f"results/{task.job[0]}/"):
            break
        machine.go_on_with(task, 0)
    machine.cancel(machine.promises.accepted.index(task.job[0]))
    if dice.random() < 0.7:
        machine.run_those("_cancel")


def _beat_unanswered(machine: "Machine", dice: Random) -> None:
    """Let a beat be written whose answer is lost, and beat again."""
    task = machine.attempt(machine.fresh_job())
    while not task.is_over and not task.process.pulses:
        machine.go_on_with(task, 0)
    for _ in range(2):
        beats = [each for each in machine.beating() if each[0] is task.process]
        if not beats:
            return
        beat = machine.beat_once(*dice.choice(beats))
        while not beat.is_over and beat.stop.moment == "before":
            machine.go_on_with(beat, 0)
        if not beat.is_over:
            machine.go_on_with(beat, 1, "lost")
        if dice.random() < 0.5:
            machine.beat(dice.randrange(256))


def _attempt_after_a_release(machine: "Machine", dice: Random) -> None:
    machine.attempt(machine.leave_a_release(dice.choice([Release.SHUTDOWN, Release.BUG])))


def _attempt_after_a_loser(machine: "Machine", _dice: Random) -> None:
    machine.attempt(machine.leave_a_loser())


def _sweep_a_submission_away(machine: "Machine", _dice: Random) -> None:
    machine.leave_a_submission()
    machine.sweep(0)


def _erase_something(machine: "Machine", dice: Random) -> None:
    """Erase a job whose photo came before it, and perhaps let that photo come again."""
    _submit_an_upload(machine, dice)
    machine.run_those("ask")
    upload_id, jobs = next(reversed(machine.jobs_of.items()), ("", set()))
    job_id = next((each for each in machine.promises.accepted if each in jobs), None)
    if job_id is None:
        machine.erase(dice.randrange(256))
        return
    which = machine.promises.accepted.index(job_id)
    if dice.random() < 0.8:
        machine.cancel(which)
        machine.run_those("_cancel")
    machine.erase(which)
    if dice.random() < 0.7:
        machine.run_those("_erase")
        machine.send_a_photo_straight(machine.uploads.index(upload_id))


#: What a call has to meet so that a place may be come to.
LED_TO_BY = {"write_once store.stat": "again", "records.is_ours": "again"}
#: What has to begin so that a place may be come to.
LEADS: tuple[tuple[str, Act], ...] = (
    ("sweep.py", lambda m, _: m.sweep(0)),
    ("Ledger.beat", _beat_badly),
    ("Ledger.is_settled", _beat_badly),
    ("Ledger.is_claimed", _doubt_a_claim),
    ("_delete_losers", _attempt_after_a_loser),
    ("_delete_own", _cancel_late),
    ("Ledger.beat store.stat", _beat_unanswered),
    ("Reader._reason", _attempt_after_a_release),
    ("Sweep._abandoned", _sweep_a_submission_away),
    ("delete_photos", _sweep_a_submission_away),
    ("_least_retention store.replace", lambda m, _: m.lower_retention()),
    ("pausing.py:_add", _pause_twice),
    ("settling.py:close", lambda m, d: m.erase(d.randrange(256))),
    ("dead_letters.py:_", _bury_one),
    ("dead_letter_index.py:", lambda m, d: m.bury_some(d, JOBS)),
    ("dead_letter_index.py:_each", _plan),
    ("dead_letter_index.py:_facts", lambda m, d: m.read(READS[d.choice([5, 6])], d.randrange(256), 0)),
    ("dead_letter_index.py:of_job", lambda m, d: m.read(READS[6], d.randrange(256), 0)),
    ("api/damage.py:", _look_at_damage),
    ("api/dead_letters.py:", lambda m, d: m.bury_some(d, JOBS)),
    ("api/dead_letters.py:", lambda m, d: m.read(READS[7], m.any_failed(d), 0)),
    ("api/fleet.py", lambda m, d: m.ask_for_a_warm_up(d.randrange(256))),
    ("fleet.py:deployed_engine", _look_at_engines),
    ("api/operators.py:list_open", lambda m, d: m.read(READS[3], 0, d.randrange(256))),
    ("api/operators.py:", lambda m, d: m.bury_some(d, JOBS)),
    ("api/operators.py:", lambda m, d: m.read(READS[2], m.any_failed(d), d.randrange(256))),
    ("api/probes.py", lambda m, d: m.read("/ready", 0, d.randrange(256))),
    ("list_replays", lambda m, d: m.read(READS[8], 0, d.randrange(256))),
    ("api/results.py", _look_at_a_picture),
    ("pausing.py", _pause_and_resume),
    ("Driver.begin", _plan),
    ("Driver._try", _sweep_a_replay_away),
    ("Driver.drive_all", lambda m, _: m.sweep(0)),
    ("Driver._conclude", _end_in_a_batch),
    ("_is_resolved", _resolve_and_replay),
    ("Driver._", _replay_some),
    ("reopening.py", _replay_some),
    ("replay_batches.py", _replay_some),
    ("replay_progress.py", _replay_some),
    ("replay_progress.py:read_plan", lambda m, d: m.cancel_a_replay(m.any_that_runs(d), 0)),
    ("Ledger.open", _replay_some),
    ("_is_closing", _replay_some),
    ("uploads.py:", _submit_an_upload),
    ("Uploads.begin", lambda m, d: m.begin_an_upload(d.randrange(256))),
    ("Uploads.ticket", lambda m, d: m.begin_an_upload(d.randrange(256))),
    ("Uploads.receive", _send_a_photo),
    ("broom.py:Broom._clear", _keep_an_upload),
    ("broom.py:Broom._sweep_upload", _leave_an_upload),
    ("broom.py:Broom._forget", _leave_a_warm_up),
    ("broom.py:Broom._delete_late", _sweep_a_late_picture_away),
    ("broom.py:Broom", _use_the_broom),
    ("_is_closing", lambda m, d: m.erase(d.randrange(256))),
    ("report store.delete", _leave_an_old_report),
    ("report store.replace", _report_before),
    ("report.py:report", lambda m, d: m.warm_up(d.randrange(256))),
    ("report.py:withdraw", lambda m, d: m.stop_a_worker(d.randrange(256))),
    ("attempt.py", lambda m, d: m.deliver(d.randrange(256), d.randrange(256))),
    ("download.py", lambda m, d: m.deliver(d.randrange(256), d.randrange(256))),
    ("Ledger.accept", lambda m, d: m.submit(d.randrange(256), "one", d.randrange(256))),
    ("_pinned store", lambda m, d: m.submit(d.randrange(256), "one", d.randrange(256))),
    ("_pinned store.stat", _store_a_photo_unanswered),
    ("_made_young", lambda m, d: m.submit(d.randrange(256), "one", d.randrange(256))),
)

#: What goes on anyway, and what goes wrong, with how often.
WORK: dict[Act, float] = {
    lambda m, d: m.go_on(d.randint(1, 30), 0): 30,
    lambda m, _: m.finish(): 2,
    lambda m, d: m.deliver(d.randrange(256), d.randrange(256)): 14,
    lambda m, d: m.submit(d.randrange(256), "one", d.randrange(256)): 8,
    lambda m, _: m.sweep(0): 4,
    lambda m, d: m.beat(d.randrange(256)): 4,
    lambda m, d: m.let_time_pass(d.randint(1, 8)): 6,
    lambda m, _: m.warm_up(0): 0.5,
    _crowd: 2,
    _replay_some: 2,
    _use_uploads: 3,
    _ask_anything: 2,
    _use_the_broom: 0.5,
    _look_at_a_picture: 0.3,
    lambda m, d: m.ask_for_a_warm_up(d.randrange(256)): 0.2,
}
TROUBLE: dict[Act, float] = {
    lambda m, d: m.go_on(d.randint(1, 30), 0.1): 10,
    lambda m, d: m.go_on_and_kill(*d.choice(AIMS), d.choice([0, 0.05, 0.3])): 5,
    _kill_anyone: 1,
    _freeze_anyone: 1,
    _beat_badly: 2,
    _deliver_again: 2,
    _infer_badly: 2,
    _wear_out: 0.3,
    _speak_late: 0.3,
    lambda m, d: m.turn_the_clock(d.choice(SPANS_S)): 4,
    lambda m, d: m.set_a_clock_wrong(d.randrange(256), d.choice([-1, 1, 24])): 0.3,
    lambda m, d: m.stop_a_worker(d.randrange(256)): 0.4,
    lambda m, d: m.cancel(d.randrange(256)): 0.3,
    lambda m, d: m.erase(d.randrange(256)): 0.2,
    _erase_something: 0.4,
    lambda m, d: m.submit(d.randrange(256), "another", d.randrange(256)): 0.3,
    lambda m, _: m.lose_the_queue(): 0.1,
    lambda m, d: m.bury_some(d, JOBS): 0.3,
    lambda m, d: m.overwrite_a_photo(d.randrange(256)): 0.2,
    lambda m, d: m.cancel_a_replay(m.any_that_runs(d), d.randrange(256)): 0.5,
    lambda m, d: m.resolve(d.randrange(256), d.randrange(256)): 0.3,
    _end_in_a_batch: 0.5,
    _pause_and_resume: 0.2,
}
