"""What an answer of the service means to the command: taken, refused, or come back later.

Each meaning that is not "taken" is one error, and carries the exit status of the whole command.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import click
import httpx
from tenacity import RetryCallState, wait_random_exponential

from shared.errors import InternalError

_BUSY = frozenset({429, 502, 503, 504})
_MAX_DETAIL = 300

#: To who is no operator there is nothing where operators ask.
_STRANGER = "\nFor operators? Give --admin-key KEY, or set CUTOUT_ADMIN_KEY, to what the API has."

_PAUSE = wait_random_exponential(multiplier=0.1, max=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """For how long a call is repeated, in seconds."""

    first_answer_s: float = 5.0  #: until the service has answered once; `up` may just be starting
    return_s: float = 30.0  #: after that: a service that has answered is coming back
    busy_s: float = 60.0  #: while it answers that it is busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A job as it was seen, and the tag that tells whether it has changed since."""

    job: dict[str, Any]
    etag: str | None

    @classmethod
    def in_answer(cls, response: httpx.Response) -> Self:
        """Read the job that an answer holds."""
        return cls(job=read_object(response, "id", "status"), etag=response.headers.get("ETag"))


class RefusedError(click.ClickException):
    """The service said no; asking again would not change that."""

    exit_code = 1


class DamagedError(click.ClickException):
    """A picture did not arrive as the job describes it."""

    exit_code = 1


class UnreachableError(click.ClickException):
    """There is no service, it stays busy, or a job did not settle in time."""

    exit_code = 3


class BusyError(Exception):
    """One answer that says to come back later."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(problem_text(_problem(response)))
        after = response.headers.get("Retry-After", "")
        self.retry_after_s = float(after) if after.isdecimal() else None


def problem_text(problem: Mapping[str, Any]) -> str:
    """Say what a problem document says, in one line."""
    title, detail = str(problem.get("title") or "Refused"), str(problem.get("detail") or "")
    text = title if detail.rstrip(".") in {"", title} else f"{title}: {detail}"
    slug = problem.get("slug") or problem.get("status") or "unknown"
    asked_for = problem.get("request_id") if slug == InternalError.slug else None
    return one_line(f"{text} [{slug}, request {asked_for}]" if asked_for else f"{text} [{slug}]")


def one_line(text: object) -> str:
    """Make a text safe to print: one line, without control characters."""
    return "".join(c if c.isprintable() else " " for c in " ".join(str(text).split()))


def check(response: httpx.Response) -> httpx.Response:
    """Return an answer that is neither a refusal nor a request to come back later."""
    if response.status_code in _BUSY:
        raise BusyError(response)
    if response.is_error:
        problem = _problem(response)
        hint = _STRANGER if problem.get("slug") == "not-found" else ""
        raise RefusedError(f"{problem_text(problem)}{hint}")
    return response


def read_object(response: httpx.Response, *members: str) -> dict[str, Any]:
    """Read an answer's JSON object, or say that whoever answered is not ours."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or any(name not in document for name in members):
        host = response.url.copy_with(path="/", query=None)
        raise UnreachableError(f"{host} answers, but not like a Cutout; check --url")
    return document


def is_worth_repeating(error: BaseException) -> bool:
    """Whether the same call may be answered better a moment later."""
    lasting = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
    return isinstance(error, httpx.TransportError | BusyError) and not isinstance(error, lasting)


def pause_s(state: RetryCallState) -> float:
    """Return how long to wait before the next try: what the service asked for, or a little."""
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, BusyError) else None
    return _PAUSE(state) if asked_s is None else asked_s


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    """Read a problem document, or make one of an answer that a proxy may have given."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if isinstance(document, dict) and ("title" in document or "detail" in document):
        return document
    return {
        "title": f"HTTP {response.status_code} {response.reason_phrase}".rstrip(),
        "detail": response.text[:_MAX_DETAIL],
        "status": response.status_code,
    }
