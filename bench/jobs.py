"""Jobs that were promised as the API promises them, without the API: for measurements of what comes after."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from PIL import Image

from bench.progress import track
from shared import records
from shared.checksums import crc32c
from shared.folder_store import FolderStore
from shared.ledger import Ledger
from shared.pace import ONE_MACHINE
from shared.recipes import Recipe
from shared.records import Accepted, PhotoPin
from shared.sqlite_queue import SqliteQueue

_AT_ONCE = 8
_SIDE_PX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Promising:
    """Promises jobs on a data folder."""

    ledger: Ledger
    queue: SqliteQueue
    photo: Path

    @classmethod
    def on(cls, data: Path) -> Self:
        """Promise on the folder that the services of ``bench.processes`` use."""
        data.mkdir(parents=True, exist_ok=True)
        photo = data / "photo.jpg"
        Image.linear_gradient("L").resize((_SIDE_PX, _SIDE_PX)).convert("RGB").save(photo)
        queue = SqliteQueue(data / "queue.db")
        ledger = Ledger(
            store=FolderStore(data / "objects"),
            queue=queue,
            clock=lambda: datetime.now(UTC),
            pace=ONE_MACHINE,
        )
        return cls(ledger=ledger, queue=queue, photo=photo)

    def promise(self, number: int, what: str, first: int = 0) -> list[str]:
        """Promise and publish so many jobs; return their ids."""
        ids = [f"job_{first + n:016}" for n in range(number)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for future in track([pool.submit(self._promise, job_id) for job_id in ids], what):
                future.result()
        return ids

    def _promise(self, job_id: str) -> None:
        now, data = datetime.now(UTC), self.photo.read_bytes()
        pin = PhotoPin(
            name=records.input_name(f"upload-{job_id}"),
            generation=0,
            bytes=len(data),
            crc32c=crc32c(data),
            sha256="0" * 64,
            content_type="image/jpeg",
            width=_SIDE_PX,
            height=_SIDE_PX,
        )
        accepted = Accepted(
            created_at=now,
            expires_at=now + timedelta(days=400),
            recipe=Recipe(),
            photo=pin,
            request_digest="bench",
        )
        self.ledger.accept(job_id, accepted, self.photo)
        self.ledger.publish(job_id, 0, 0, by="api")
