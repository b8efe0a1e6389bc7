"""The cloud on this machine: a fake of Cloud Storage and the Pub/Sub emulator, each a process of its own.

The fake speaks the JSON API to Google's own client, takes as long for each request as it is told, and counts.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psutil
from google.cloud import storage as google

from bench.load import Call, ask
from bench.processes import environment, process
from ops.emulator import emulator_command, free_port, is_listening
from shared.gcs import GcsStore, connect
from shared.gcs_patience import Patience
from shared.places import Project

BUCKET = "bench-pictures"
_PROJECT = "bench-project"
_EMULATED = "STORAGE_EMULATOR_HOST"
_UP_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeStorage:
    """A fake of Cloud Storage that runs."""

    url: str

    def told(self, **asked: object) -> dict[str, Any]:
        """Ask something of the fake itself, and return what it knows of its calls."""
        call = Call(method="PUT", path=f"/fake?{urlencode(asked)}", expects=200)
        _, body = ask(urlsplit(self.url).port or 0, call)
        facts: dict[str, Any] = json.loads(body)
        return facts

    @property
    def requests(self) -> int:
        """How many requests it has had."""
        return sum(self.told()["calls"].values())

    def refused_for_pace(self) -> int:
        """How many changes it has refused because the name had been changed within the second before."""
        return sum(status == 429 for _, status in self.told()["refused"])  # noqa: PLR2004 - the status itself

    @contextmanager
    def slowed(self, ms: float) -> Iterator[None]:
        """Let every request take so much longer for a while."""
        self.told(latency_ms=ms)
        try:
            yield
        finally:
            self.told(latency_ms=0)

    def connected(self, patience: Patience | None = None) -> GcsStore:
        """Connect Google's client to it, as the services do."""
        with self._in_environment():
            return connect(BUCKET, patience=patience)

    def bucket(self) -> google.Bucket:
        """Return its bucket as Google's client gives it, for their side."""
        with self._in_environment():
            return google.Client(project=_PROJECT).bucket(BUCKET)

    @contextmanager
    def _in_environment(self) -> Iterator[None]:
        """Say where it is to clients that are made in this process; they read it by themselves."""
        os.environ[_EMULATED] = self.url  # noqa: TID251 - Google's client takes it from nowhere else
        try:
            yield
        finally:
            del os.environ[_EMULATED]  # noqa: TID251


@contextmanager
def fake_storage(data: Path) -> Iterator[FakeStorage]:
    """Run the fake until the block ends."""
    log = data / "storage.log"
    command = [sys.executable, "-m", "tests.gcs_fake", "--port", "0"]
    with process(command, environment(data), log) as started:
        yield FakeStorage(url=_first_line(log, started))


@contextmanager
def pubsub(data: Path) -> Iterator[Project]:
    """Run the Pub/Sub emulator until the block ends."""
    port, log = free_port(), data / "pubsub.log"
    with process(emulator_command(port), environment(data), log) as started:
        until = time.monotonic() + _UP_WITHIN_S
        while not is_listening(port):
            _require_up(started, until, log)
        yield Project(_PROJECT, f"127.0.0.1:{port}")


def cloud_settings(storage: FakeStorage, project: Project) -> Mapping[str, str]:
    """Return the settings of a service over both."""
    return {
        "CUTOUT_STORE": f"gs://{BUCKET}",
        "CUTOUT_QUEUE": f"pubsub://{project.id}",
        _EMULATED: storage.url,
        "PUBSUB_EMULATOR_HOST": project.emulator or "",
    }


def _first_line(log: Path, started: psutil.Process) -> str:
    until = time.monotonic() + _UP_WITHIN_S
    while "\n" not in (text := log.read_text()):
        _require_up(started, until, log)
    return text.partition("\n")[0]


def _require_up(started: psutil.Process, until: float, log: Path) -> None:
    if time.monotonic() > until or started.status() == psutil.STATUS_ZOMBIE:
        raise TimeoutError(f"it did not start; its log ends:\n{log.read_text()[-2000:]}")
    time.sleep(0.02)
