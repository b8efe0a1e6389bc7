"""Speak HTTP with the API: every call has timeouts, and is repeated for a bounded time where that is safe.

Every call here is safe to repeat: a submission carries its Idempotency-Key, all others change nothing
or the same thing twice.
"""

import hashlib
import ipaddress
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import click
import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception

from ops.answers import (
    BusyError,
    DamagedError,
    Patience,
    Seen,
    UnreachableError,
    check,
    is_worth_repeating,
    pause_s,
    read_object,
)
from ops.counted_file import CountedFile

_TIMEOUT = httpx.Timeout(30, connect=5)
#: An answer was lost, and the photo is sent again: the API's, and Cloud Storage's.
_THERE = frozenset({409, 412})
_SUBMIT_TIMEOUT = httpx.Timeout(60, connect=5)


@dataclass
class Client:
    """One user's view of one API."""

    http: httpx.Client
    url: str
    patience: Patience = field(default_factory=Patience)
    _has_answered: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    # --- calls ----------------------------------------------------------------------------------

    def submit(
        self, photo: Path, fields: Mapping[str, str], key: str, sent: Callable[[int], None] = lambda _: None
    ) -> Seen:
        """Send one photo from disk; the key makes it safe to send it again when the answer is lost."""

        def send() -> httpx.Response:
            with CountedFile(photo, sent) as file:
                return self.http.post(
                    f"{self.url}/v1/jobs",
                    data=fields,
                    files={"image": (photo.name, file)},
                    headers={"Idempotency-Key": key},
                    timeout=_SUBMIT_TIMEOUT,
                )

        return Seen.in_answer(self._ask(send))

    def put(self, url: str, headers: Mapping[str, str], photo: Path, sent: Callable[[int], None]) -> None:
        """Upload a photo to where a ticket says; that it is there already is as good."""

        def send() -> httpx.Response:
            given = {**headers, "Content-Length": str(photo.stat().st_size)}
            with CountedFile(photo, sent) as file:
                answer = self.http.put(url, content=file, headers=given, timeout=_SUBMIT_TIMEOUT)
            return httpx.Response(204, request=answer.request) if answer.status_code in _THERE else answer

        self._ask(send)

    def look(
        self, job_id: str, etag: str | None = None, *, wait_s: int = 0, within_s: float | None = None
    ) -> Seen | None:
        """Return a job, or ``None`` if after waiting it is still what its tag says."""
        headers = {"If-None-Match": etag} if etag else {}
        if wait_s > 0:
            headers["Prefer"] = f"wait={wait_s}"
        response = self._ask(lambda: self.http.get(self._job_url(job_id), headers=headers), within_s)
        return None if response.status_code == httpx.codes.NOT_MODIFIED else Seen.in_answer(response)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as it is now."""
        return self._get(self._job_url(job_id), "id", "status")

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Withdraw a job and return it."""
        return Seen.in_answer(self._ask(lambda: self.http.post(f"{self._job_url(job_id)}/cancel"))).job

    def open_jobs(self, limit: int) -> dict[str, Any]:
        """Return how many jobs are open, and the oldest of them (operators)."""
        return self._get(f"{self.url}/v1/jobs?status=open&limit={limit}", "count", "jobs")

    def get(self, path: str, *members: str, **query: Any) -> dict[str, Any]:
        """Return what is at a path of the API: an object with at least these members."""
        given = {name: value for name, value in query.items() if value is not None}
        return read_object(self._ask(lambda: self.http.get(f"{self.url}{path}", params=given)), *members)

    def post(self, path: str, body: Mapping[str, Any], *members: str, key: str = "") -> dict[str, Any]:
        """Send an order that may be repeated, and return an object with at least these members."""
        headers = {"Idempotency-Key": key} if key else {}
        url = f"{self.url}{path}"
        return read_object(self._ask(lambda: self.http.post(url, json=body, headers=headers)), *members)

    def records(self, job_id: str) -> dict[str, Any]:
        """Return every record of a job (operators)."""
        return self._get(f"{self._job_url(job_id)}/records", "records")

    def fetch(self, result: Mapping[str, Any], into: Path) -> None:
        """Write one picture to a file, as the job describes it.

        Raises
        ------
        DamagedError
            If its size or digest differs; what has arrived is left in the file.
        """
        size_bytes, sha256 = self.download(str(result.get("url")), into)
        if (size_bytes, sha256) != (result.get("bytes"), result.get("sha256")):
            raise DamagedError(
                f"{size_bytes} bytes with sha256 {sha256} arrived, the job says "
                f"{result.get('bytes')} with {result.get('sha256')}; fetch it again"
            )

    def download(self, url: str, into: Path) -> tuple[int, str]:
        """Write what is at a URL to a file, and return its size and sha256."""
        got: list[tuple[int, str]] = []
        self._ask(lambda: self._download(url, into, got))
        return got[-1]

    def _download(self, url: str, into: Path, got: list[tuple[int, str]]) -> httpx.Response:
        with self.http.stream("GET", url, follow_redirects=True) as response:
            if response.is_error:
                response.read()
                return response
            digest, size_bytes = hashlib.sha256(), 0
            with into.open("wb") as file:
                for chunk in response.iter_bytes():
                    size_bytes += file.write(chunk)
                    digest.update(chunk)
        got.append((size_bytes, digest.hexdigest()))
        return response

    # --- asking ---------------------------------------------------------------------------------

    def _job_url(self, job_id: str) -> str:
        return f"{self.url}/v1/jobs/{quote(job_id, safe='')}"

    def _get(self, url: str, *members: str) -> dict[str, Any]:
        return read_object(self._ask(lambda: self.http.get(url)), *members)

    def _ask(self, send: Callable[[], httpx.Response], within_s: float | None = None) -> httpx.Response:
        """Ask until there is an answer, for as long as patience and ``within_s`` allow."""
        retrying = Retrying(
            retry=retry_if_exception(is_worth_repeating),
            wait=pause_s,
            stop=lambda state: self._is_enough(state, within_s),
            reraise=True,
        )
        try:
            response: httpx.Response = retrying(lambda: self._once(send))
        except BusyError as error:
            raise UnreachableError(f"{self.url} stays busy: {error}") from error
        except (httpx.TransportError, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(
                f"no answer from {self.url} ({reason}): is ./cutout up running?"
            ) from error
        return response

    def _once(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        response = send()
        self._has_answered = True
        return check(response)

    def _is_enough(self, state: RetryCallState, within_s: float | None) -> bool:
        error = state.outcome.exception() if state.outcome else None
        limit_s = self.patience.return_s if self._has_answered else self.patience.first_answer_s
        if isinstance(error, BusyError):
            limit_s = self.patience.busy_s
        if within_s is not None:
            limit_s = min(limit_s, within_s)
        return (state.seconds_since_start or 0.0) + state.upcoming_sleep > limit_s


# --- building -----------------------------------------------------------------------------------


def connect(url: str, key: str | None) -> Client:
    """Return a client of the API at an address; closing it is the caller's."""
    try:
        base = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL as error:
        raise click.BadParameter(f"{url!r} is not a URL: {error}", param_hint="--url") from error
    if base.scheme not in {"http", "https"} or not base.host:
        raise click.BadParameter(f"{url!r}; expected http://HOST:PORT or https://HOST", param_hint="--url")
    # A proxy that is set for the internet cannot reach this machine.
    http = httpx.Client(timeout=_TIMEOUT, auth=_Bearer(base, key), trust_env=not _is_loopback(base.host))
    context = click.get_current_context(silent=True)
    patience = context.find_object(Patience) if context else None
    return Client(http=http, url=str(base), patience=patience or Patience())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Bearer(httpx.Auth):
    """Sends the key to the API and to nobody that a result's URL may name."""

    def __init__(self, base: httpx.URL, key: str | None) -> None:
        self._origin, self._key = (base.scheme, base.host, base.port), key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Implement ``httpx.Auth``."""
        if self._key and (request.url.scheme, request.url.host, request.url.port) == self._origin:
            request.headers["Authorization"] = f"Bearer {self._key}"
        yield request
