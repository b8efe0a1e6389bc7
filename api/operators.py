"""What an operator asks: which jobs are open, and what has happened to one."""

import json
from typing import Any

from flask import Blueprint, Response, jsonify, request

from api.delivery import told
from api.identity import require_operator
from api.services import Services, services
from shared import dead_letter_index, records
from shared.errors import (
    FieldFault,
    InternalError,
    InvalidValueError,
    JobNotFoundError,
    NoSuchObjectError,
    UnknownFieldError,
)
from shared.faults import Faults
from shared.history import EpochTrace, History
from shared.messages import is_job_id
from shared.pausing import read_pause
from shared.ports import Listing, Stat

routes = Blueprint("operators", __name__)

_MOST = 1000
_READABLE = (".json", ".beat")


@routes.get("/v1/jobs")
def list_open() -> Response:
    """List the jobs that still owe something, oldest first."""
    app = for_operator()
    require_known("status", "limit")
    if request.args.get("status") != "open":
        raise _invalid("status", "only status=open can be listed")
    markers = sorted(app.ledger.store.list("open/").objects, key=lambda stat: stat.updated)
    known = [(stat, parsed) for stat in markers if (parsed := records.parse_marker(stat.name))]
    limit = read_limit()
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
    app = for_operator()
    listing = app.ledger.store.list(records.job_prefix(job_id)) if is_job_id(job_id) else None
    if listing is None or not listing.objects:
        raise JobNotFoundError
    prefixes = [f"open/{job_id}.", f"results/{job_id}/", *_dead_prefixes(app, job_id, listing)]
    others = [stat for prefix in prefixes for stat in app.ledger.store.list(prefix).objects]
    found = sorted([*listing.objects, *others], key=lambda stat: stat.name)
    told_of = [_record(app, stat) for stat in found]
    held = told(read_pause(app.ledger.store))
    return jsonify(id=job_id, now=listing.now.isoformat(), records=told_of, **held)


def for_operator() -> Services:
    """Return the services, to an operator; to anybody else there is nothing here."""
    app = services()
    require_operator(request, app.settings)
    if request.method == "POST":
        require_known()
    return app


def _open_job(app: Services, marker: Stat, job_id: str, epoch: int) -> dict[str, Any]:
    status = status_of(app.ledger.history(job_id).epoch(epoch))
    return {"id": job_id, "epoch": epoch, "status": status, "age_s": round(marker.age.total_seconds(), 1)}


def status_of(trace: EpochTrace | None) -> str:
    """Say what an epoch is about that still owes something."""
    if trace is None:
        return "uncommitted"
    if trace.terminal:
        return "settling"
    return "processing" if trace.claims else "queued"


def _dead_prefixes(app: Services, job_id: str, listing: Listing) -> list[str]:
    """Return where a job's dead letters are; where a record is damaged, the others are told all the same."""
    try:
        return dead_letter_index.prefixes(app.ledger, History.from_listing(job_id, listing))
    except (InternalError, NoSuchObjectError, AttributeError, KeyError, TypeError, ValueError):
        return []


def _record(app: Services, stat: Stat) -> dict[str, Any]:
    facts = {"name": stat.name, "size": stat.size, "updated": stat.updated.isoformat()}
    if not stat.name.startswith(("jobs/", "dead/")) or not stat.name.endswith(_READABLE):
        return facts | {"record": None}
    try:
        document = json.loads(app.ledger.store.read(stat.name).data)
    except (NoSuchObjectError, ValueError):
        document = None
    if isinstance(document, dict):
        document.pop("metadata", None)
    return facts | {"record": document}


def require_known(*names: str) -> None:
    """Refuse a query that has other parameters, or one twice: its writer would be taken for meaning less."""
    expected = f"there are: {', '.join(names)}" if names else "an order's fields stand in its body"
    faults = Faults()
    for name, values in request.args.lists():
        with faults.of(name):
            if name not in names:
                raise UnknownFieldError(f"{name[:80]} is not a field here; {expected}")
            if len(values) > 1:
                raise InvalidValueError(f"{name} is given {len(values)} times; expected once")
    faults.raise_first()


def read_limit() -> int:
    """Return how many are to be listed."""
    text = request.args.get("limit", "50")
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise _invalid("limit", f"limit is {text[:20]!r}; expected 1 to {_MOST}")
    return int(text)


def _invalid(field: str, detail: str) -> InvalidValueError:
    return InvalidValueError(detail, faults=[FieldFault(field, detail)])
