"""SIGKILL of the API in uploads, in what operators ask, in warm-ups and in whatever is only read (A7)."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import httpx

from shared import dead_letters, pausing, records, replays
from shared.replaying import Driver
from shared.replays import Plan, Step
from tests import loopback
from tests.chaos.acts import WITHIN_S, Act, Headers, killed_in
from tests.chaos.errands import done, nothing_left, post
from tests.chaos.past import MOMENTS, ago, failed, planned, resolved
from tests.chaos.plant import Plant
from tests.chaos.rows import Effort, Finding
from tests.promises import record, require

_WORKER = pausing.held_routes()[0].name
_PUSH = {"endpoint": "https://worker/push", "email": "push@example.com", "audience": "cutout"}
_TERMS = {"reason": "the worker was down", "rate_per_s": 100, "canary": 1}


def asked_and_killed(folder: Path, effort: Effort) -> Finding:
    """Kill the API at each moment of an upload, of what operators ask, of a warm-up and of each reading."""
    return killed_in(OPERATING, folder, effort, by_state=True)


def get(plant: Plant, path: str, headers: Headers) -> httpx.Response:
    return loopback.get(f"{plant.api.url}{path}", headers=headers, timeout=30)


# --- uploads ------------------------------------------------------------------------------------


def _begin(plant: Plant, _subject: str, headers: Headers) -> httpx.Response:
    wanted = {"content_type": "image/jpeg", "bytes": len(plant.photo)}
    return post(plant, "/v1/uploads", headers, json=wanted)


def _begun(plant: Plant) -> str:
    return _begin(plant, "", {}).json()["upload_id"]


def _put(plant: Plant, upload_id: str, headers: Headers) -> httpx.Response:
    headers = {**headers, "Content-Type": "image/jpeg"}
    url = f"{plant.api.url}/v1/uploads/{upload_id}"
    return loopback.put(url, content=plant.photo, headers=headers, timeout=30)


def _may_be_used(plant: Plant, _subject: str, answer: httpx.Response) -> None:
    """Require that a ticket is one: its photo is taken, and becomes a job."""
    upload_id = answer.json()["upload_id"]
    require(_put(plant, upload_id, {}).status_code == 204, "A", f"{upload_id} takes no photo")
    _has_come(plant, upload_id, answer)


def _has_come(plant: Plant, upload_id: str, _answer: httpx.Response) -> None:
    """Require that the photo is there, whole; it becomes one job."""
    stored = [
        plant.store.read(stat.name).data for stat in plant.store.list(records.input_name(upload_id)).objects
    ]
    require(stored == [plant.photo], "A", f"{upload_id} has other bytes, or none")
    submitted = post(plant, "/v1/jobs", {}, json={"upload_id": upload_id})
    require(submitted.status_code == 202, "A", f"{submitted.status_code} to {upload_id}")
    plant.require_succeeded(submitted.json()["id"])


def _is_half_an_upload(plant: Plant, upload_id: str) -> None:
    """Require that a photo whose sender never came back is whole or not there, and nobody's job."""
    found = plant.store.list(records.input_name(upload_id)).objects
    whole = not found or plant.store.read(found[0].name).data == plant.photo
    require(whole, "A", f"{upload_id} has half of its photo")
    require("job_id" not in record(plant.store, f"uploads/{upload_id}.json"), "I6", f"{upload_id} has a job")


# --- dead letters and replays -------------------------------------------------------------------


def _two_failed(plant: Plant) -> str:
    return f"{failed(plant, plant.new_id())} {failed(plant, plant.new_id())}"


def _resolve(plant: Plant, jobs: str, headers: Headers) -> httpx.Response:
    asked = {"jobs": jobs.split(), "reason": "paid back", "by": "ada"}
    return post(plant, "/v1/dead-letters/resolve", headers, json=asked)


def _are_resolved(plant: Plant, jobs: str, answer: httpx.Response) -> None:
    told = answer.json()
    require({*told["resolved"], *told["already"]} == {*jobs.split()}, "A", f"told {told}")
    for job_id in jobs.split():
        require(_resolution(plant, job_id), "A", f"{job_id} is not resolved")
    _are_as_they_were(plant, jobs)


def _are_as_they_were(plant: Plant, jobs: str) -> None:
    """Require that jobs have failed, as before: whoever resolved them or not said so whole."""
    for job_id in jobs.split():
        require(_resolution(plant, job_id) in ({}, {"by": "ada", "reason": "paid back"}), "A", job_id)
        _is_left_alone(plant, job_id)


def _resolution(plant: Plant, job_id: str) -> dict[str, object]:
    name = records.dead_name(plant.promises.job(job_id).terminal.at, job_id, 0, dead_letters.RESOLVED)
    found = record(plant.store, name) if plant.store.list(name).objects else {}
    return {key: found[key] for key in ("by", "reason") if key in found}


def _is_left_alone(plant: Plant, job_id: str) -> None:
    plant.promises.check_job(job_id)
    job = plant.promises.job(job_id)
    require((job.epoch, job.status) == (0, "failed"), "A", f"{job_id} is {job.status} in {job.epoch}")
    plant.promises.check_settled(job_id)


def _plan_named(plant: Plant, jobs: str, headers: Headers) -> httpx.Response:
    return post(plant, "/v1/replays", headers, json={"jobs": jobs.split(), **_TERMS})


def _of_a_tenant(plant: Plant) -> str:
    """A job that has failed, a resolved one and another that has failed, of a tenant of their own."""
    tenant = f"tenant-{plant.new_id()}"
    jobs = [failed(plant, plant.new_id(), owner=tenant) for _ in range(3)]
    resolved(plant, jobs[1])
    return f"{jobs[0]} {jobs[2]}"


def _plan_filtered(plant: Plant, jobs: str, headers: Headers) -> httpx.Response:
    accepted = plant.promises.job(jobs.partition(" ")[0]).accepted
    filters = {"tenant": accepted.owner, "since": accepted.created_at.isoformat()}
    return post(plant, "/v1/replays", headers, json={"filters": filters, **_TERMS})


def _is_planned_once(plant: Plant, jobs: str, answer: httpx.Response) -> None:
    """Require one plan, frozen, under which each job is replayed once."""
    plans = _plans_of(plant, jobs)
    require([plan.id for plan in plans] == [answer.json()["id"]], "A", f"{len(plans)} plans for one key")
    selected = {(job_id, 0) for job_id in jobs.split()}
    require({*plans[0].selection} == selected, "A", f"{plans[0].selection} is not {selected}")
    _is_replayed_once(plant, plans[0].id)


def _is_planned_once_or_not(plant: Plant, jobs: str) -> None:
    """Require that the sweep brings a plan to its end that nobody asks for again; without one, nothing."""
    plans = _plans_of(plant, jobs)
    require(len(plans) <= 1, "A", f"{len(plans)} plans for one order")
    for plan in plans:
        _is_replayed_once(plant, plan.id)
    if not plans:
        for job_id in jobs.split():
            _is_left_alone(plant, job_id)


def _plans_of(plant: Plant, jobs: str) -> list[Plan]:
    wanted, names = set(jobs.split()), replays.plans(plant.store.list("replays/"))
    plans = [Plan.from_document(record(plant.store, replays.plan_name(name))) for name in names]
    return [plan for plan in plans if wanted & {job_id for job_id, _ in plan.selection}]


def to_replay(plant: Plant) -> str:
    """A plan over a job that has failed, one that is resolved, and another that has failed."""
    jobs = [failed(plant, plant.new_id()) for _ in range(3)]
    resolved(plant, jobs[1])
    return planned(plant, *jobs).id


def _advance(plant: Plant, replay_id: str, headers: Headers) -> httpx.Response:
    """Take one step after the other until there is none."""
    until = time.monotonic() + WITHIN_S
    while True:
        answer = post(plant, f"/v1/replays/{replay_id}/advance", headers)
        if answer.status_code != 200 or answer.json()["status"] != "running" or time.monotonic() > until:
            return answer
        time.sleep(0.02)


def is_replayed(plant: Plant, replay_id: str, _answer: object = None) -> None:
    """Require that the plan of ``to_replay`` came to its end as it was made."""
    told = _is_replayed_once(plant, replay_id)
    counts = (told["opened"], told["succeeded"], told["skipped"])
    require(counts == (2, 2, {"resolved": 1}), "A", f"{replay_id} counts {counts}")


def _is_replayed_once(plant: Plant, replay_id: str) -> dict[str, object]:
    """Require that a replay is done, and that each job is, in one epoch of it, unless it was left alone."""
    told = _ended(plant, replay_id)
    require(told["status"] == "done", "A", f"{replay_id} is {told['status']}")
    plan = Plan.from_document(record(plant.store, replays.plan_name(replay_id)))
    for job_id, epoch in plan.selection:
        if _resolution(plant, job_id):
            _is_left_alone(plant, job_id)
        else:
            _is_done_again(plant, job_id, epoch + 1, replay_id)
    return told


def _ended(plant: Plant, replay_id: str) -> dict[str, object]:
    """Wait until a replay owes nothing, and return what is told of it."""
    nothing_left(plant, replays.marker_name(replay_id))
    told = get(plant, f"/v1/replays/{replay_id}", {}).json()
    require(told["status"] != "running", "A", f"{replay_id} was let go of, and has not ended: {told}")
    return told


def _is_done_again(plant: Plant, job_id: str, epoch: int, replay_id: str) -> None:
    plant.require_succeeded(job_id)
    require(plant.promises.job(job_id).epoch == epoch, "A", f"{job_id} was opened once too often")
    opened = record(plant.store, f"jobs/{job_id}/e{epoch}/opened.json")
    require(opened["replay"] == replay_id, "A", f"{job_id} was opened by {opened}")
    told = records.dead_name(plant.promises.job(job_id).accepted.created_at, job_id, epoch - 1)
    replayed = told.removesuffix("json") + f"{dead_letters.REPLAYED}.json"
    require(plant.store.list(replayed).objects, "A", f"{job_id} is replayed, and listed as dead")


def _cut_off(plant: Plant) -> str:
    """A replay whose driver has died in a batch: it has opened one job and told nobody, and not the other."""
    jobs = [failed(plant, plant.new_id()) for _ in range(2)]
    plan = planned(plant, *jobs, canary=0)
    step = Step(number=0, start=0, stop=2, at=plant.ledger.clock())
    records.write_once(ago(plant, MOMENTS).store, replays.step_name(plan.id, 0), step.document())
    opening = {"kind": "replay", "replay": plan.id, "by": plan.by, "reason": plan.reason}
    plant.ledger.open(jobs[0], 1, opening)
    return plan.id


def _cancel(plant: Plant, replay_id: str, headers: Headers) -> httpx.Response:
    return post(plant, f"/v1/replays/{replay_id}/cancel", headers, json={"by": "ada", "reason": "enough"})


def _is_cut_short(plant: Plant, replay_id: str, answer: httpx.Response | None = None) -> None:
    """Require that what was open goes on and nothing else was opened, or all if nobody has cancelled."""
    status = _ended(plant, replay_id)["status"]
    require(answer is None or answer.json()["status"] == status == "cancelled", "A", f"it is {status}")
    plan = Plan.from_document(record(plant.store, replays.plan_name(replay_id)))
    (first, _), (second, _) = plan.selection
    _is_done_again(plant, first, 1, replay_id)
    if status == "cancelled":
        _is_left_alone(plant, second)
    else:
        _is_done_again(plant, second, 1, replay_id)


def _owes_an_end(plant: Plant) -> str:
    """A replay that has ended, and whose marker is still there."""
    plan = planned(plant, failed(plant, plant.new_id()))
    end = Step(number=0, end="cancelled", by="ada", reason="enough", at=plant.ledger.clock())
    records.write_once(plant.store, replays.step_name(plan.id, 0), end.document())
    return plan.id


def _is_let_go(plant: Plant, replay_id: str, _answer: object = None) -> None:
    nothing_left(plant, replays.marker_name(replay_id))


# --- pauses -------------------------------------------------------------------------------------


def _running(plant: Plant) -> str:
    plant.store.delete(pausing.RECORD)
    return plant.new_id()


def _paused(plant: Plant, pushes: Sequence[str] = ()) -> str:
    _running(plant)
    pushed = dict.fromkeys(pushes, _PUSH)
    pausing.pause(plant.store, plant.ledger.clock, by="ada", reason="before", pushes=pushed)
    return plant.new_id()


def _pause(plant: Plant, subject: str, headers: Headers) -> httpx.Response:
    asked = {"by": "ada", "reason": subject, "pushes": {_WORKER: _PUSH}}
    return post(plant, "/v1/delivery/pause", headers, json=asked)


def _is_paused(plant: Plant, _subject: str, answer: httpx.Response) -> None:
    """Require that /ready says who holds jobs and why, with all that was detached on record."""
    told = get(plant, "/ready", {}).json()
    require(told["delivery"] == "paused" and told["pause"] == answer.json()["pause"], "A", f"it says {told}")
    pushes = record(plant.store, pausing.RECORD)["pushes"]
    require(pushes == {_WORKER: _PUSH}, "A", f"{pushes} are on record")
    _running(plant)


def _is_paused_or_not(plant: Plant, _subject: str) -> None:
    """Require that /ready says what is on record, which is whole."""
    told = get(plant, "/ready", {}).json()
    held = pausing.read_pause(plant.store)
    require(told["delivery"] == ("paused" if held else "running"), "A", f"it says {told}, and {held}")
    require(held is None or held.by == "ada", "A", f"{held} is on record")
    _running(plant)


def _resume(plant: Plant, _subject: str, headers: Headers) -> httpx.Response:
    return post(plant, "/v1/delivery/resume", headers, json={"attached": [_WORKER]})


def _is_resumed(plant: Plant, _subject: str, _answer: httpx.Response) -> None:
    told = get(plant, "/ready", {}).json()
    require(told["delivery"] == "running", "A", f"it says {told}")
    require(pausing.read_pause(plant.store) is None, "A", "a pause is on record")


# --- warm-ups -----------------------------------------------------------------------------------


def _cold(plant: Plant) -> str:
    """Nobody has reported or been asked to warm up; the moment since when."""
    for prefix in ("workers/", records.WARMUPS):
        for stat in plant.store.list(prefix).objects:
            plant.store.delete(stat.name)
    return str(time.time())


def _is_told(plant: Plant, since: str, answer: httpx.Response | None = None) -> None:
    """Require that each five minutes are asked for once; nothing depends on whether they were."""
    windows = {int(float(at)) // 300 for at in (since, time.time())}
    asked = {stat.name for stat in plant.store.list(records.WARMUPS).objects}
    require(asked <= {f"{records.WARMUPS}{window}.json" for window in windows}, "A", f"asked for {asked}")
    known = {"cold", "warming", "warm"}
    require(answer is None or answer.json()["worker"] in known, "A", f"it says {answer and answer.json()}")


# --- reading ------------------------------------------------------------------------------------


def _failed(plant: Plant) -> str:
    return failed(plant, plant.new_id())


def _deployed(plant: Plant) -> str:
    _cold(plant)
    plant.store.create("workers/0123456789abcdef.json", b'{"version": 1, "engine": {"name": "disc"}}')
    return plant.new_id()


def _replayed(plant: Plant) -> str:
    replay_id = to_replay(plant)
    driver = Driver(ledger=plant.ledger, by="ada")
    driver.cancel(replay_id, "ada", "enough")
    return replay_id


def _reading(path: str, given: object = done) -> Act:
    """Return an act that only reads: who asks again is told, as if nobody had died."""

    def holds(plant: Plant, subject: str, answer: httpx.Response) -> None:
        again = get(plant, path.format(subject), {})
        require(again.status_code == answer.status_code == 200, "A", f"{answer} and {again} to {path}")

    return Act(
        given=given,
        ask=lambda plant, subject, headers: get(plant, path.format(subject), headers),
        holds=holds,
        left=lambda plant, subject: require(get(plant, path.format(subject), {}).is_success, "A", path),
        is_variation=True,
    )


OPERATING = {
    "start of an upload": Act(ask=_begin, answers=frozenset({201}), holds=_may_be_used, left=lambda *_: None),
    "photo of an upload": Act(
        given=_begun, ask=_put, answers=frozenset({204, 409}), holds=_has_come, left=_is_half_an_upload
    ),
    "resolve": Act(given=_two_failed, ask=_resolve, holds=_are_resolved, left=_are_as_they_were),
    "plan of named jobs": Act(
        given=_two_failed,
        ask=_plan_named,
        answers=frozenset({201}),
        holds=_is_planned_once,
        left=_is_planned_once_or_not,
    ),
    "plan by filters": Act(
        given=_of_a_tenant,
        ask=_plan_filtered,
        answers=frozenset({201}),
        holds=_is_planned_once,
        left=_is_planned_once_or_not,
        is_variation=True,
    ),
    "advance": Act(
        given=to_replay,
        ask=_advance,
        holds=is_replayed,
        left=is_replayed,
        whose="anybody",  # jobs are opened side by side
        is_swept_beside=False,
    ),
    "cancel of a replay": Act(
        given=_cut_off,
        ask=_cancel,
        holds=_is_cut_short,
        left=_is_cut_short,
        whose="anybody",  # as above
        is_swept_beside=False,
    ),
    "advance of what has ended": Act(
        given=_owes_an_end,
        ask=_advance,
        holds=_is_let_go,
        left=_is_let_go,
        is_swept_beside=False,
        is_variation=True,
    ),
    "pause": Act(given=_running, ask=_pause, holds=_is_paused, left=_is_paused_or_not),
    "pause of what is paused": Act(
        given=_paused, ask=_pause, holds=_is_paused, left=_is_paused_or_not, is_variation=True
    ),
    "resume": Act(
        given=partial(_paused, pushes=[_WORKER]), ask=_resume, holds=_is_resumed, left=_is_paused_or_not
    ),
    "warm-up": Act(
        given=_cold,
        ask=lambda plant, _subject, headers: post(plant, "/warmup", headers),
        answers=frozenset({202}),
        holds=_is_told,
        left=_is_told,
    ),
    "reading a job": _reading("/v1/jobs/{}"),
    "reading a result": _reading("/v1/jobs/{}/results/color"),
    "reading a job's records": _reading("/v1/jobs/{}/records", _failed),
    "reading open jobs": _reading("/v1/jobs?status=open"),
    "reading dead letters": _reading("/v1/dead-letters?since=1m&limit=5", _failed),
    "reading a dead letter": _reading("/v1/dead-letters/{}", _failed),
    "reading its photo": _reading("/v1/dead-letters/{}/photo", _failed),
    "reading replays": _reading("/v1/replays?limit=1", _replayed),
    "reading a replay": _reading("/v1/replays/{}", _replayed),
    "reading what holds jobs": _reading("/v1/delivery"),
    "reading what is deployed": _reading("/v1/models", _deployed),
    "reading whether it is ready": _reading("/ready"),
}
