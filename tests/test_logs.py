"""A log line is one JSON object that says what happened and to what."""

import io
import json
import logging

import pytest

from shared import logs


@pytest.fixture
def lines():
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.configure("worker", "rev-1", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def test_an_event_carries_its_facts_and_what_is_bound(lines) -> None:
    with logs.bound(job_id="job_a", trace=None):
        logging.getLogger("x").info("job.settled", extra={"status": "succeeded"})
    logging.getLogger("x").warning("outside")
    first, second = lines()
    assert (first["severity"], first["message"], first["service"], first["revision"]) == (
        "INFO",
        "job.settled",
        "worker",
        "rev-1",
    )
    assert (first["job_id"], first["status"]) == ("job_a", "succeeded")
    assert "trace" not in first
    assert "job_id" not in second


def test_a_traceback_is_one_line(lines) -> None:
    try:
        int("oops")
    except ValueError:
        logging.getLogger("x").exception("attempt.failed")
    (event,) = lines()
    assert "ValueError: invalid literal" in event["traceback"]
