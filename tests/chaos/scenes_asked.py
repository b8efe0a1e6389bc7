"""What clients, operators and workers ask beside photos (G1): in one file, each beside what is right."""

import json

from shared import records, uploads
from shared.messages import Envelope, decode, wrap
from shared.pausing import held_routes
from tests.chaos.reads import is_ready, led_to, read, read_damaged
from tests.chaos.scene import Check, Scene
from tests.chaos.scene_steps import Step, answered, begin_replay, deliver_published, submit_upload
from tests.chaos.turned import Turned
from tests.dead import a_plan, die, drive, job_name
from tests.promises import record, require
from tests.world import JOB
from worker.handler import Outcome, handle
from worker.report import report, withdraw

_PLAN = "replay_20260101000000abcd"
_PAUSE = "delivery/paused.json"
_REPORT, _FORGOTTEN = "workers/worker-1.json", "workers/worker-0.json"
_NOTHING: dict[str, dict[str, str]] = {}
_PUSHES = {
    route.name: {"endpoint": "https://worker.example/push", "email": "pusher@x", "audience": "a"}
    for route in held_routes()
}
_TWO_DEAD = ("failed", "failed")


# --- what there is at first ---------------------------------------------------------------------


def _settled(world: Turned) -> None:
    world.accept()
    world.deliver()
    world.queue.published.clear()


def _dead(world: Turned) -> None:
    die(world, 0, 1)
    world.queue.published.clear()


def _erased(world: Turned) -> None:
    _dead(world)
    answered(world, "DELETE", f"/v1/jobs/{job_name(0)}", answers=204)


def _open(world: Turned) -> None:
    for number in (0, 1):
        world.accept(job_id=job_name(number))


def _replayed(world: Turned) -> None:
    """Let one replay be done, and another one that nobody drives yet be planned."""
    _dead(world)
    begin_replay(world)
    drive(world, a_plan(world, [job_name(0), job_name(1)]))


def _planned(world: Turned) -> None:
    _dead(world)
    begin_replay(world)


def _in_pages(given: Step) -> Step:
    """Let listings come an object a page."""

    def give(world: Turned) -> None:
        given(world)
        world.fake.objects.most_a_page = 1

    return give


def _reported(world: Turned) -> None:
    """Let ours and another worker have reported, two days ago."""
    world.lay(_FORGOTTEN, b'{"version": 1, "engine": {"name": "grabcut"}}')
    report(world.services())
    world.clock.turn(hours=48)


def _paused(world: Turned) -> None:
    answered(world, "POST", "/v1/delivery/pause", answers=200, json=_pause("ada", _NOTHING))


def _pause(by: str, pushes: dict[str, dict[str, str]]) -> dict[str, object]:
    return {"by": by, "reason": "the worker is down", "pushes": pushes}


# --- what is done -------------------------------------------------------------------------------


def begin_upload(world: Turned) -> bool:
    """Begin an upload; its client sends the photo to where it is told to."""
    wishes = {"content_type": "image/jpeg", "bytes": len(world.photo)}
    answer = answered(world, "POST", "/v1/uploads", answers=201, json=wishes)
    if answer is None:
        return False
    ticket = answer.json
    name = uploads.record_name(ticket["upload_id"])
    found = {k: v for k, v in record(world.straight, name).items() if k in wishes}
    require(found == wishes, "G1", f"{found} is on record")
    world.noted["upload"] = name
    world.lay(records.input_name(ticket["upload_id"]), world.photo, "image/jpeg")
    return True


def pause(by: str, pushes: dict[str, dict[str, str]]) -> Step:
    """Return a step that pauses delivery, as often as it must be asked; what it says then is on record."""

    def ask(world: Turned) -> bool:
        answer = answered(world, "POST", "/v1/delivery/pause", answers=200, json=_pause(by, pushes))
        if answer is None:
            return False
        held = record(world.straight, _PAUSE)
        require(answer.json["delivery"] == "paused", "G1", f"{answer.json}")
        require(answer.json["pushes"] == held["pushes"], "G1", f"{answer.json['pushes']} was said")
        require(answer.json["pause"]["by"] == held["by"], "G1", f"{answer.json['pause']} was said")
        require(pushes.items() <= held["pushes"].items(), "G1", f"{held['pushes']} is on record")
        return True

    return ask


def resume(world: Turned) -> bool:
    asking = {"attached": list(_PUSHES)}
    answer = answered(world, "POST", "/v1/delivery/resume", answers=200, json=asking)
    if answer is None:
        return False
    require(answer.json["delivery"] == "running", "G1", f"{answer.json}")
    require(not world.left("delivery/"), "G1", "said to run, and paused on record")
    return True


def report_ready(world: Turned) -> bool:
    report(world.services(world.process))
    return True


def withdraw_report(world: Turned) -> bool:
    withdraw(world.services(world.process))
    return True


def warm_up(world: Turned) -> bool:
    """Say that work is expected, until a message has gone out; one goes out in five minutes at most."""
    answer = answered(world, "POST", "/warmup", answers=202)
    if answer is not None:
        require(answer.json["worker"] in {"cold", "warming"}, "G1", f"{answer.json}, and nobody has reported")
    windows = [decode(message.data).window for message in world.queue.published]
    require(len(set(windows)) == len(windows), "G1", f"warm-ups of {windows}")
    return bool(windows)


def deliver_warm_up(world: Turned) -> bool:
    """Push it until it is acknowledged: the worker has reported by then."""
    (message, *_) = world.queue.published
    body = wrap(Envelope(message_id="m-1", data=message.data, attributes={}), published_at="")
    outcome = handle(json.dumps(body).encode(), world.services(world.process))
    require(
        outcome is Outcome.REFUSE or _REPORT in world.left("workers/"), "G1", "acknowledged, and not done"
    )
    return outcome is Outcome.ACK


def is_told_warm(world: Turned) -> bool:
    answer = answered(world, "POST", "/warmup", answers=202)
    if answer is not None:
        require(answer.json["worker"] == "warm", "G1", f"{answer.json}, and a worker has just reported")
    return answer is not None


def plan_replay(world: Turned) -> bool:
    """Plan one with a key, as an operator does who asks again until there is an answer."""
    order = {"jobs": [job_name(0), job_name(1)], "reason": "mended", "canary": 1}
    asking = {"json": order, "headers": {"Idempotency-Key": "k"}}
    answer = answered(world, "POST", "/v1/replays", answers=201, **asking)
    if answer is None:
        return False
    world.noted["replay"] = answer.json["id"]
    plan = record(world.straight, f"replays/{answer.json['id']}/plan.json")
    require(len(plan["selection"]) == answer.json["count"] == 2, "G1", f"{answer.json} was said")
    return True


def advance_replay(world: Turned) -> bool:
    url = f"/v1/replays/{world.noted['replay']}/advance"
    answer = answered(world, "POST", url, answers=200)
    return answer is not None and answer.json["opened"] > 0


def cancel_replay(world: Turned) -> bool:
    url = f"/v1/replays/{world.noted.get('replay', _PLAN)}/cancel"
    answer = answered(world, "POST", url, answers=200, json={"reason": "no", "by": "ada"})
    if answer is not None:
        require(answer.json["status"] == "cancelled", "G1", f"{answer.json}")
    return answer is not None


# --- what must be true in the end ----------------------------------------------------------------


def _is_reported(world: Turned) -> None:
    require(world.left("workers/") == [_REPORT], "G1", f"reports of {world.left('workers/')}")
    told = record(world.straight, _REPORT)
    require(told["engine"]["name"] == "disc", "G1", f"{told} is reported")


def _is_withdrawn(world: Turned) -> None:
    require(_REPORT not in world.left("workers/"), "G1", "still reported")


def _is_paused(by: str, pushes: dict[str, dict[str, str]]) -> Check:
    def check(world: Turned) -> None:
        held = record(world.straight, _PAUSE)
        require((held["by"], held["pushes"]) == (by, pushes), "G1", f"{held} is on record")

    return check


def _all_uploads_can_be_read(world: Turned) -> None:
    for name in world.left(uploads.PREFIX):
        record(world.straight, name)


def _nothing_is_replaying(world: Turned) -> None:
    require(not world.left("replaying/"), "G1", f"left over: {world.left('replaying/')}")
    require(
        not world.left(f"jobs/{job_name(1)}/e1/opened"), "G1", "one more was opened, and no more was meant"
    )


# --- the scenes ---------------------------------------------------------------------------------

_JOB = f"/v1/jobs/{JOB}"
_DRY = {"filters": {"slug": "dead-lettered"}, "reason": "mended", "dry_run": True}

CLIENTS = (
    Scene(
        name="an upload from its beginning",
        steps=(begin_upload, submit_upload, deliver_published),
        check=_all_uploads_can_be_read,
    ),
    Scene(name="an upload's signed URL", steps=(begin_upload,), ends=(), signs=True),
    Scene(name="reading a settled job", given=_settled, steps=(read(_JOB),)),
    Scene(
        name="waiting for a job",
        given=lambda world: world.accept(),
        steps=(read(_JOB, waits="wait=2"), deliver_published),
    ),
    Scene(name="a result", given=_settled, steps=(read(f"{_JOB}/results/color"),)),
    Scene(
        name="a result's signed URL",
        given=_settled,
        steps=(led_to(f"{_JOB}/results/matte", f"results/{JOB}/e0/1/matte"),),
        signs=True,
    ),
    Scene(name="the engines", given=_reported, steps=(read("/v1/models"),), ends=()),
    Scene(name="readiness", given=_paused, steps=(is_ready,), ends=()),
)

OPERATORS = (
    Scene(
        name="open jobs",
        given=_in_pages(_open),
        steps=(read("/v1/jobs?status=open"), deliver_published),
        ends=("succeeded",) * 2,
    ),
    Scene(
        name="a job's records", given=_dead, steps=(read(f"/v1/jobs/{job_name(0)}/records"),), ends=_TWO_DEAD
    ),
    Scene(name="dead letters", given=_in_pages(_dead), steps=(read("/v1/dead-letters"),), ends=_TWO_DEAD),
    Scene(
        name="dead letters of a day and an engine",
        given=_in_pages(_dead),
        steps=(read("/v1/dead-letters?since=1h&slug=dead-lettered"),),
        ends=_TWO_DEAD,
    ),
    Scene(
        name="a dead letter shown",
        given=_dead,
        steps=(read(f"/v1/dead-letters/{job_name(0)}"),),
        ends=_TWO_DEAD,
    ),
    Scene(
        name="a dead letter of which a record is damaged",
        given=_erased,
        steps=(
            read_damaged(f"/v1/dead-letters/{job_name(0)}", records.accepted_name(job_name(0)), answers=500),
        ),
        ends=_TWO_DEAD,
    ),
    Scene(
        name="a dead letter's photo",
        given=_dead,
        steps=(read(f"/v1/dead-letters/{job_name(0)}/photo"),),
        ends=_TWO_DEAD,
    ),
    Scene(
        name="a dead letter's photo by signed URL",
        given=_dead,
        steps=(led_to(f"/v1/dead-letters/{job_name(0)}/photo", f"inputs/{job_name(0)}.0"),),
        ends=_TWO_DEAD,
        signs=True,
    ),
    Scene(
        name="what would be replayed",
        given=_in_pages(_dead),
        steps=(read("/v1/replays", method="POST", json=_DRY),),
        ends=_TWO_DEAD,
    ),
    Scene(name="replays", given=_in_pages(_replayed), steps=(read("/v1/replays"),), ends=("succeeded",) * 2),
    Scene(
        name="a replay shown", given=_replayed, steps=(read(f"/v1/replays/{_PLAN}"),), ends=("succeeded",) * 2
    ),
    Scene(
        name="a replay over HTTP, cancelled after its canary",
        given=_dead,
        steps=(plan_replay, advance_replay, cancel_replay, deliver_published),
        ends=("succeeded", "failed"),
        check=_nothing_is_replaying,
    ),
    Scene(name="whether jobs are delivered", given=_paused, steps=(read("/v1/delivery"),), ends=()),
    Scene(name="pause", steps=(pause("ada", _PUSHES),), ends=(), check=_is_paused("ada", _PUSHES)),
    Scene(
        name="a pause on top of another",
        given=_paused,
        steps=(pause("bob", _PUSHES),),
        ends=(),
        check=_is_paused("ada", _PUSHES),
    ),
    Scene(name="resume", given=_paused, steps=(resume,), ends=()),
)

WORKERS = (
    Scene(name="a worker's first report", steps=(report_ready,), ends=(), check=_is_reported),
    Scene(name="a worker's next report", given=_reported, steps=(report_ready,), ends=(), check=_is_reported),
    Scene(name="a report withdrawn", given=_reported, steps=(withdraw_report,), ends=(), check=_is_withdrawn),
    Scene(name="a warm-up", steps=(warm_up, deliver_warm_up, is_told_warm), ends=(), check=_is_reported),
)
