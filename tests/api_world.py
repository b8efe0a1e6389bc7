"""The API over a service in memory, spoken to as a client does."""

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flask import Flask
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import TestResponse, encode_multipart

from api.app import create_app
from api.services import Services
from shared.callers import Doorkeeper, admit_this_machine
from shared.settings import Settings
from tests.world import Process, World

#: Always the same: for a new one the form parser compiles new patterns.
BOUNDARY = "--------------------------boundary"
ORIGIN = "https://shop.example"
PREVIEW = "https://theme-7.preview.example"
FOREIGN = "https://evil.example"


@dataclass
class ApiWorld(World):
    """A world with an API in front."""

    admin_key: str | None = None
    public_url: str | None = None
    admit: Doorkeeper = admit_this_machine

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asleep: Callable[[], None] = lambda: None
        self.client = self.api()

    def api(self, process: Process | None = None) -> Any:
        """Return a client of an API whose ports tell a process about each call."""
        settings = Settings(
            store=Path("/nowhere"),
            queue=Path("/nowhere"),
            secret_key=b"s" * 32,
            admin_key=self.admin_key,
            public_url=self.public_url,
            retention_days=self.kept_for.days,
            cors_origins=(ORIGIN, "https://*.preview.example"),
        )
        services = Services(
            settings=settings,
            ledger=self.ledger(process),
            admit=self.admit,
            monotonic=self.clock.monotonic,
            sleep=self._sleep,
        )
        app = copy.copy(_built(settings))  # its routes are the same, and to compile them takes 25 ms
        app.extensions = {"cutout": services}
        return app.test_client()

    def _sleep(self, seconds: float) -> None:
        self.clock.turn(seconds=seconds)
        self.asleep()

    def submit(
        self, client: Any = None, *, headers: dict[str, str] | None = None, **fields: Any
    ) -> TestResponse:
        """Submit a photo; ``image=None`` sends none, and a field may be anything a form takes."""
        form = {"image": (io.BytesIO(self.photo), "photo.jpg")} | fields
        form = {name: value for name, value in form.items() if value is not None}
        # Encoded here: the test client would leave a temporary file of its own open.
        parts = MultiDict((k, _part(v)) for k, values in form.items() for v in _listed(values))
        boundary, body = encode_multipart(parts, BOUNDARY)
        content_type = f'multipart/form-data; boundary="{boundary}"'
        return (client or self.client).post(
            "/v1/jobs", data=body, headers=headers or {}, content_type=content_type
        )

    def submitted(self, **kwargs: Any) -> str:
        """Submit a photo that is taken, and return its job's id."""
        answer = self.submit(**kwargs)
        assert answer.status_code == 202, answer.json
        return answer.json["id"]

    def done(self, **kwargs: Any) -> str:
        """Submit a photo, and let a worker do it."""
        job_id = self.submitted(**kwargs)
        self.deliver(job_id=job_id)
        return job_id


@cache
def _built(settings: Settings) -> Flask:
    """Return an application whose services are still to come."""
    return create_app(SimpleNamespace(settings=settings))


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _part(value: Any) -> Any:
    """Return a form's value, or the file that (stream, name[, type]) stands for."""
    if not isinstance(value, tuple):
        return value
    stream, name, *content_type = value
    return FileStorage(
        io.BytesIO(stream.getvalue()), name, content_type=content_type[0] if content_type else None
    )


def slug(answer: TestResponse) -> tuple[int, str]:
    """Return a problem's status and slug, and hold it to the shape that all have."""
    problem = answer.json
    assert answer.content_type == "application/problem+json"
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"/problems/{problem['slug']}"
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    return answer.status_code, problem["slug"]
