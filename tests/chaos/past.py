"""What lies on a plant as if it had been made a while ago, or had failed there: ages are the store's."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import dead_letters, replays, settling
from shared.errors import DeadLetteredError
from shared.folder_store import FolderStore
from shared.ledger import Ledger
from shared.replaying import Driver
from shared.replays import Plan
from tests.chaos.plant import Plant

#: Ages: past a sweep's first look, past the time to commit under a marker, past an upload's hour, past a
#: report's day, past any retention.
MOMENTS, MINUTES, HOURS = timedelta(seconds=10), timedelta(minutes=10), timedelta(hours=2)
DAYS, YEARS = timedelta(days=2), timedelta(days=500)


def ago(plant: Plant, age: timedelta) -> Ledger:
    """Return a ledger whose every record is of that age as soon as it is written."""
    age_ns = age // timedelta(microseconds=1) * 1000
    store = FolderStore(plant.folder / "objects", clock_ns=lambda: time.time_ns() - age_ns)
    return Ledger(
        store=store, queue=plant.queue, clock=lambda: datetime.now(UTC) - age, pace=plant.ledger.pace
    )


def failed(plant: Plant, job_id: str, ledger: Ledger | None = None, **changes: Any) -> str:
    """Let a job have failed as if no worker had been there for it; return its name."""
    ledger = ledger or plant.ledger
    plant.accept(job_id, publishes=False, ledger=ledger, **changes)
    _fail(ledger, job_id, 0)
    return job_id


def failed_again(plant: Plant, job_id: str) -> str:
    """Let a job have failed, and once more when it was replayed; return its name."""
    failed(plant, job_id)
    plant.ledger.open(job_id, 1, {"kind": "replay", "replay": "replay_gone", "by": "ada", "reason": "again"})
    _fail(plant.ledger, job_id, 1)
    return job_id


def _fail(ledger: Ledger, job_id: str, epoch: int) -> None:
    ended = settling.failed(DeadLetteredError("No worker was there."), ledger, by="test")
    settling.settle(ledger, job_id, epoch, ended)


def resolved(plant: Plant, job_id: str) -> str:
    """Write that nothing more is to be done about a job that has failed; return its name."""
    dead_letters.resolve(plant.store, plant.promises.job(job_id), {"by": "ada", "reason": "paid back"})
    return job_id


def tried(ledger: Ledger, job_id: str, *reasons: str | None) -> None:
    """Leave attempts behind, each given back for a reason, or fallen silent."""
    for number, reason in enumerate(reasons, 1):
        claim = f"jobs/{job_id}/e0/claims/{number}"
        ledger.store.create(f"{claim}.json", b'{"version": 1, "worker": "elsewhere"}')
        if reason:
            ledger.store.create(f"{claim}.released.json", f'{{"version": 1, "reason": "{reason}"}}'.encode())


def planned(plant: Plant, *jobs: str, **changes: Any) -> Plan:
    """Put a plan on record by which jobs are replayed as fast as may be, the first of them as a canary."""
    facts: dict[str, Any] = {
        "id": replays.new_id(plant.ledger.clock()),
        "created_at": plant.ledger.clock(),
        "by": "ada",
        "reason": "the worker was down",
        "rate_per_s": 100.0,
        "canary": 1,
        "stop_above": 0.5,
        "selection": tuple((job_id, 0) for job_id in jobs),
        "filters": {"slug": DeadLetteredError.slug},
    }
    return Driver(ledger=plant.ledger, by="ada").begin(Plan(**{**facts, **changes}))
