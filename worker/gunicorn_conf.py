"""How gunicorn runs the worker: one process with one model, threads that mostly wait."""

import ctypes
import os
import signal
import sys
from types import FrameType
from typing import Any

workers = 1
worker_class = "worker.serving.ServingWorker"
threads = 16
#: The queue gives a delivery 600 s; gunicorn's own timeout does not bound a threaded request.
timeout = 120
#: SIGTERM to SIGKILL is 10 s on Cloud Run.
graceful_timeout = 6
keepalive = 75
accesslog = None
#: Its default path is shared by every gunicorn of a user.
control_socket_disable = True

_PR_SET_PDEATHSIG = 1


def post_fork(server: Any, worker: Any) -> None:
    """Let the child die with its master, so that no killed worker goes on unseen."""
    del server, worker
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def post_worker_init(worker: Any) -> None:
    """Whatever signal asks us to stop, release every claim first, then let gunicorn end the process."""
    lifecycle = worker.wsgi.extensions["cutout"]
    inherited = signal.getsignal(signal.SIGTERM)

    def stop(signum: int, frame: FrameType | None) -> None:
        lifecycle.stop()
        if callable(inherited):
            inherited(signum, frame)

    # gunicorn's own handlers for these two end the process without an answer to those who wait.
    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(asked, stop)


def worker_exit(server: Any, worker: Any) -> None:
    """End at once: a forward pass in flight must not hold the process."""
    del server
    if hasattr(worker, "wsgi"):
        worker.wsgi.extensions["cutout"].leave()
        os._exit(0)
