"""The data folder of a system on one machine: locked by one ``up``, holding everything that must last."""

import fcntl
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.folder_store import FolderStore

_ABANDONED = timedelta(hours=1)


class FolderInUseError(Exception):
    """Another ``up`` runs on the folder."""


@dataclass(frozen=True)
class DataFolder:
    """Paths in the folder, and what is done to them at start and stop."""

    root: Path

    @property
    def objects(self) -> Path:
        """Photos, records and results."""
        return self.root / "objects"

    @property
    def queue(self) -> Path:
        """The broker's file."""
        return self.root / "queue.db"

    @property
    def uploads(self) -> Path:
        """Where uploads are spooled: on the objects' file system, so that they need not be copied."""
        return self.root / "tmp"

    @property
    def run_file(self) -> Path:
        """Process ids and URLs, while the system runs."""
        return self.root / "run.json"

    def log(self, service: str) -> Path:
        """Where a service's events go."""
        return self.root / "logs" / f"{service}.log"

    def lock(self) -> int:
        """Take the folder for this process, for as long as it lives; return the lock's descriptor.

        Raises
        ------
        FolderInUseError
            If another process has it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.root / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode().strip() or "unknown"
            os.close(lock)
            raise FolderInUseError(
                f"{self.root} is in use by another ./cutout up (process {holder}); "
                "stop it, or choose another --data."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        return lock

    def prepare(self) -> None:
        """Make what is missing, and remove what killed processes have left half done."""
        shutil.rmtree(self.uploads, ignore_errors=True)
        for folder in (self.uploads, self.root / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        FolderStore(self.objects).sweep_temporary(_ABANDONED)
        self.run_file.unlink(missing_ok=True)

    def secret(self) -> str:
        """Return the key that job ids are made with, and make it on the first start."""
        path = self.root / "secret.key"
        if not path.exists():
            draft = path.with_suffix(".draft")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_hex(32))
            draft.replace(path)
        return path.read_text().strip()

    def write_run_file(self, document: dict[str, Any]) -> None:
        """Say where the system runs; readers see it whole or not at all."""
        draft = self.run_file.with_suffix(".draft")
        draft.write_text(json.dumps(document, indent=2) + "\n")
        draft.replace(self.run_file)
