"""A service that answers as its script says, for tests of the client."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from click.testing import CliRunner

from ops.answers import Patience
from ops.cli import main

JOB = "job_1"
PICTURE = b"a picture of a cat without its sofa"


@dataclass
class Request:
    method: str
    path: str
    headers: Any
    body: bytes


@dataclass
class Service:
    """Answers each request as its script says; a script is a list of answers, the last one repeats."""

    url: str = ""
    scripts: dict[str, list[Any]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def on(self, method_and_path: str, *answers: Any) -> None:
        self.scripts[method_and_path] = list(answers)

    def next_answer(self, method: str, path: str) -> Any:
        answers = self.scripts.get(
            f"{method} {path}", [problem(404, "job-not-found", "There is no such job")]
        )
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def sent(self, method_and_path: str) -> list[Request]:
        return [r for r in self.requests if f"{r.method} {r.path}" == method_and_path]


@dataclass(frozen=True)
class Answer:
    status: int = 200
    document: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


#: The connection is lost before the answer.
LOST = Answer(status=0)


def problem(status, slug, title, detail="", **headers) -> Answer:
    document = {"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail, "slug": slug}
    return Answer(status, document, {"Content-Type": "application/problem+json", **headers})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # its head and its body are two packets: 40 ms between them

    def answer(self) -> None:
        service = self.server.service
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        service.requests.append(Request(self.command, self.path, self.headers, body))
        answer = service.next_answer(self.command, self.path)
        if callable(answer):
            answer = answer(service.requests[-1])
        if answer is LOST:
            self.close_connection = True
            return
        data = answer.body if answer.body is not None else json.dumps(answer.document).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(data)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names that the standard library calls

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Service]:
    """Listen until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.service = Service(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def a_job(status="queued", job_id=JOB, **members) -> dict[str, Any]:
    open_phases = {"queued", "processing"}
    return {
        "id": job_id,
        "status": status,
        "phase": status if status in open_phases else "settled",
        "attempt": 0 if status == "queued" else 1,
        "created_at": "2026-01-01T00:00:00+00:00",
        "finished_at": None if status in open_phases else "2026-01-01T00:00:01.900000+00:00",
        "results": {},
        "engine": {"name": "grabcut"} if status == "succeeded" else None,
        "error": None,
        "links": {"self": f"http://example/v1/jobs/{job_id}"},
        **members,
    }


def a_picture(service, name, job_id=JOB, content_type="image/png", data=PICTURE) -> dict[str, Any]:
    """Describe a picture that the service redirects to its bytes."""
    path = f"/v1/jobs/{job_id}/results/{name}"
    service.on(f"GET {path}", Answer(302, {}, {"Location": f"/bytes/{job_id}/{name}"}))
    service.on(f"GET /bytes/{job_id}/{name}", Answer(body=data))
    digest = hashlib.sha256(PICTURE).hexdigest()
    url = service.url + path
    return {"url": url, "content_type": content_type, "bytes": len(PICTURE), "sha256": digest}


def a_success(service, job_id=JOB, **members) -> dict[str, Any]:
    return a_job("succeeded", job_id, results={"color": a_picture(service, "color", job_id)}, **members)


def a_failure(slug="no-subject", job_id=JOB) -> dict[str, Any]:
    error = {"title": "No subject was found in the photo", "detail": "Nothing stands out.", "slug": slug}
    return a_job("failed", job_id, error=error)


def accepts(service, *answers) -> None:
    """Accept one photo as ``JOB``, and let looking at it answer so."""
    service.on("POST /v1/jobs", Answer(202, a_job(), {"ETag": '"0"'}))
    service.on(f"GET /v1/jobs/{JOB}", *answers)


#: Short, so that a test that waits for the end of patience is not long.
BRISK = Patience(first_answer_s=0.3, return_s=0.6, busy_s=1.0)


def runner(service) -> Callable[..., Any]:
    """Return a function that runs one command against a service."""

    def invoke(*args: object, url: str = service.url) -> Any:
        words = [str(arg) for arg in args]
        depth = 2 if words[0] in {"dead-letters", "replays"} else 1
        return CliRunner().invoke(main, [*words[:depth], "--url", url, *words[depth:]], obj=BRISK)

    return invoke
