"""Workers that are stopped in the middle of an attempt, overtaken, and go on as if nothing had been (D5)."""

import json
import signal
from pathlib import Path

from bench.progress import track
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import comes, require_gone
from tests.promises import require

#: From the claim to the terminal record, which decides who has won: stopped before it is overtaken.
_DECIDED = "after store.create jobs/*/terminal.json"
_FROZEN_AT = (
    "after store.create jobs/*/claims/1.json",
    "before store.read inputs/*",
    "during model",
    "after store.create results/*/color",
    "after store.create results/*/matte",
    "before store.create jobs/*/terminal.json",
    _DECIDED,
)
#: What an attempt says last.
_ENDS = {"job.settled", "job.settled_elsewhere", "claim.released"}


def frozen(folder: Path, effort: Effort) -> Finding:
    """Stop a worker past its beat after each thing it writes, let another finish, let it go on (D4, D5)."""
    found: list[str] = []
    moments = _FROZEN_AT * max(1, effort.repeats // 8)
    fenced = 0
    with Plant(folder, workers=2) as plant:
        for moment in track(moments, "frozen and thawed"):
            with violations(found, moment):
                fenced += _thawed_late(plant, moment)
    late = len(moments) - moments.count(_DECIDED)
    with violations(found, "all of them"):
        require(fenced == late, "D5", f"{fenced} were overtaken of {late} stopped before they had settled")
    figure = (
        f"{fenced} of {late} stopped before they had settled were overtaken, {len(moments) - late} after; "
        "none changed a record or left a picture"
    )
    return Finding(runs=len(moments), violations=found, figure=figure)


def _thawed_late(plant: Plant, moment: str) -> bool:
    job_id = plant.new_id()
    name = plant.order("worker", act="stop", who=job_id, only=moment)
    plant.accept(job_id)
    plant.require_succeeded(job_id)
    winner = plant.promises.job(job_id).terminal.attempt
    plant.require_done("worker", name, "nobody was stopped")
    for child in plant.workers:
        plant.inner(child).send_signal(signal.SIGCONT)
    require(comes(lambda: _is_over(plant, job_id)), "D5", "a thawed delivery has not come to its end")
    require_gone(lambda: _pictures(plant, job_id) - {str(winner)}, "D5")
    plant.promises.check_job(job_id)
    plant.promises.check_settled(job_id)
    # Who is stopped in time cannot have won; that is attempt 1, or 2 where 1 was slow and thought dead.
    return moment != _DECIDED and len(plant.promises.job(job_id).worked.claims) > 1


def _is_over(plant: Plant, job_id: str) -> bool:
    """Whether every attempt has said how it ended: from then on it may only delete."""
    ended: set[int] = set()
    for child in plant.workers:
        lines = [json.loads(line) for line in child.log.read_text().splitlines() if job_id in line]
        ended |= {x.get("claim") or x.get("attempt") for x in lines if x["message"] in _ENDS}
    return set(plant.promises.job(job_id).worked.claims) <= ended


def _pictures(plant: Plant, job_id: str) -> set[str]:
    return {stat.name.split("/")[3] for stat in plant.store.list(f"results/{job_id}/").objects}
