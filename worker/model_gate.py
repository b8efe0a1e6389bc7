"""The one model of this process: loaded in the background, warmed with a real photo, then served.

Readiness runs the path that jobs run on the very object that serves them (field report 2, 4, 27).  A
model that cannot be loaded ends the process: a worker never serves on something else (field report 33).
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shared.errors import ShuttingDownError, TransientError, WorkerBusyError
from worker.matting import MattingModel

log = logging.getLogger(__name__)

_LOOK_S = 0.1


@dataclass
class ModelGate:
    """Holds deliveries back until the model is ready."""

    is_stopping: Callable[[], bool] = lambda: False
    _model: MattingModel | None = None
    _ready: threading.Event = field(default_factory=threading.Event)

    def open(self, model: MattingModel) -> None:
        """Let deliveries through to a model that has been warmed."""
        self._model = model
        self._ready.set()

    @property
    def engine(self) -> dict[str, Any] | None:
        """What the job's record says about the engine, or ``None`` while it is not ready."""
        if self._model is None:
            return None
        return {
            "name": self._model.name,
            "version": self._model.version,
            "checkpoint_sha256": self._model.checkpoint_sha256,
        }

    def model(self, *, within_s: float) -> MattingModel:
        """Return the model as soon as it is ready.

        Raises
        ------
        WorkerBusyError
            If it is not ready within the time given.
        ShuttingDownError
            If the process is being stopped.
        """
        until = time.monotonic() + within_s
        while not self._ready.wait(_LOOK_S if within_s else 0):
            if self.is_stopping():
                raise ShuttingDownError("The worker is being stopped.")
            if time.monotonic() >= until:
                raise WorkerBusyError("The model is still being loaded.")
        if self._model is None:
            raise WorkerBusyError("The model is still being loaded.")
        return self._model


def load_in_background(
    gate: ModelGate,
    build: Callable[[], MattingModel],
    warm: Callable[[MattingModel], None],
    die: Callable[[], None],
    tell: Callable[[], None],
) -> threading.Thread:
    """Start loading; when the model has been warmed the gate opens, when it fails the process dies."""

    def load() -> None:
        began = time.monotonic()
        try:
            model = build()
            loaded = time.monotonic()
            warm(model)
        except BaseException:
            log.critical("worker.model_failed", exc_info=True)
            die()
            return
        gate.open(model)
        seconds = {"loaded_s": round(loaded - began, 3), "ready_s": round(time.monotonic() - began, 3)}
        log.info("worker.ready", extra={"engine": gate.engine, **seconds})
        try:
            tell()
        except TransientError:
            log.warning("worker.report_failed", exc_info=True)

    thread = threading.Thread(target=load, name="model-loader", daemon=True)
    thread.start()
    return thread
