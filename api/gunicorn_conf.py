"""How gunicorn runs the API: one small process, threads that spool uploads and wait for jobs."""

import ctypes
import signal
import sys
from typing import Any

workers = 1
worker_class = "api.patient.PatientWorker"
threads = 32
timeout = 120
#: SIGTERM to SIGKILL is 10 s on Cloud Run.
graceful_timeout = 7
keepalive = 75
accesslog = None
#: Its default path is shared by every gunicorn of a user.
control_socket_disable = True

_PR_SET_PDEATHSIG = 1


def post_fork(server: Any, worker: Any) -> None:
    """Let the child die with its master, so that no killed service goes on unseen."""
    del server, worker
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
