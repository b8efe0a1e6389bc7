"""What an operator asks for: filters, replays, reasons; checked whole before anything is done."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from flask import Request

from api.intake import read_json_object
from api.one_line import read_line
from shared.dead_letter_index import Filter
from shared.dead_letters import SOUGHT
from shared.errors import InvalidValueError, UnknownFieldError
from shared.faults import Faults
from shared.messages import is_job_id
from shared.moments import EXPECTED, read_moment
from shared.replays import LEAST_RATE_PER_S

MAX_RATE_PER_S = 100
MAX_REASON = 500
#: Jobs that may be named one by one.
MAX_NAMED = 100
#: What tells dead letters apart.
FILTERS = ("since", "until", *SOUGHT)
#: Who asks, unless they say.
OPERATOR = "operator"
DEFAULT_RATE_PER_S, DEFAULT_CANARY, DEFAULT_STOP_ABOVE = 5.0, 5, 0.2

_MAX_BYTES = 131_072
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOrder:
    """What is to be replayed, how, by whom and why."""

    jobs: tuple[str, ...]
    filters: Filter
    by: str
    reason: str
    rate_per_s: float
    canary: int | None  #: ``None``: five, or as many as there are
    stop_above: float
    is_dry: bool
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Who does something, why, and to which jobs."""

    by: str = OPERATOR
    reason: str = ""
    jobs: tuple[str, ...] = ()


def read_filter(given: Mapping[str, Any], now: datetime) -> Filter:
    """Read a filter of dead letters, in which ages count from now."""
    values = _read(given, {"since": _time(now), "until": _time(now), **_FILTERS})
    wanted = Filter(**values)
    if wanted.since and wanted.until and wanted.since >= wanted.until:
        faults = Faults()
        with faults.of("until"):
            raise InvalidValueError("until is not after since; it is where the time ends")
        faults.raise_first()
    return wanted


def read_replay_order(request: Request, now: datetime) -> ReplayOrder:
    """Read the body of ``POST /v1/replays``; ages count from now."""
    document = read_json_object(request, _MAX_BYTES)
    values = _read(document, _REPLAY, needed=("reason",))
    filters = read_filter(values.get("filters", {}), now)
    faults = Faults()
    with faults.of("jobs"):
        if bool(values.get("jobs")) == bool(filters.document()):
            raise InvalidValueError(
                "give either jobs or filters, and not both: a replay of everything is none"
            )
    faults.raise_first()
    return ReplayOrder(
        jobs=values.get("jobs", ()),
        filters=filters,
        by=values.get("by", OPERATOR),
        reason=values["reason"],
        rate_per_s=values.get("rate_per_s", DEFAULT_RATE_PER_S),
        canary=values.get("canary"),
        stop_above=values.get("stop_above", DEFAULT_STOP_ABOVE),
        is_dry=values.get("dry_run", False),
        digest=hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest(),
    )


def read_resolution(request: Request) -> Statement:
    """Read the body of ``POST /v1/dead-letters/resolve``."""
    return _statement(
        read_json_object(request, _MAX_BYTES), ("jobs", "reason", "by"), needed=("jobs", "reason")
    )


def read_cancellation(request: Request) -> Statement:
    """Read the body of ``POST /v1/replays/{id}/cancel``; all of it may be missing where there is haste."""
    return _statement(read_json_object(request, _MAX_BYTES, may_be_absent=True), ("reason", "by"))


def _statement(
    document: Mapping[str, Any], fields: tuple[str, ...], needed: tuple[str, ...] = ()
) -> Statement:
    return Statement(**_read(document, {name: _REPLAY[name] for name in fields}, needed))


# --- fields -------------------------------------------------------------------------------------

_Reader = Callable[[str, Any], Any]


def _read(
    given: Mapping[str, Any], readers: Mapping[str, _Reader], needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Read every field by its reader, and report all faults together."""
    faults, values = Faults(), {}
    for name, value in given.items():
        with faults.of(name):
            values[name] = readers[name](name, value) if name in readers else _unknown(name, readers)
    for name in needed:
        if name not in given:
            with faults.of(name):
                raise InvalidValueError(f"{name} is missing")
    faults.raise_first()
    return values


def _unknown(name: str, readers: Mapping[str, _Reader]) -> NoReturn:
    raise UnknownFieldError(f"{name[:_MAX_TEXT]} is not a field here; there are: {', '.join(readers)}")


def _time(now: datetime) -> _Reader:
    def read(name: str, value: Any) -> datetime:
        try:
            return read_moment(value, now)
        except (TypeError, ValueError):
            raise InvalidValueError(f"{name} is {str(value)[:40]!r}; expected {EXPECTED}") from None

    return read


def _text(most: int) -> _Reader:
    return lambda name, value: read_line(name, value, most)


def _jobs(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_NAMED:
        given = f"has {len(value)}" if isinstance(value, list) else f"is {str(value)[:40]!r}"
        raise InvalidValueError(f"{name} {given}; expected a list of 1 to {MAX_NAMED} jobs")
    strangers = [str(item)[:40] for item in value if not is_job_id(item)]
    if strangers:
        raise InvalidValueError(f"{name} has {', '.join(map(repr, strangers[:5]))}; expected job_...")
    return tuple(dict.fromkeys(value))


def _rate(name: str, value: Any) -> float:
    if not _is_number(value) or not LEAST_RATE_PER_S <= value <= MAX_RATE_PER_S:
        raise InvalidValueError(
            f"{name} is {value!r}; expected at least {LEAST_RATE_PER_S}, at most {MAX_RATE_PER_S} a second"
        )
    return float(value)


def _canary(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidValueError(f"{name} is {value!r}; expected a whole number, 0 or more")
    return value


def _share(name: str, value: Any) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise InvalidValueError(f"{name} is {value!r}; expected a share from 0 to 1")
    return float(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidValueError(f"{name} is {value!r}; expected true or false")
    return value


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValueError(f"{name} is not a JSON object")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FILTERS: Mapping[str, _Reader] = {name: _text(_MAX_TEXT) for name in SOUGHT}
_REPLAY: Mapping[str, _Reader] = {
    "jobs": _jobs,
    "filters": _object,
    "reason": _text(MAX_REASON),
    "by": _text(_MAX_TEXT),
    "rate_per_s": _rate,
    "canary": _canary,
    "stop_above": _share,
    "dry_run": _flag,
}
