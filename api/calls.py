"""Every call of the API, its parameters and its answers; tests hold this against the routes."""

from typing import Any

from api.call import (
    ADMIN,
    EFFECT,
    IDEMPOTENCY,
    JOB_ID,
    KEY,
    KNOWN,
    NAME,
    PREFER,
    SLUG,
    Call,
    query,
)
from api.delivery_calls import delivery_calls
from api.operator_calls import operator_calls
from api.schemas import ref
from api.upload_calls import upload_calls

Paths = dict[str, dict[str, Call]]


def _submission() -> dict[str, Any]:
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": ref("Form")},
            "application/json": {"schema": ref("Order")},
        },
    }


def _jobs() -> Paths:
    read = (JOB_ID, KEY, KNOWN, PREFER)
    return {
        "/v1/jobs": {
            "post": Call(
                summary="Submit a photo; the job is answered at once",
                answers={202: "Job"},
                tag="jobs",
                parameters=(KEY, IDEMPOTENCY),
                body=_submission(),
                problems=(400, 404, 409, 410, 413, 415, 422),
            ),
            "get": Call(
                summary="List the jobs that are open, oldest first",
                answers={200: "OpenJobs"},
                tag="operators",
                parameters=(
                    ADMIN,
                    query("status", {"const": "open"}, "must be open"),
                    query("limit", {"type": "integer"}, "1 to 1000; 50 if absent"),
                ),
                problems=(400, 404, 422),
            ),
        },
        "/v1/jobs/{job_id}": {
            "get": Call(
                summary="Read a job",
                answers={200: "Job", 304: None},
                tag="jobs",
                parameters=read,
                problems=(400, 404),
            ),
            "delete": Call(
                summary="Erase a settled job's photo and pictures",
                answers={204: None},
                tag="jobs",
                parameters=(JOB_ID, KEY),
                problems=(400, 404, 409),
            ),
        },
        "/v1/jobs/{job_id}/cancel": {
            "post": Call(
                summary="Withdraw a job",
                answers={200: "Job"},
                tag="jobs",
                parameters=(JOB_ID, KEY),
                problems=(400, 404, 409),
            )
        },
        "/v1/jobs/{job_id}/results/{name}": {
            "get": Call(
                summary="Get a picture",
                answers={200: "bytes", 206: "bytes", 302: None, 304: None},
                tag="jobs",
                kind="image/*",
                parameters=(JOB_ID, NAME, KEY, KNOWN),
                problems=(400, 404, 409, 410),
            )
        },
    }


def _catalogue() -> Paths:
    return {
        "/v1/effects": {
            "get": Call(
                summary="List the effects",
                answers={200: "Effects"},
                tag="catalogue",
            )
        },
        "/v1/effects/{name}/thumbnail": {
            "get": Call(
                summary="See what an effect looks like",
                answers={200: "bytes", 304: None},
                tag="catalogue",
                kind="image/webp",
                parameters=(EFFECT, KNOWN),
                problems=(404,),
            )
        },
        "/v1/models": {
            "get": Call(
                summary="List the engines",
                answers={200: "Models"},
                tag="catalogue",
            )
        },
        "/problems/{slug}": {
            "get": Call(
                summary="Explain a problem",
                answers={200: "Meaning"},
                tag="catalogue",
                parameters=(SLUG,),
                problems=(404,),
            )
        },
    }


def _probes() -> Paths:
    return {
        "/warmup": {
            "post": Call(
                summary="Say that work is expected",
                answers={202: "Warmup"},
                tag="jobs",
            )
        },
        "/health": {
            "get": Call(
                summary="Is the process alive",
                answers={200: "Health"},
                tag="probes",
            )
        },
        "/ready": {
            "get": Call(
                summary="Can photos be taken",
                answers={200: "Ready", 503: "Ready"},
                tag="probes",
            )
        },
        "/robots.txt": {
            "get": Call(
                summary="Keep crawlers away",
                answers={200: "bytes"},
                tag="probes",
                kind="text/plain",
            )
        },
        "/openapi.json": {
            "get": Call(
                summary="This description",
                answers={200: None},
                tag="probes",
            )
        },
        "/docs": {
            "get": Call(
                summary="This description as a page", answers={200: "bytes"}, tag="probes", kind="text/html"
            )
        },
    }


def calls() -> Paths:
    """Return every call by path and method."""
    return {
        **_jobs(),
        **upload_calls(),
        **_catalogue(),
        **_probes(),
        **operator_calls(),
        **delivery_calls(),
    }
