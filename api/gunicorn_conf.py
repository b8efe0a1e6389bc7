"""How gunicorn runs the API: one small process, threads that spool uploads and wait for jobs."""

import ctypes
import resource
import signal
import sys
from typing import Any

workers = 1
worker_class = "api.patient.PatientWorker"
threads = 32
#: That wait for their turn or to be worth one; each holds a descriptor and a few kilobytes.
worker_connections = 4000
timeout = 120
#: SIGTERM to SIGKILL is 10 s on Cloud Run.
graceful_timeout = 7
keepalive = 75
accesslog = None
#: Its default path is shared by every gunicorn of a user.
control_socket_disable = True

_PR_SET_PDEATHSIG = 1
_DESCRIPTORS = 2 * worker_connections


def post_fork(server: Any, worker: Any) -> None:
    """Let the child die with its master, so that no killed service goes on unseen; let it open many files."""
    del server, worker
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(now, _DESCRIPTORS)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most)
    )
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
