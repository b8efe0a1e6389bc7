"""How long the worker takes to acknowledge a message whose job has settled already."""

import json
from pathlib import Path

from bench.effort import Effort
from bench.load import Call, Drive, Load, ask
from bench.photo import TYPICAL_BYTES, submission
from bench.processes import api, bare, worker
from bench.rows import Row
from bench.timings import in_turns, rows_of
from shared.messages import Envelope, JobMessage, encode, wrap


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Settle a job for real, then deliver its message again and again."""
    with api(data) as accepting, worker(data) as working, bare(data) as theirs:
        _, body = ask(accepting.port, submission(TYPICAL_BYTES))
        job_id = json.loads(body)["id"]
        push = push_of(job_id)
        ask(working.port, push)
        _require_succeeded(accepting.port, job_id)
        loads = [
            Load(port=s.port, call=push, clients=1, calls=effort.redeliveries) for s in (working, theirs)
        ]
        what = "redelivery of a settled job"
        timings = in_turns(what, effort.rounds, lambda: drive(loads[0]), lambda: drive(loads[1]))
    return rows_of(what, timings, 20.0)


def push_of(job_id: str) -> Call:
    """Return the call that delivers a job's message as the queue does."""
    envelope = Envelope(message_id="bench", data=encode(JobMessage(job_id=job_id)))
    body = json.dumps(wrap(envelope, published_at="2026-01-01T00:00:00Z")).encode()
    return Call(
        method="POST", path="/push", expects=204, headers={"Content-Type": "application/json"}, body=body
    )


def _require_succeeded(port: int, job_id: str) -> None:
    """Check that it is a done job that is delivered again; 204 alone would not say so."""
    _, body = ask(port, Call(method="GET", path=f"/v1/jobs/{job_id}", expects=200))
    job = json.loads(body)
    if job["status"] != "succeeded":
        raise RuntimeError(f"the job to redeliver is {job['status']}, expected succeeded: {job['error']}")
