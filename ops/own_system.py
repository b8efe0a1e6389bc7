"""A system of one's own for as long as a command runs, and photos sent to it as a user would send them."""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
#: The photographs that come with the project.
PHOTOS = ROOT / "tests" / "photos"

_START_WITHIN_S, _STOP_WITHIN_S = 60, 15


@contextmanager
def own_system() -> Iterator[str]:
    """Run ``./cutout up`` beside us on a temporary folder, give its URL, and leave nothing of it behind."""
    with tempfile.TemporaryDirectory(prefix="cutout-") as data:
        command = [sys.executable, "-m", "ops", "up", "--port", "0", "--data", data]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            timer = threading.Timer(_START_WITHIN_S, process.kill)
            try:
                timer.start()
                line = process.stdout.readline() if process.stdout else ""
                timer.cancel()
                if not line.startswith("ready "):
                    raise click.ClickException("the system did not start; the lines above say why")
                yield line.removeprefix("ready ").strip()
            finally:
                timer.cancel()
                _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()


def send(
    photos: Sequence[Path], out: Path, url: str, options: Sequence[str]
) -> tuple[bool, dict[str, dict[str, Any]]]:
    """Submit photos by the command that a user would take.

    Returns
    -------
    tuple[bool, dict[str, dict[str, Any]]]
        Whether all succeeded, and the jobs by their photo's stem.
    """
    command = [sys.executable, "-m", "ops", "submit", *map(str, photos), "--url", url]
    options = [*options, "-o", str(out.absolute()), "--json"]
    done = subprocess.run([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    jobs = [json.loads(line) for line in done.stdout.splitlines()]
    # Photos are told apart by their bytes: jobs come in the order in which they settled.
    by_size = {photo.stat().st_size: photo.stem for photo in photos}
    return done.returncode == 0, {by_size[job["input"]["bytes"]]: job for job in jobs}
