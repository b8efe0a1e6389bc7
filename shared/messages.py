"""What travels through the queue, and the envelope in which a push delivers it.

A message says which job and epoch wants attention and nothing else; everything else is in the records.
Messages are readable one version back and one forward, and members nobody knows are passed over.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import MalformedMessageError

JOBS = "cutout-jobs"
DEAD_JOBS = "cutout-jobs-dead"
EVENTS = "cutout-events"

VERSION = 1

_MAX_ID = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMessage:
    """A job's epoch owes something."""

    job_id: str
    epoch: int = 0
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupMessage:
    """Somebody expects work soon."""

    window: str  #: names the warm-up, so that it is answered once


Message = JobMessage | WarmupMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One delivery of one message, as pushed."""

    message_id: str
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    attempt: int | None = None
    subscription: str = ""


def encode(message: Message) -> bytes:
    """Write a message as published."""
    if isinstance(message, WarmupMessage):
        return json.dumps({"version": VERSION, "type": "warmup", "window": message.window}).encode()
    document: dict[str, Any] = {
        "version": VERSION,
        "type": "job",
        "job_id": message.job_id,
        "epoch": message.epoch,
    }
    if message.traceparent:
        document["traceparent"] = message.traceparent
    return json.dumps(document).encode()


def decode(data: bytes) -> Message:
    """Read a message.

    Raises
    ------
    MalformedMessageError
        If it cannot be understood by this version.
    """
    document = _json_object(data)
    version = document.get("version")
    if version not in range(VERSION - 1, VERSION + 2):
        raise MalformedMessageError(
            f"message version {version!r}; this build reads {VERSION - 1} to {VERSION + 1}"
        )
    if document.get("type", "job") == "warmup":
        return WarmupMessage(window=str(document.get("window", "")))
    job_id, epoch = document.get("job_id"), document.get("epoch", 0)
    if not is_job_id(job_id) or not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
        raise MalformedMessageError(f"message names job {job_id!r}, epoch {epoch!r}")
    traceparent = document.get("traceparent")
    return JobMessage(
        job_id=str(job_id), epoch=epoch, traceparent=traceparent if isinstance(traceparent, str) else None
    )


def is_job_id(value: object) -> bool:
    """Whether a value can be a job's id; nothing else may ever become part of an object's name."""
    return (
        isinstance(value, str)
        and value.startswith("job_")
        and len(value) <= _MAX_ID
        and value[4:].isascii()
        and value[4:].isalnum()
    )


def wrap(envelope: Envelope, *, published_at: str) -> dict[str, Any]:
    """Write the body of a push, in the shape of Pub/Sub's."""
    return {
        "message": {
            "data": base64.b64encode(envelope.data).decode(),
            "attributes": dict(envelope.attributes),
            "messageId": envelope.message_id,
            "publishTime": published_at,
        },
        "subscription": envelope.subscription,
        "deliveryAttempt": envelope.attempt,
    }


def unwrap(body: bytes) -> Envelope:
    """Read the body of a push.

    Raises
    ------
    MalformedMessageError
        If it is not the envelope that Pub/Sub and our broker send.
    """
    document = _json_object(body)
    message = document.get("message")
    if not isinstance(message, dict):
        raise MalformedMessageError("the push has no message")
    try:
        data = base64.b64decode(message.get("data", ""), validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise MalformedMessageError(f"the message's data is not base64: {error}") from error
    attributes, attempt = message.get("attributes") or {}, document.get("deliveryAttempt")
    return Envelope(
        message_id=str(message.get("messageId", "")),
        data=data,
        attributes={str(k): str(v) for k, v in attributes.items()} if isinstance(attributes, dict) else {},
        attempt=attempt if isinstance(attempt, int) else None,
        subscription=str(document.get("subscription", "")),
    )


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedMessageError(f"expected a JSON object, got {type(document).__name__}")
    return document
