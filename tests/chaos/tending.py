"""SIGKILL of the API in the sweep and in the broom, with something for each of their hands to do (A8)."""

import os
import time
from datetime import timedelta
from pathlib import Path

import httpx

from shared import broom, records, replays, settling, uploads
from shared.broom import Broom
from shared.checksums import crc32c
from shared.errors import DeadLetteredError, InternalError
from shared.records import PhotoPin
from tests.chaos.acts import Act, Headers
from tests.chaos.errands import is_erased, nothing_left, post
from tests.chaos.killing import killed_in
from tests.chaos.past import DAYS, HOURS, MOMENTS, YEARS, ago, failed, tried
from tests.chaos.plant import Plant
from tests.chaos.replayed import is_replayed, to_replay
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import WITHIN_S
from tests.promises import record, require

RETENTION = timedelta(days=400)


def swept_and_killed(folder: Path, effort: Effort) -> Finding:
    """Kill the API at each moment of a sweep, of a replay that it drives, and of the broom's turn."""
    return killed_in(TENDING, folder, effort)


# --- the sweep ----------------------------------------------------------------------------------


def _sweep(plant: Plant, _subject: str, headers: Headers) -> httpx.Response:
    return post(plant, "/internal/sweep", headers)


def _owing(plant: Plant) -> str:
    """Six jobs of which each owes something else."""
    jobs = [plant.new_id() for _ in range(6)]
    unheard, unfinished, hopeless, overdue, erased, abandoned = jobs
    recently, yesterday, hours = (ago(plant, age) for age in (MOMENTS, timedelta(hours=25), HOURS))
    for job_id in (unheard, unfinished, hopeless):
        plant.accept(job_id, publishes=False, ledger=recently)
    recently.store.create(f"results/{unfinished}/e0/1/color", b"half a picture")
    terminal = settling.failed(DeadLetteredError("No worker was there."), recently, by="test")
    name = records.epoch_name(unfinished, 0, "terminal.json")
    records.write_once(recently.store, name, terminal.document())
    tried(recently, hopeless, "bug", None, None)
    plant.accept(overdue, publishes=False, ledger=yesterday)
    tried(yesterday, overdue, "storage")
    failed(plant, erased, recently)
    recently.open(erased, 1, {"kind": "erasure", "by": "client"})
    hours.mark(abandoned, 0)
    hours.store.create(f"{records.input_prefix(abandoned)}photo", plant.photo)
    return " ".join(jobs)


def _owe_nothing(plant: Plant, jobs: str, _answer: object) -> None:
    """Require that each of them has got what it was owed; what never was promised is gone."""
    unheard, unfinished, hopeless, overdue, erased, abandoned = jobs.split()
    plant.require_succeeded(unheard)
    for job_id, error in (
        (unfinished, DeadLetteredError),
        (hopeless, InternalError),
        (overdue, DeadLetteredError),
    ):
        plant.settled(job_id)
        slug = (plant.promises.job(job_id).terminal.error or {}).get("slug")
        require(slug == error.slug, "I1", f"{job_id} is {slug}, not {error.slug}")
        nothing_left(plant, f"results/{job_id}/")
    is_erased(plant, erased)
    nothing_left(plant, f"open/{abandoned}")
    # A sweep that dies between a marker and its photo leaves the photo to the broom.
    _a_turn(plant, abandoned)
    nothing_left(plant, records.input_prefix(abandoned))


def _drive(plant: Plant, replay_id: str, headers: Headers) -> httpx.Response:
    """Sweep until a replay has ended."""
    until = time.monotonic() + WITHIN_S
    while True:
        answer = _sweep(plant, replay_id, headers)
        if not plant.store.list(replays.marker_name(replay_id)).objects or time.monotonic() > until:
            return answer


def _unplanned(plant: Plant) -> str:
    """The marker of a replay whose plan was never written."""
    replay_id = replays.new_id(plant.ledger.clock())
    ago(plant, HOURS).store.create(replays.marker_name(replay_id), b"{}")
    return replay_id


# --- the broom ----------------------------------------------------------------------------------


def _brush(plant: Plant, _job_id: str, headers: Headers) -> httpx.Response:
    return post(plant, "/internal/broom", headers)


def _dusty(plant: Plant) -> str:
    """A job of this minute's part that has expired, with all else that a broom finds; the job's name."""
    number = plant.new_id()[-14:]
    job_id = f"job_{broom.part_at(plant.ledger.clock())}{number}"
    years, days, hours = (ago(plant, age) for age in (YEARS, DAYS, HOURS))
    failed(plant, job_id, years, expires_at=years.clock() + RETENTION)
    years.store.create(f"results/{job_id}/e0/1/color", b"a picture")
    days.store.create(f"{records.WARMUPS}{number}.json", b"{}")
    hours.store.create(f"{records.input_prefix(f'{job_id}orphan')}photo", plant.photo)
    plant.store.delete(broom.LEAST_RETENTION)
    unsent, swept, taken = _uploads(number)
    _leave_upload(plant, unsent)
    _leave_upload(plant, swept, swept=True)
    pin = PhotoPin(
        name=records.input_name(taken), generation=0, bytes=len(plant.photo), crc32c=crc32c(plant.photo)
    )
    failed(plant, f"{job_id}taken", photo=pin)
    _leave_upload(plant, taken, job_id=f"{job_id}taken")
    _leave_late_picture(plant, f"{job_id}late")
    return job_id


def _leave_late_picture(plant: Plant, job_id: str) -> None:
    """Leave a picture that came after its job had been erased."""
    failed(plant, job_id)
    settling.erase(plant.ledger, job_id, kind="erasure", by="client")
    plant.store.create(f"results/{job_id}/e0/1/color", b"a picture")


def _uploads(number: str) -> list[str]:
    """Names of an upload that became no job, of one that was swept once, and of one that became a job."""
    return [f"upload_{letter * 18}{number}" for letter in "abc"]


def _leave_upload(plant: Plant, upload_id: str, **members: object) -> None:
    """Leave an upload behind whose hour is over."""
    hours = ago(plant, HOURS)
    at = hours.clock().isoformat()
    document = {
        "at": at,
        "expires_at": at,
        "content_type": "image/jpeg",
        "bytes": 1,
        "owner": None,
        **members,
    }
    records.write_once(hours.store, uploads.record_name(upload_id), document)
    if "job_id" not in members:
        hours.store.create(records.input_name(upload_id), plant.photo)


def _dusty_and_kept_longer(plant: Plant) -> str:
    """As above, where photos were kept for longer until now."""
    job_id = _dusty(plant)
    least = {"least_s": 2 * RETENTION.total_seconds()}
    records.write_once(plant.store, broom.LEAST_RETENTION, least)
    return job_id


def _is_clean(plant: Plant, job_id: str, _answer: object) -> None:
    """Require that what was to go has gone, and nothing else, once the broom has come again."""
    unsent, swept, taken = _uploads(job_id[-14:])
    _a_turn(plant, job_id)
    if found := plant.store.list(uploads.record_name(unsent)).objects:
        require(record(plant.store, found[0].name)["swept"], "A", f"{unsent} may still be had")
        os.utime(plant.folder / "objects" / found[0].name, (time.time() - HOURS.total_seconds(),) * 2)
        _a_turn(plant, job_id)
    is_erased(plant, job_id)
    require(record(plant.store, f"jobs/{job_id}/e1/opened.json")["kind"] == "expiry", "A", job_id)
    for name in (unsent, swept):
        nothing_left(plant, records.input_name(name))
    for name in (unsent, swept, taken):
        nothing_left(plant, uploads.record_name(name))
    require(
        plant.store.list(records.input_name(taken)).objects, "I3", f"{taken} belongs to a job, and is gone"
    )
    nothing_left(plant, records.input_prefix(f"{job_id}orphan"))
    nothing_left(plant, f"results/{job_id}late/")
    nothing_left(plant, f"{records.WARMUPS}{job_id[-14:]}.json")
    least_s = record(plant.store, broom.LEAST_RETENTION)["least_s"]
    require(least_s == RETENTION.total_seconds(), "A", f"photos are thought to be kept for {least_s} s")


def _a_turn(plant: Plant, job_id: str) -> None:
    """Let a broom look at one job and at all uploads, as on the next day."""
    Broom(ledger=plant.ledger, retention=RETENTION).sweep(job_id.removeprefix("job_"))


TENDING = {
    "sweep": Act(given=_owing, ask=_sweep, holds=_owe_nothing, whose="anybody", is_swept_beside=False),
    "sweep of a replay": Act(
        given=to_replay,
        ask=_drive,
        holds=is_replayed,
        whose="anybody",
        is_swept_beside=False,
        about="list replaying/|batch/0|opened|queue",  # the rest as in an operator's own steps
    ),
    "sweep of no replay": Act(
        given=_unplanned,
        ask=_sweep,
        holds=lambda plant, replay_id, _answer: nothing_left(plant, replays.marker_name(replay_id)),
        whose="anybody",
        is_swept_beside=False,
        is_variation=True,
    ),
    "broom": Act(given=_dusty, ask=_brush, holds=_is_clean, whose="anybody", is_swept_beside=False),
    "broom after a change": Act(
        given=_dusty_and_kept_longer,
        ask=_brush,
        holds=_is_clean,
        whose="anybody",
        is_swept_beside=False,
        is_variation=True,
    ),
}
