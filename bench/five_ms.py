"""Two workers for one broker: ours with an engine that takes 5 ms, and the least that writes as much.

Theirs sleeps as long and creates as many durable files, and keeps no promise.
"""

import os
import secrets
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from flask import Flask, Response, request

from shared import logs
from shared.adapters import build_beside, build_queue, build_store
from shared.ledger import Ledger
from shared.settings import Settings
from shared.side_by_side import in_thread
from worker.app import Lifecycle, create_app
from worker.arrays import OPAQUE, Rgb
from worker.matting import Matting
from worker.matting.disc import DiscModel
from worker.model_gate import ModelGate
from worker.running import ThreadRunner, die_now
from worker.services import Services
from worker.slots import Slots

TAKES_S = 0.005


class FiveMs:
    """Finds a disc with a hard edge, so that there is no colour to unmix, and takes its time."""

    name, version, checkpoint_sha256 = "disc", "1", None

    def __init__(self) -> None:
        self._found: dict[tuple[int, ...], Matting] = {}  # once a size: to find it takes another 0.3 ms

    def alpha(self, rgb: Rgb) -> Matting:
        """Implement ``MattingModel``."""
        time.sleep(TAKES_S)
        if rgb.shape not in self._found:
            soft = DiscModel().alpha(rgb)
            hard = np.where(soft.alpha > OPAQUE // 2, OPAQUE, 0).astype(np.uint8)
            self._found[rgb.shape] = replace(soft, alpha=hard)
        return self._found[rgb.shape]


def ours() -> Flask:
    """Build the worker as it is, but for its engine."""
    settings = Settings.from_environ(os.environ)  # noqa: TID251 - as the worker does
    logs.configure("worker", "bench")
    stopping, gate = threading.Event(), ModelGate()
    gate.open(FiveMs())
    ledger = Ledger(
        store=build_store(settings),
        queue=build_queue(settings),
        clock=lambda: datetime.now(UTC),
        pace=settings.pace,
        beside=build_beside(settings),
    )
    services = Services(
        ledger=ledger,
        gate=gate,
        slots=Slots(settings.slots, stopping.is_set),
        instance="bench",
        revision="bench",
        run=ThreadRunner(is_stopping=stopping.is_set, grace_s=30, die=die_now),
        beside=in_thread,
        is_stopping=stopping.is_set,
    )
    return create_app(Lifecycle(services=services, stopping=stopping))


def theirs(folder: str, files: int, folders: int) -> Flask:
    """Build the bare handler; its folders stand in each other, as ours do."""
    app, root = Flask(__name__, static_folder=None), Path(folder)

    def push() -> Response:
        request.get_data(cache=False)
        time.sleep(TAKES_S)
        inner = root
        for _ in range(folders):
            inner = _create_folder(inner)
        for _ in range(files):
            _create(inner)
        return Response(status=204)

    app.add_url_rule("/push", view_func=push, methods=["POST"])
    app.add_url_rule("/ready", view_func=lambda: Response(status=200))
    return app


def _create_folder(parent: Path) -> Path:
    """Create a folder whose name survives a power cut."""
    folder = parent / secrets.token_hex(16)
    folder.mkdir()
    _sync(parent)
    return folder


def _create(root: Path) -> None:
    """Create a file that survives a power cut, name and all."""
    draft = root / f".{secrets.token_hex(16)}"
    with draft.open("xb") as file:
        file.write(b"{}")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(root / draft.name[1:])
    _sync(root)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
