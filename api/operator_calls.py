"""The calls that are for operators and for our own machinery; a part of ``api.calls``."""

from typing import Any

from api.call import ADMIN, IDEMPOTENCY, JOB_ID, Call, query
from api.operator_schemas import MOMENT
from api.schemas import ref

Paths = dict[str, dict[str, Call]]

_REPLAY_ID = {
    "name": "replay_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "the replay",
}
_LIMIT = query("limit", {"type": "integer"}, "1 to 1000; 50 if absent")
_FILTERS = (
    query("since", {"type": "string"}, f"{MOMENT}, UTC unless it says otherwise"),
    query("until", {"type": "string"}, "the same; where the time ends"),
    query("slug", {"type": "string"}, "why the jobs failed"),
    query("tenant", {"type": "string"}, "whose jobs, as the list names it"),
    query("engine", {"type": "string"}, "which engine worked on them"),
)


def _body(name: str, *, may_be_absent: bool = False) -> dict[str, Any]:
    return {"required": not may_be_absent, "content": {"application/json": {"schema": ref(name)}}}


def _dead_letters() -> Paths:
    return {
        "/v1/dead-letters": {
            "get": Call(
                summary="List the open dead letters that are meant, newest first",
                answers={200: "DeadLetters"},
                tag="operators",
                parameters=(ADMIN, *_FILTERS, _LIMIT),
                problems=(400, 404, 422),
            )
        },
        "/v1/dead-letters/{job_id}": {
            "get": Call(
                summary="Tell how a job has failed, and what was done about it",
                answers={200: "JobsDeadLetters"},
                tag="operators",
                parameters=(JOB_ID, ADMIN),
                problems=(400, 404),
            )
        },
        "/v1/dead-letters/{job_id}/photo": {
            "get": Call(
                summary="Open the photo of a job that has a dead letter; this is logged",
                answers={200: "bytes", 302: None},
                tag="operators",
                kind="image/*",
                parameters=(JOB_ID, ADMIN),
                problems=(400, 404, 410),
            )
        },
        "/v1/dead-letters/resolve": {
            "post": Call(
                summary="Write down that nothing more is to be done about some; all of them, or none",
                answers={200: "Resolved"},
                tag="operators",
                parameters=(ADMIN,),
                body=_body("Resolution"),
                problems=(400, 404, 409, 422),
            )
        },
    }


def _replays() -> Paths:
    return {
        "/v1/replays": {
            "get": Call(
                summary="List the replays, newest first",
                answers={200: "Replays"},
                tag="operators",
                parameters=(ADMIN, _LIMIT),
                problems=(400, 404, 422),
            ),
            "post": Call(
                summary="Freeze what is to be replayed, or with dry_run only count it",
                answers={200: "Selection", 201: "Replay"},
                tag="operators",
                parameters=(ADMIN, IDEMPOTENCY),
                body=_body("ReplayOrder"),
                problems=(400, 404, 409, 422),
            ),
        },
        "/v1/replays/{replay_id}": {
            "get": Call(
                summary="Tell how far a replay has come",
                answers={200: "Replay"},
                tag="operators",
                parameters=(_REPLAY_ID, ADMIN),
                problems=(400, 404),
            )
        },
        "/v1/replays/{replay_id}/advance": {
            "post": Call(
                summary="Take a replay's next step, if one is due",
                answers={200: "Replay"},
                tag="operators",
                parameters=(_REPLAY_ID, ADMIN),
                problems=(400, 404),
            )
        },
        "/v1/replays/{replay_id}/cancel": {
            "post": Call(
                summary="End a replay; the jobs that it has opened go on",
                answers={200: "Replay"},
                tag="operators",
                parameters=(_REPLAY_ID, ADMIN),
                body=_body("Statement", may_be_absent=True),
                problems=(400, 404, 409, 422),
            )
        },
    }


def _internal() -> Paths:
    return {
        "/v1/jobs/{job_id}/records": {
            "get": Call(
                summary="Read a job's records",
                answers={200: "Records"},
                tag="operators",
                parameters=(JOB_ID, ADMIN),
                problems=(400, 404),
            )
        },
        "/internal/sweep": {
            "post": Call(
                summary="Run one sweep",
                answers={200: "Counts"},
                tag="operators",
                problems=(401, 403),
            )
        },
        "/internal/broom": {
            "post": Call(
                summary="Delete what nobody may be given any more",
                answers={200: "Counts"},
                tag="operators",
                problems=(401, 403),
            )
        },
        "/internal/events": {
            "post": Call(
                summary="Take over that a job has settled",
                answers={204: None},
                tag="operators",
                problems=(401, 403),
            )
        },
        "/internal/dead-letters": {
            "post": Call(
                summary="Take a message that the queue gave up",
                answers={204: None},
                tag="operators",
                problems=(401, 403),
            )
        },
    }


def operator_calls() -> Paths:
    """Return every call that is not a client's, by path and method."""
    return {**_dead_letters(), **_replays(), **_internal()}
