"""What operators do about jobs that have failed: resolve; plan, advance and cancel a replay (A7)."""

import time

import httpx

from shared import dead_letters, records, replays
from shared.replays import Plan, Step
from tests import loopback
from tests.chaos.acts import Act, Headers
from tests.chaos.errands import nothing_left, post
from tests.chaos.past import MOMENTS, ago, failed, planned, resolved
from tests.chaos.plant import Plant
from tests.chaos.waiting import WITHIN_S
from tests.promises import record, require

_TERMS = {"reason": "the worker was down", "rate_per_s": 100, "canary": 1}


def get(plant: Plant, path: str, headers: Headers) -> httpx.Response:
    return loopback.get(f"{plant.api.url}{path}", headers=headers, timeout=30)


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


REPLAYS = {
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
}
