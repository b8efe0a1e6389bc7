"""What an operator asks: which jobs are open, and what has happened to one."""

import json
from typing import Any

from flask import Blueprint, Response, jsonify, request

from api.delivery import told
from api.identity import require_operator
from api.services import Services, services
from shared import records
from shared.errors import FieldFault, InvalidValueError, JobNotFoundError, NoSuchObjectError
from shared.messages import is_job_id
from shared.pausing import read_pause
from shared.ports import Stat

routes = Blueprint("operators", __name__)

_MOST = 1000
_READABLE = (".json", ".beat")


@routes.get("/v1/jobs")
def list_open() -> Response:
    """List the jobs that still owe something, oldest first."""
    app = services()
    require_operator(request, app.settings)
    if request.args.get("status") != "open":
        raise _invalid("status", "only status=open can be listed")
    markers = sorted(app.ledger.store.list("open/").objects, key=lambda stat: stat.updated)
    known = [(stat, parsed) for stat in markers if (parsed := records.parse_marker(stat.name))]
    limit = _limit()
    jobs = [_open_job(app, stat, *parsed) for stat, parsed in known[:limit]]
    return jsonify(
        count=len(known),
        oldest_age_s=round(known[0][0].age.total_seconds(), 1) if known else None,
        truncated=len(known) > limit,
        jobs=jobs,
        **told(read_pause(app.ledger.store)),
    )


@routes.get("/v1/jobs/<job_id>/records")
def read_records(job_id: str) -> Response:
    """Return everything that is on record about a job but what its client has attached."""
    app = services()
    require_operator(request, app.settings)
    listing = app.ledger.store.list(records.job_prefix(job_id)) if is_job_id(job_id) else None
    if listing is None or not listing.objects:
        raise JobNotFoundError
    others = [
        stat for p in (f"open/{job_id}.", f"results/{job_id}/") for stat in app.ledger.store.list(p).objects
    ]
    found = sorted([*listing.objects, *others], key=lambda stat: stat.name)
    return jsonify(id=job_id, now=listing.now.isoformat(), records=[_record(app, stat) for stat in found])


def _open_job(app: Services, marker: Stat, job_id: str, epoch: int) -> dict[str, Any]:
    trace = app.ledger.history(job_id).epoch(epoch)
    if trace is None:
        status = "uncommitted"
    else:
        status = "settling" if trace.terminal else "processing" if trace.claims else "queued"
    return {"id": job_id, "epoch": epoch, "status": status, "age_s": round(marker.age.total_seconds(), 1)}


def _record(app: Services, stat: Stat) -> dict[str, Any]:
    facts = {"name": stat.name, "size": stat.size, "updated": stat.updated.isoformat()}
    if not stat.name.startswith("jobs/") or not stat.name.endswith(_READABLE):
        return facts | {"record": None}
    try:
        document = json.loads(app.ledger.store.read(stat.name).data)
    except (NoSuchObjectError, ValueError):
        document = None
    if isinstance(document, dict):
        document.pop("metadata", None)
    return facts | {"record": document}


def _limit() -> int:
    text = request.args.get("limit", "50")
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise _invalid("limit", f"limit is {text[:20]!r}; expected 1 to {_MOST}")
    return int(text)


def _invalid(field: str, detail: str) -> InvalidValueError:
    return InvalidValueError(detail, faults=[FieldFault(field, detail)])
