"""Replays for operators: plan one, look at it, take its next step, end it."""

import logging
from typing import Any

from flask import Blueprint, Response, jsonify, request

from api import damage
from api.identity import new_replay_id
from api.job_view import base_url
from api.operator_orders import DEFAULT_CANARY, OPERATOR, ReplayOrder, read_cancellation, read_replay_order
from api.operators import for_operator, read_limit, require_known
from api.services import Services
from shared import dead_letter_index, replays
from shared.errors import (
    FieldFault,
    IdempotencyKeyReusedError,
    InternalError,
    InvalidValueError,
    JobNotFoundError,
    NothingSelectedError,
    NotReplayableError,
    ReplayNotFoundError,
)
from shared.replay_progress import read_plan
from shared.replaying import Driver
from shared.replays import Plan, Selected

log = logging.getLogger(__name__)
routes = Blueprint("replays", __name__)

#: More than this is more than one plan may hold.
MAX_SELECTED = 50_000
_SHOWN = 20


@routes.get("/v1/replays")
def list_replays() -> Response:
    """List replays, newest first."""
    app = for_operator()
    require_known("limit")
    limit = read_limit()
    plans = replays.plans(app.ledger.store.list("replays/"))
    driver = Driver(ledger=app.ledger, by=OPERATOR)
    told = [document for replay_id in plans[:limit] if (document := _told(driver, replay_id))]
    return jsonify(count=len(plans), truncated=len(plans) > limit, replays=told)


def _told(driver: Driver, replay_id: str) -> dict[str, Any] | None:
    """Tell of a replay; one that is damaged must not hide the others."""
    try:
        return driver.look(replay_id).document()
    except (InternalError, ArithmeticError, KeyError, TypeError, ValueError):
        log.exception("replay.unreadable", extra={"replay": replay_id})
        return None


@routes.post("/v1/replays")
def plan() -> Response:
    """Freeze what is to be replayed; nothing is until a driver takes the first step."""
    app = for_operator()
    now = app.ledger.clock()
    replay_id, is_keyed = new_replay_id(request, app.settings, now)
    order = read_replay_order(request, now)
    if is_keyed and (found := _known(app, replay_id, order)):
        return _planned(app, found, is_new=False)
    selection = _selection(app, order)
    canary = _canary(order, len(selection))
    if order.is_dry:
        shown = [job_id for job_id, _ in selection[:_SHOWN]]
        filters = order.filters.document()
        return jsonify(count=len(selection), canary=canary, jobs=shown, filters=filters)
    wanted = _plan(app, replay_id, order, selection, canary)
    found = Driver(ledger=app.ledger, by=order.by).begin(wanted)
    return _planned(app, _agree(found, order), is_new=found == wanted)


@routes.get("/v1/replays/<replay_id>")
def show(replay_id: str) -> Response:
    """Return how far a replay has come."""
    app = for_operator()
    return jsonify(_driver(app, replay_id).look(replay_id).document())


@routes.post("/v1/replays/<replay_id>/advance")
def advance(replay_id: str) -> Response:
    """Take a replay's next step, if one is due."""
    app = for_operator()
    return jsonify(_driver(app, replay_id).advance(replay_id).document())


@routes.post("/v1/replays/<replay_id>/cancel")
def cancel(replay_id: str) -> Response:
    """End a replay; the jobs that it has opened go on."""
    app = for_operator()
    statement = read_cancellation(request)
    return jsonify(_driver(app, replay_id).cancel(replay_id, statement.by, statement.reason).document())


# --- planning -----------------------------------------------------------------------------------


def _known(app: Services, replay_id: str, order: ReplayOrder) -> Plan | None:
    """Return the plan that a key stands for already."""
    try:
        return _agree(read_plan(app.ledger.store, replay_id), order)
    except ReplayNotFoundError:
        return None


def _agree(found: Plan, order: ReplayOrder) -> Plan:
    if found.request_digest != order.digest:
        raise IdempotencyKeyReusedError("The key was used for another replay; use a new key.")
    return found


def _selection(app: Services, order: ReplayOrder) -> tuple[Selected, ...]:
    if order.jobs:
        return tuple(_replayable(app, job_id) for job_id in order.jobs)
    found = dead_letter_index.find(app.ledger, order.filters, app.ledger.clock())
    letters = sorted(found, key=lambda letter: (letter.at, letter.key))
    if not letters:
        raise NothingSelectedError("No open dead letter is meant by these filters; list shows what there is.")
    if len(letters) > MAX_SELECTED:
        detail = f"{len(letters)} dead letters are meant; narrow the time to {MAX_SELECTED} at most"
        raise InvalidValueError(detail, faults=[FieldFault("filters", detail)])
    return tuple(letter.key for letter in letters)


def _replayable(app: Services, job_id: str) -> Selected:
    with damage.named(app.ledger, job_id):
        job = app.ledger.job(job_id)
    if job is None:
        raise JobNotFoundError(f"There is no job {job_id}.")
    if job.is_closed or job.status != "failed":
        what = "erased" if job.is_closed else job.status
        raise NotReplayableError(f"{job_id} is {what}; only a job that has failed can be replayed.")
    return job_id, job.epoch


def _canary(order: ReplayOrder, count: int) -> int:
    if order.canary is not None and order.canary > count:
        detail = f"canary is {order.canary}, and only {count} are selected; expected {count} at most"
        raise InvalidValueError(detail, faults=[FieldFault("canary", detail)])
    return min(DEFAULT_CANARY, count) if order.canary is None else order.canary


def _plan(
    app: Services, replay_id: str, order: ReplayOrder, selection: tuple[Selected, ...], canary: int
) -> Plan:
    return Plan(
        id=replay_id,
        created_at=app.ledger.clock(),
        by=order.by,
        reason=order.reason,
        rate_per_s=order.rate_per_s,
        canary=canary,
        stop_above=order.stop_above,
        selection=selection,
        filters={"jobs": list(order.jobs)} if order.jobs else order.filters.document(),
        request_digest=order.digest,
    )


def _planned(app: Services, found: Plan, *, is_new: bool) -> Response:
    response = jsonify(_driver(app, found.id).look(found.id).document())
    response.status_code = 201
    response.headers["Location"] = f"{base_url()}/v1/replays/{found.id}"
    if not is_new:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _driver(app: Services, replay_id: str) -> Driver:
    if not replays.is_replay_id(replay_id):
        raise ReplayNotFoundError(f"There is no replay {replay_id[:80]}.")
    return Driver(ledger=app.ledger, by=OPERATOR)
