"""The settings decide which adapters serve, and nothing is loaded that does not."""

import subprocess
import sys
from pathlib import Path

from shared.adapters import build_beside, build_doorkeeper, build_queue, build_store
from shared.callers import admit_this_machine
from shared.folder_store import FolderStore
from shared.gcs import GcsStore
from shared.pubsub import PubSubQueue
from shared.settings import Settings
from shared.side_by_side import here, in_thread
from shared.sqlite_queue import SqliteQueue
from tests.test_settings import EMULATED, GOOD, IN_THE_CLOUD

ROOT = Path(__file__).resolve().parent.parent


def test_folder_and_file_are_this_machines(tmp_path: Path) -> None:
    settings = Settings.from_environ({**GOOD, "CUTOUT_STORE": (tmp_path / "objects").as_uri()})
    assert isinstance(build_store(settings), FolderStore)
    assert isinstance(build_queue(settings), SqliteQueue)
    assert build_beside(settings) is here
    assert build_doorkeeper(settings) is admit_this_machine


def test_bucket_and_project_are_googles_clients(monkeypatch) -> None:
    """Cloud Storage's client reads its emulator's address by itself, as it reads credentials."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", EMULATED["STORAGE_EMULATOR_HOST"])
    settings = Settings.from_environ({**IN_THE_CLOUD, **EMULATED})
    assert isinstance(build_store(settings), GcsStore)
    assert isinstance(build_queue(settings), PubSubQueue)
    assert build_beside(settings) is in_thread
    assert build_doorkeeper(settings) is admit_this_machine


def test_one_machine_never_loads_googles_clients(tmp_path: Path) -> None:
    """They would more than double the API's memory."""
    script = f"""
import sys
from shared.adapters import build_doorkeeper, build_queue, build_store
from shared.settings import Settings
settings = Settings.from_environ({ {**GOOD, "CUTOUT_STORE": (tmp_path / "objects").as_uri()}!r})
build_store(settings), build_queue(settings), build_doorkeeper(settings)
foreign = ("google.auth", "google.cloud", "google.pubsub_v1", "grpc", "requests")
print([name for name in foreign if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
