"""A Pub/Sub emulator for tests: on a port of its own, gone with whoever started it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.children import die_with_parent
from ops.emulator import emulator_command, free_port, is_listening

_UP_WITHIN_S = 30


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[str]:
    """Run an emulator; give its host and port."""
    port, log = port or free_port(), folder / "emulator.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            emulator_command(port),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call
        )
    try:
        until = time.monotonic() + _UP_WITHIN_S
        while not is_listening(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
