"""The shapes of what operators give and get, as JSON Schema; a part of ``api.schemas``."""

from api.operator_orders import (
    DEFAULT_CANARY,
    DEFAULT_RATE_PER_S,
    DEFAULT_STOP_ABOVE,
    MAX_NAMED,
    MAX_RATE_PER_S,
    MAX_REASON,
)
from api.schemas import Schema, ref
from shared.replays import LEAST_RATE_PER_S

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NUMBER: Schema = {"type": "number"}
_TIME: Schema = {"type": "string", "format": "date-time"}

_JOBS: Schema = {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_NAMED}
_REASON: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_REASON}
_WHO: Schema = {"type": "string", "default": "operator", "description": "who asks, for the record"}
#: How a moment may be given.
MOMENT = "a time, a day, or how long ago: 2026-11-25T06:00Z, 2026-11-25, 12h"


def operator_schemas() -> dict[str, Schema]:
    """Return every schema by name."""
    return {**_dead_letters(), **_replays(), **_pauses()}


def _object(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list_of(name: str, items: str) -> Schema:
    listed = {"type": "array", "items": ref(items)}
    return _object({"count": _COUNT, "truncated": {"type": "boolean"}, name: listed})


def _dead_letters() -> dict[str, Schema]:
    handled = _object({name: _or_null(_TEXT) for name in ("at", "by", "reason", "replay")})
    letter = {
        "id": _TEXT,
        "epoch": _COUNT,
        "at": _TIME,
        "state": {"enum": ["open", "replayed", "resolved", "closed"]},
        "handled": _or_null(handled),
        **{name: _or_null(_TEXT) for name in ("slug", "tenant", "engine", "settled_by")},
        "attempt": _or_null(_COUNT),
        "error": _or_null(ref("JobProblem")),
    }
    of_a_job = {
        "id": _TEXT,
        "epoch": _COUNT,
        "status": _TEXT,
        "expires_at": _TIME,
        "photo": {"type": "object"},
        "photo_kept": {"type": "boolean"},
        "dead_letters": {"type": "array", "items": ref("DeadLetter")},
    }
    names: Schema = {"type": "array", "items": _TEXT}
    return {
        "DeadLetter": _object(letter),
        "DeadLetters": _list_of("dead_letters", "DeadLetter"),
        "JobsDeadLetters": _object(of_a_job),
        "Statement": _object({"reason": _REASON, "by": _WHO}, optional=("reason", "by")),
        "Resolution": _object({"jobs": _JOBS, "reason": _REASON, "by": _WHO}, optional=("by",)),
        "Resolved": _object({"resolved": names, "already": names}),
    }


def _replays() -> dict[str, Schema]:
    moment = _TEXT | {"description": MOMENT}
    filters = dict.fromkeys(("since", "until"), moment) | dict.fromkeys(("slug", "tenant", "engine"), _TEXT)
    rate = {
        "type": "number",
        "minimum": LEAST_RATE_PER_S,
        "maximum": MAX_RATE_PER_S,
        "default": DEFAULT_RATE_PER_S,
    }
    share = {"type": "number", "minimum": 0, "maximum": 1, "default": DEFAULT_STOP_ABOVE}
    about_canary = f"so many are to answer before all others are opened; {DEFAULT_CANARY} if absent"
    order = {
        "jobs": _JOBS | {"description": "these jobs, or filters"},
        "filters": _object(filters, optional=tuple(filters)),
        "reason": _REASON,
        "by": _WHO,
        "rate_per_s": rate,
        "canary": {"type": "integer", "minimum": 0, "description": about_canary},
        "stop_above": share
        | {"description": "share of the answered that failed again; cancelled is no answer"},
        "dry_run": {"type": "boolean", "default": False, "description": "count, and change nothing"},
    }
    ended = _object({"by": _TEXT, "reason": _TEXT, "at": _or_null(_TIME)})
    counts = ("canary", "count", "position", "opened", "succeeded", "failed", "other", "pending")
    replay = {
        "id": _TEXT,
        "status": {"enum": ["running", "done", "stopped", "cancelled"]},
        "created_at": _TIME,
        "by": _TEXT,
        "reason": _TEXT,
        "filters": {"type": "object"},
        "rate_per_s": _NUMBER,
        "stop_above": _NUMBER,
        **dict.fromkeys(counts, _COUNT),
        "skipped": {"type": "object", "additionalProperties": _COUNT},
        "ended": _or_null(ended),
        "wait_s": _NUMBER | {"description": "until it is worth asking again"},
    }
    meant = {"type": "object", "description": "with times for ages: what an order of the same is to say"}
    few = {"type": "array", "items": _TEXT, "description": "the first of them"}
    return {
        "ReplayOrder": _object(order, optional=tuple(name for name in order if name != "reason")),
        "Selection": _object({"count": _COUNT, "canary": _COUNT, "jobs": few, "filters": meant}),
        "Replay": _object(replay),
        "Replays": _list_of("replays", "Replay"),
    }


def _pauses() -> dict[str, Schema]:
    attached = {
        "type": "array",
        "items": _TEXT,
        "description": "the pushes that are attached again: all on record, or it is refused",
    }
    return {
        "PauseRequest": _object(
            {"reason": _TEXT, "by": _TEXT, "pushes": {"type": "object"}}, optional=("by", "pushes")
        ),
        "ResumeRequest": _object({"attached": attached}, optional=("attached",)),
    }
