"""SIGKILL of the API in uploads, in what operators ask, in warm-ups and in whatever is only read (A7)."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import httpx

from shared import pausing, records
from shared.replaying import Driver
from tests import loopback
from tests.chaos.acts import Act, Headers
from tests.chaos.errands import done, post
from tests.chaos.killing import killed_in
from tests.chaos.past import failed, failed_again
from tests.chaos.plant import Plant
from tests.chaos.replayed import REPLAYS, get, to_replay
from tests.chaos.rows import Effort, Finding
from tests.promises import record, require

_WORKER = pausing.held_routes()[0].name
_PUSH = {"endpoint": "https://worker/push", "email": "push@example.com", "audience": "cutout"}


def asked_and_killed(folder: Path, effort: Effort) -> Finding:
    """Kill the API at each moment of an upload, of what operators ask, of a warm-up and of each reading."""
    return killed_in(OPERATING, folder, effort)


# --- uploads ------------------------------------------------------------------------------------


def _begin(plant: Plant, _subject: str, headers: Headers) -> httpx.Response:
    wanted = {"content_type": "image/jpeg", "bytes": len(plant.photo)}
    return post(plant, "/v1/uploads", headers, json=wanted)


def _begun(plant: Plant) -> str:
    return _begin(plant, "", {}).json()["upload_id"]


def _put(plant: Plant, upload_id: str, headers: Headers) -> httpx.Response:
    headers = {**headers, "Content-Type": "image/jpeg"}
    url = f"{plant.api.url}/v1/uploads/{upload_id}"
    return loopback.put(url, content=plant.photo, headers=headers, timeout=30)


def _may_be_used(plant: Plant, _subject: str, answer: httpx.Response) -> None:
    """Require that a ticket is one: its photo is taken, and becomes a job."""
    upload_id = answer.json()["upload_id"]
    require(_put(plant, upload_id, {}).status_code == 204, "A", f"{upload_id} takes no photo")
    _has_come(plant, upload_id, answer)


def _has_come(plant: Plant, upload_id: str, _answer: httpx.Response) -> None:
    """Require that the photo is there, whole; it becomes one job."""
    stored = [
        plant.store.read(stat.name).data for stat in plant.store.list(records.input_name(upload_id)).objects
    ]
    require(stored == [plant.photo], "A", f"{upload_id} has other bytes, or none")
    submitted = post(plant, "/v1/jobs", {}, json={"upload_id": upload_id})
    require(submitted.status_code == 202, "A", f"{submitted.status_code} to {upload_id}")
    plant.require_succeeded(submitted.json()["id"])


def _is_half_an_upload(plant: Plant, upload_id: str) -> None:
    """Require that a photo whose sender never came back is whole or not there, and nobody's job."""
    found = plant.store.list(records.input_name(upload_id)).objects
    whole = not found or plant.store.read(found[0].name).data == plant.photo
    require(whole, "A", f"{upload_id} has half of its photo")
    require("job_id" not in record(plant.store, f"uploads/{upload_id}.json"), "I6", f"{upload_id} has a job")


# --- pauses -------------------------------------------------------------------------------------


def _running(plant: Plant) -> str:
    plant.store.delete(pausing.RECORD)
    return plant.new_id()


def _paused(plant: Plant, pushes: Sequence[str] = ()) -> str:
    _running(plant)
    pushed = dict.fromkeys(pushes, _PUSH)
    pausing.pause(plant.store, plant.ledger.clock, by="ada", reason="before", pushes=pushed)
    return plant.new_id()


def _pause(plant: Plant, subject: str, headers: Headers) -> httpx.Response:
    asked = {"by": "ada", "reason": subject, "pushes": {_WORKER: _PUSH}}
    return post(plant, "/v1/delivery/pause", headers, json=asked)


def _is_paused(plant: Plant, _subject: str, answer: httpx.Response) -> None:
    """Require that /ready says who holds jobs and why, with all that was detached on record."""
    told = get(plant, "/ready", {}).json()
    require(told["delivery"] == "paused" and told["pause"] == answer.json()["pause"], "A", f"it says {told}")
    pushes = record(plant.store, pausing.RECORD)["pushes"]
    require(pushes == {_WORKER: _PUSH}, "A", f"{pushes} are on record")
    _running(plant)


def _is_paused_or_not(plant: Plant, _subject: str) -> None:
    """Require that /ready says what is on record, which is whole."""
    told = get(plant, "/ready", {}).json()
    held = pausing.read_pause(plant.store)
    require(told["delivery"] == ("paused" if held else "running"), "A", f"it says {told}, and {held}")
    require(held is None or held.by == "ada", "A", f"{held} is on record")
    _running(plant)


def _resume(plant: Plant, _subject: str, headers: Headers) -> httpx.Response:
    return post(plant, "/v1/delivery/resume", headers, json={"attached": [_WORKER]})


def _is_resumed(plant: Plant, _subject: str, _answer: httpx.Response) -> None:
    told = get(plant, "/ready", {}).json()
    require(told["delivery"] == "running", "A", f"it says {told}")
    require(pausing.read_pause(plant.store) is None, "A", "a pause is on record")


# --- warm-ups -----------------------------------------------------------------------------------


def _cold(plant: Plant) -> str:
    """Nobody has reported or been asked to warm up; the moment since when."""
    for prefix in ("workers/", records.WARMUPS):
        for stat in plant.store.list(prefix).objects:
            plant.store.delete(stat.name)
    return str(time.time())


def _is_told(plant: Plant, since: str, answer: httpx.Response | None = None) -> None:
    """Require that each five minutes are asked for once; nothing depends on whether they were."""
    windows = {int(float(at)) // 300 for at in (since, time.time())}
    asked = {stat.name for stat in plant.store.list(records.WARMUPS).objects}
    require(asked <= {f"{records.WARMUPS}{window}.json" for window in windows}, "A", f"asked for {asked}")
    known = {"cold", "warming", "warm"}
    require(answer is None or answer.json()["worker"] in known, "A", f"it says {answer and answer.json()}")


# --- reading ------------------------------------------------------------------------------------


def _failed(plant: Plant) -> str:
    return failed(plant, plant.new_id())


def _failed_again(plant: Plant) -> str:
    return failed_again(plant, plant.new_id())


def _deployed(plant: Plant) -> str:
    _cold(plant)
    plant.store.create("workers/0123456789abcdef.json", b'{"version": 1, "engine": {"name": "disc"}}')
    return plant.new_id()


def _replayed(plant: Plant) -> str:
    replay_id = to_replay(plant)
    driver = Driver(ledger=plant.ledger, by="ada")
    driver.cancel(replay_id, "ada", "enough")
    return replay_id


def _read_damaged(plant: Plant, job_id: str, headers: Headers) -> httpx.Response:
    """Read a dead letter while its job's terminal record is damaged; it is mended by hand afterwards."""
    file = plant.folder / "objects" / records.epoch_name(job_id, 1, "terminal.json")
    whole = file.read_bytes()
    file.write_bytes(b"{")
    try:
        return get(plant, f"/v1/dead-letters/{job_id}", headers)
    finally:
        file.write_bytes(whole)


def _is_named(plant: Plant, job_id: str, _answer: object = None) -> None:
    """Require that the damaged record is named, and nobody has touched it: mended, it is told again."""
    told = _read_damaged(plant, job_id, {})
    named = records.epoch_name(job_id, 1, "terminal.json")
    require(told.status_code == 500 and named in told.json()["detail"], "A", f"{told.text} of {job_id}")
    require(get(plant, f"/v1/dead-letters/{job_id}", {}).is_success, "A", f"{job_id} is not told")


def _reading(path: str, given: object = done) -> Act:
    """Return an act that only reads: who asks again is told, as if nobody had died."""

    def holds(plant: Plant, subject: str, answer: httpx.Response) -> None:
        again = get(plant, path.format(subject), {})
        require(again.status_code == answer.status_code == 200, "A", f"{answer} and {again} to {path}")

    return Act(
        given=given,
        ask=lambda plant, subject, headers: get(plant, path.format(subject), headers),
        holds=holds,
        left=lambda plant, subject: require(get(plant, path.format(subject), {}).is_success, "A", path),
        is_variation=True,
    )


OPERATING = {
    "start of an upload": Act(ask=_begin, answers=frozenset({201}), holds=_may_be_used, left=lambda *_: None),
    "photo of an upload": Act(
        given=_begun, ask=_put, answers=frozenset({204, 409}), holds=_has_come, left=_is_half_an_upload
    ),
    **REPLAYS,
    "pause": Act(given=_running, ask=_pause, holds=_is_paused, left=_is_paused_or_not),
    "pause of what is paused": Act(
        given=_paused, ask=_pause, holds=_is_paused, left=_is_paused_or_not, is_variation=True
    ),
    "resume": Act(
        given=partial(_paused, pushes=[_WORKER]), ask=_resume, holds=_is_resumed, left=_is_paused_or_not
    ),
    "warm-up": Act(
        given=_cold,
        ask=lambda plant, _subject, headers: post(plant, "/warmup", headers),
        answers=frozenset({202}),
        holds=_is_told,
        left=_is_told,
    ),
    "reading a result": _reading("/v1/jobs/{}/results/color"),
    "reading a job's records": _reading("/v1/jobs/{}/records", _failed),
    "reading open jobs": _reading("/v1/jobs?status=open"),
    "reading a dead letter": _reading("/v1/dead-letters/{}", _failed),
    "reading one whose record is damaged": Act(
        given=_failed_again,
        ask=_read_damaged,
        answers=frozenset({500}),
        holds=_is_named,
        left=_is_named,
        is_variation=True,
    ),
    "reading its photo": _reading("/v1/dead-letters/{}/photo", _failed),
    "reading replays": _reading("/v1/replays?limit=1", _replayed),
    "reading what is deployed": _reading("/v1/models", _deployed),
    "reading whether it is ready": _reading("/ready"),
}
