"""API and worker in this process, over one store: each port call is written down, with a meter's reading."""

import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from api.app import create_app
from api.services import Services as ApiServices
from bench.cloud import BUCKET
from shared.ledger import Ledger
from shared.memory_queue import MemoryQueue
from shared.messages import Envelope, JobMessage, encode, wrap
from shared.pace import CLOUD
from shared.places import Bucket
from shared.ports import ObjectStore
from shared.settings import Settings
from shared.side_by_side import Beside
from worker.handler import Outcome, handle
from worker.matting import MattingModel
from worker.model_gate import ModelGate
from worker.services import Services
from worker.slots import Slots

TWO_EFFECTS = "color,enhancedblackwhite"
_IDS = ((re.compile(r"job_\w+"), "JOB"), (re.compile(r"upload_\w+"), "UPLOAD"))


@dataclass
class Told:
    """A port that writes down which calls are made of it, and what a meter says at the end of each."""

    port: object
    meter: Callable[[], float]
    calls: list[tuple[str, float]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            finally:
                self.calls.append((f"{name} {args[0]}", self.meter()))

        return call


@dataclass
class Line:
    """A service that takes photos and works on them when it is told to."""

    store: ObjectStore
    model: MattingModel
    beside: Beside
    slots: int = 1
    meter: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.told_store = Told(self.store, self.meter)
        self.told_queue = Told(MemoryQueue(_now), self.meter)
        ledger = Ledger(
            store=cast("ObjectStore", self.told_store),
            queue=cast("MemoryQueue", self.told_queue),
            clock=_now,
            pace=CLOUD,
            beside=self.beside,
        )
        settings = Settings(store=Bucket(BUCKET), queue=Path("/nowhere"), secret_key=b"b" * 32)
        self._api = create_app(ApiServices(settings=settings, ledger=ledger))
        gate = ModelGate()
        gate.open(self.model)
        self._worker = Services(
            ledger=ledger,
            gate=gate,
            slots=Slots(self.slots),
            instance="bench",
            revision="bench",
            beside=self.beside,
        )

    def submit(self, photo: bytes, **headers: str) -> str:
        """Submit a photo for two effects; return the job's id."""
        form = {"image": (io.BytesIO(photo), "photo.jpg"), "effects": TWO_EFFECTS}
        answer = self._api.test_client().post("/v1/jobs", data=form, headers=headers)
        if answer.status_code != 202:  # noqa: PLR2004 - the status itself
            raise RuntimeError(f"a photo was answered {answer.status_code}: {answer.text[:500]}")
        job_id: str = answer.get_json()["id"]
        return job_id

    def cancel(self, job_id: str) -> None:
        """Withdraw a job."""
        answer = self._api.test_client().post(f"/v1/jobs/{job_id}/cancel")
        if answer.status_code != 200:  # noqa: PLR2004 - the status itself
            raise RuntimeError(f"a cancel was answered {answer.status_code}: {answer.text[:500]}")

    def deliver(self, job_id: str) -> None:
        """Deliver a job's message, which must settle it."""
        envelope = Envelope(message_id="bench", data=encode(JobMessage(job_id=job_id)))
        body = json.dumps(wrap(envelope, published_at="2026-01-01T00:00:00Z")).encode()
        if handle(body, self._worker) is not Outcome.ACK:
            raise RuntimeError(f"the delivery of {job_id} was refused")

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the job as its client sees it."""
        document: dict[str, Any] = self._api.test_client().get(f"/v1/jobs/{job_id}").get_json()
        return document

    def ended(self, call: str) -> float:
        """Return what the meter said at the end of a call of the store."""
        return next(at for name, at in reversed(self.told_store.calls) if name == call)


def without_ids(call: str) -> str:
    """Return a call's name without what is another in each job."""
    for pattern, word in _IDS:
        call = pattern.sub(word, call)
    return call


def _now() -> datetime:
    return datetime.now(UTC)
