"""The shapes of what the API takes and gives, as JSON Schema."""

from typing import Any

from shared.catalogue import EFFECTS
from shared.engines import ENGINES
from shared.errors import every_error
from shared.orders import MAX_METADATA_BYTES
from shared.photo_gate import MAX_DIRECT_BYTES, TYPES
from shared.recipes import CROPS, EDGES, FORMATS

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """Refer to one of the schemas below."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Schema], *, optional: tuple[str, ...] = (), more: bool = False) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": more}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NUMBER: Schema = {"type": "number"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_URL: Schema = {"type": "string", "format": "uri"}
_ANYTHING: Schema = {"type": "object"}
_STARTED = "when a worker first claimed it, in this epoch; it may have waited for its slot since"
_DELIVERY: dict[str, Schema] = {
    "delivery": {"enum": ["running", "paused"]},
    "pause": _object({"at": _TIME, "by": _TEXT, "reason": _TEXT}),
}


def _number(low: float, high: float, about: str) -> Schema:
    return {"type": "number", "minimum": low, "maximum": high, "description": about}


def _recipe() -> dict[str, Schema]:
    """Return the members of a recipe, as a client gives them."""
    effect = {
        "anyOf": [_TEXT, _object({"name": _TEXT}, more=True)],
        "description": f"A name or alias ({', '.join(EFFECTS)}), or an object with its parameters.",
    }
    return {
        "effects": {"anyOf": [{"type": "array", "items": effect}, _TEXT], "description": "color if absent"},
        "format": {"enum": list(FORMATS), "default": "png", "description": "jpeg needs a background"},
        "background": {"type": "string", "default": "transparent", "description": "transparent or #rrggbb"},
        "edges": {"enum": list(EDGES), "default": "plain", "description": "refined: sharpened by the photo"},
        "crop": {"enum": list(CROPS), "default": "none"},
        "margin": _number(0, 0.5, "of the subject's longer side; 0.05 if absent"),
        "max_side": {"type": "integer", "minimum": 64, "maximum": 12_000, "description": "px"},
        "print_width_mm": _number(10, 5000, "with print_height_mm, or neither"),
        "print_height_mm": _number(10, 5000, "with print_width_mm, or neither"),
        "engine": {"enum": list(ENGINES), "description": "must be the deployed one"},
        "metadata": {
            "type": "object",
            "description": f"at most {MAX_METADATA_BYTES} bytes, given back as it came",
        },
    }


def _picture() -> Schema:
    return _object(
        {
            "url": _URL,
            "content_type": _TEXT,
            "width": _COUNT,
            "height": _COUNT,
            "bytes": _COUNT,
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        }
    )


def _problem(*, of_a_job: bool = False) -> Schema:
    fault = _object({"field": _TEXT, "detail": _TEXT})
    members: dict[str, Schema] = {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what was wrong and what was expected; safe to show"},
        "slug": {"enum": sorted(every_error())},
        "request_id": _TEXT,
        "errors": {"type": "array", "items": fault},
    }
    if of_a_job:
        del members["request_id"]
    return _object(members, optional=("errors",))


def _job() -> Schema:
    nullable = {name: _or_null(_ANYTHING) for name in ("subject", "print", "engine", "timings_ms")}
    unread = {"width": _COUNT, "height": _COUNT, "content_type": _TEXT, "sha256": _TEXT}
    photo = {"bytes": _COUNT} | {name: _or_null(schema) for name, schema in unread.items()}
    return _object(
        {
            "id": {"type": "string", "pattern": "^job_[0-9A-Za-z]+$"},
            "status": {"enum": ["queued", "processing", "succeeded", "failed", "cancelled"]},
            "phase": {"enum": ["queued", "processing", "settled"]},
            "created_at": _TIME,
            "started_at": _or_null(_TIME) | {"description": _STARTED},
            "finished_at": _or_null(_TIME),
            "expires_at": _TIME,
            "attempt": _COUNT,
            "epoch": _COUNT,
            "eta_seconds": _or_null(_NUMBER),
            "recipe": _ANYTHING,
            "metadata": _ANYTHING,
            "input": _object(photo),
            "results": {"type": "object", "additionalProperties": ref("Picture")},
            "matte": _or_null(ref("Picture")),
            "preview": _or_null(ref("Picture")),
            **nullable,
            "error": _or_null(ref("JobProblem")),
            "links": _object({"self": _URL, "cancel": _URL}),
        }
    )


def _uploads() -> dict[str, Schema]:
    size = {"type": "integer", "minimum": 1, "maximum": MAX_DIRECT_BYTES}
    return {
        "UploadRequest": _object({"content_type": {"enum": list(TYPES)}, "bytes": size}),
        "Upload": _object(
            {
                "upload_id": _TEXT,
                "method": {"const": "PUT"},
                "url": _URL,
                "headers": {"type": "object", "additionalProperties": _TEXT},
                "max_bytes": _COUNT,
                "expires_at": _TIME,
            }
        ),
    }


def _parameter() -> Schema:
    value = {"type": ["number", "boolean", "string", "null"], "description": "null: not set unless given"}
    members: dict[str, Schema] = {
        "name": _TEXT,
        "type": {"enum": ["number", "integer", "boolean", "color", "choice"]},
        "default": value,
        "instead_of": {"type": ["string", "null"], "description": "give this one or that one, not both"},
        "summary": _TEXT,
        "minimum": _NUMBER,
        "maximum": _NUMBER,
        "unit": {
            "enum": ["1", "pm", "mm", "deg"],
            "description": "pm: thousandths of the subject's longer side",
        },
        "choices": {"type": "array", "items": _TEXT},
    }
    return _object(members, optional=("minimum", "maximum", "unit", "choices"))


def _lists() -> dict[str, Schema]:
    effect = _object(
        {
            "name": _TEXT,
            "aliases": {"type": "array", "items": _TEXT},
            "summary": _TEXT,
            "parameters": {"type": "array", "items": _parameter()},
            "thumbnail": _URL,
        }
    )
    model = _object(
        {
            "name": _TEXT,
            "summary": _TEXT,
            "licence": _TEXT,
            "training_data": _TEXT,
            "deployed": {"enum": [True, False, "unknown"]},
            "checkpoint_sha256": _or_null(_TEXT),
        }
    )
    status: Schema = {"enum": ["uncommitted", "queued", "processing", "settling"]}
    open_job = _object({"id": _TEXT, "epoch": _COUNT, "status": status, "age_s": _NUMBER})
    record = _object({"name": _TEXT, "size": _COUNT, "updated": _TIME, "record": _or_null(_ANYTHING)})
    return {
        "Effects": _object({"effects": {"type": "array", "items": effect}}),
        "Models": _object({"models": {"type": "array", "items": model}}),
        "OpenJobs": _object(
            {
                "count": _COUNT,
                "oldest_age_s": _or_null(_NUMBER),
                "truncated": {"type": "boolean"},
                "jobs": {"type": "array", "items": open_job},
                **_DELIVERY,
            },
            optional=("pause",),
        ),
        "Delivery": _object(
            {**_DELIVERY, "queue": {"enum": ["broker", "pubsub"]}, "pushes": _ANYTHING}, optional=("pause",)
        ),
        "Records": _object(
            {"id": _TEXT, "now": _TIME, "records": {"type": "array", "items": record}, **_DELIVERY},
            optional=("pause",),
        ),
    }


def _probes() -> dict[str, Schema]:
    return {
        "Health": _object(
            {
                "status": {"const": "healthy"},
                "container": {"const": "ready"},
                "version": _TEXT,
                "revision": _TEXT,
                "timestamp": _TIME,
            }
        ),
        "Ready": _object(
            {"status": {"enum": ["ready", "not-ready"]}, "revision": _TEXT, "faults": _ANYTHING} | _DELIVERY,
            optional=("faults", *_DELIVERY),
        ),
        "Warmup": _object({"worker": {"enum": ["cold", "warming", "warm"]}}),
        "Counts": {"type": "object", "additionalProperties": _COUNT},
        "Meaning": _object({"type": _TEXT, "title": _TEXT, "status": _COUNT, "meaning": _TEXT}),
    }


def schemas() -> dict[str, Schema]:
    """Return every schema by name."""
    members = _recipe()
    form = {
        "image": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP or HEIC"}
    } | members
    form["recipe"] = {"type": "string", "description": "all of the others as one JSON object"}
    return {
        "Job": _job(),
        "Picture": _picture(),
        "Problem": _problem(),
        "JobProblem": _problem(of_a_job=True),
        "Form": _object(form, optional=tuple(name for name in form if name != "image")),
        "Order": _object({"upload_id": _TEXT} | members, optional=tuple(members)),
        **_uploads(),
        **_lists(),
        **_probes(),
    }
