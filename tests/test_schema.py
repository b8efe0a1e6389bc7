"""Records and messages are read one version back and one forward, and what nobody knows is kept.

``schema/`` holds what the previous version, this one and a next one write, as committed files: jobs at
every stage, an upload, a pause, a worker's report, replays. A next version may write more, never other
things.
"""

import base64
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import messages, records
from shared.broom import LEAST_RETENTION, Broom
from shared.errors import MalformedMessageError
from shared.records import Terminal
from shared.uploads import Uploads
from tests.api_world import ApiWorld
from tests.dead import a_plan, die, drive, driver
from worker.handler import Outcome, handle
from worker.report import report

SCHEMA = Path(__file__).parent / "schema"
VERSIONS = ("previous", "this", "next")
UPLOAD = "upload_" + "0" * 32


class Left:
    """A world in which another version has been at work."""

    def __init__(self, tmp: Path, version: str) -> None:
        self.world, self.written = ApiWorld(tmp), json.loads((SCHEMA / f"{version}.json").read_text())
        for name, document in self.written["objects"].items():
            self.put(name, document)

    def put(self, name: str, document: dict[str, Any]) -> None:
        store = self.world.store
        if name.endswith("accepted.json"):
            photo = store.create(document["photo"]["name"], SCHEMA / "photo.jpg")
            document = {**document, "photo": document["photo"] | {"generation": photo.generation}}
        store.create(name, json.dumps(document).encode())
        for picture in pictures(document):
            store.create(picture["object"], b"x" * picture["bytes"])

    def push(self, message: dict[str, Any]) -> Outcome:
        data = base64.b64encode(json.dumps(message).encode()).decode()
        body = json.dumps({"message": {"data": data, "messageId": "1"}, "new_in_2": {}}).encode()
        outcome = handle(body, services := self.world.services())
        services.beside.join()
        return outcome

    def assert_done(self, name: str, epoch: int = 0) -> None:
        job = self.world.job(f"job_{name}")
        assert (job.status, job.epoch) == ("succeeded", epoch)
        assert job.worked.announced is not None
        assert records.marker_name(job.id, epoch) not in self.world.names("open/")
        kept = {picture["object"] for picture in pictures(job.terminal.document())}
        assert kept == set(self.world.names(f"results/{job.id}/")) != set()

    def job(self, name: str) -> dict[str, Any]:
        return self.world.client.get(f"/v1/jobs/job_{name}").json


def pictures(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The pictures that a terminal record tells of."""
    found = [document.get("matte"), document.get("preview"), *document.get("results", {}).values()]
    return [picture for picture in found if picture]


@pytest.fixture(params=VERSIONS)
def left(request, tmp_path: Path) -> Left:
    return Left(tmp_path, request.param)


# --- jobs ---------------------------------------------------------------------------------------


def test_a_job_that_was_accepted_is_done(left: Left) -> None:
    assert left.push(left.written["messages"]["job"]) is Outcome.ACK
    left.assert_done("queued")
    assert left.job("queued")["status"] == "succeeded"


def test_a_job_that_was_given_back_for_whatever_reason_is_done_by_the_next_attempt(left: Left) -> None:
    assert left.job("released")["status"] == "processing"
    assert left.world.deliver(job_id="job_released") is Outcome.ACK
    assert left.job("released")["attempt"] == 2
    left.assert_done("released")


def test_a_job_that_was_done_is_told_and_its_pictures_are_served(left: Left) -> None:
    job = left.job("done")
    assert (job["status"], job["attempt"], list(job["results"])) == ("succeeded", 1, ["color"])
    assert job["finished_at"] == "2026-01-01T00:00:00.000+00:00"
    for picture in (job["matte"], job["preview"], job["results"]["color"]):
        assert left.world.client.get(picture["url"]).content_length == picture["bytes"]
    before = left.world.names()
    assert left.world.deliver(job_id="job_done") is Outcome.ACK
    assert left.world.names() == before


def test_a_job_that_failed_is_told_with_its_slug(left: Left) -> None:
    job = left.job("failed")
    assert (job["status"], job["error"]["slug"]) == ("failed", "dead-lettered")


def test_a_job_that_was_opened_again_is_done_in_its_epoch(left: Left) -> None:
    assert left.job("replayed")["status"] == "queued"
    assert left.world.deliver(job_id="job_replayed", epoch=1) is Outcome.ACK
    left.assert_done("replayed", epoch=1)


def test_an_erasure_that_was_begun_is_finished_and_what_was_lost_is_published(left: Left) -> None:
    left.world.clock.turn(minutes=16)
    left.world.sweep()
    left.world.clock.turn(minutes=50)
    left.world.sweep()
    assert "inputs/photo-of-job_erased" not in left.world.names()
    assert records.marker_name("job_erased", 1) not in left.world.names()
    published = {messages.decode(message.data).job_id for message in left.world.queue.published}
    assert published == {"job_queued", "job_released", "job_replayed"}


def test_every_job_has_its_story_and_may_be_erased(left: Left) -> None:
    for name in ("done", "failed", "erased", "gone"):
        assert left.world.client.get(f"/v1/jobs/job_{name}/records").status_code == 200
        assert left.world.client.delete(f"/v1/jobs/job_{name}").status_code == 204


# --- what lies beside jobs ----------------------------------------------------------------------


def test_an_upload_that_was_begun_becomes_a_job(left: Left) -> None:
    assert left.world.client.put(f"/v1/uploads/{UPLOAD}", data=left.world.photo).status_code == 204
    assert left.world.client.post("/v1/jobs", json={"upload_id": UPLOAD}).status_code == 202


def test_a_pause_that_is_on_is_one(left: Left) -> None:
    assert left.world.client.get("/ready").json["pause"]["reason"] == "an incident"


def test_a_workers_report_tells_its_engine(left: Left) -> None:
    models = left.world.client.get("/v1/models").json["models"]
    assert {model["deployed"] for model in models} == {False}


def test_a_warm_up_is_answered(left: Left) -> None:
    assert left.push(left.written["messages"]["warmup"]) is Outcome.ACK


def test_a_replay_that_has_ended_is_told(left: Left) -> None:
    (replay,) = left.world.client.get("/v1/replays").json["replays"]
    assert (replay["status"], replay["reason"]) == ("done", "the worker was down")
    assert left.world.client.get(f"/v1/replays/{replay['id']}").status_code == 200


def test_dead_letters_are_told_with_what_was_done_about_them(left: Left) -> None:
    listed = left.world.client.get("/v1/dead-letters").json["dead_letters"]
    assert {letter["id"] for letter in listed} == {"job_failed", "job_replayed"}
    for number, state in ((1, "replayed"), (2, "resolved")):
        answer = left.world.client.get(f"/v1/dead-letters/job_{number:016d}")
        assert [letter["state"] for letter in answer.json["dead_letters"]] == [state]


def test_an_event_is_taken_over(left: Left) -> None:
    message = left.written["messages"]["job"] | {"job_id": "job_done"}
    data = base64.b64encode(json.dumps(message).encode()).decode()
    body = json.dumps({"message": {"data": data}})
    assert left.world.client.post("/internal/events", data=body).status_code == 204


# --- what nobody knows is kept ------------------------------------------------------------------


def test_what_the_rewrite_of_an_upload_does_not_know_survives_it(tmp_path: Path) -> None:
    """Of all records, an upload's and the least retention are rewritten by others than their author."""
    left = Left(tmp_path, "next")
    uploads = Uploads(store=left.world.store, clock=left.world.clock)
    uploads.take(uploads.find(UPLOAD), "job_x", is_keyed=False)
    before = left.written["objects"][f"uploads/{UPLOAD}.json"]
    after = json.loads(left.world.store.read(f"uploads/{UPLOAD}.json").data)
    assert after == before | {"job_id": "job_x", "is_keyed": False}
    assert (after["version"], after["new_in_2"]) == (2, before["new_in_2"])


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_rewrite_of_the_least_retention_does_not_know_survives_it(
    tmp_path: Path, version: str
) -> None:
    left = Left(tmp_path, version)
    before = left.written["objects"][LEAST_RETENTION]
    Broom(ledger=left.world.ledger(), retention=timedelta(days=30)).run()
    after = json.loads(left.world.store.read(LEAST_RETENTION).data)
    assert after == before | {"least_s": timedelta(days=30).total_seconds()}
    assert ("new_in_2" in after) == (version == "next")
    Broom(ledger=left.world.ledger(), retention=timedelta(days=400)).run()
    assert json.loads(left.world.store.read(LEAST_RETENTION).data) == after, "and is not raised again"


def test_everything_that_was_left_is_as_it_was_after_a_day_of_work(tmp_path: Path) -> None:
    left = Left(tmp_path, "next")
    for name in ("queued", "released"):
        left.world.deliver(job_id=f"job_{name}")
    left.world.deliver(job_id="job_replayed", epoch=1)
    left.world.clock.turn(minutes=16)
    left.world.sweep()
    for name, document in left.written["objects"].items():
        if name.startswith(("jobs/", "dead/", "delivery/")) and not name.endswith("accepted.json"):
            assert json.loads(left.world.store.read(name).data) == document, name


def test_a_terminal_record_that_is_read_and_written_keeps_what_is_new() -> None:
    document = json.loads((SCHEMA / "next.json").read_text())["objects"]["jobs/job_done/e0/terminal.json"]
    again = Terminal.from_document(document).document()
    assert again == {name: value for name, value in document.items() if name not in {"version", "token"}}


# --- what is too far away -----------------------------------------------------------------------


@pytest.mark.parametrize("version", [-1, 3, None, "1"])
def test_two_versions_away_is_refused_and_not_guessed(tmp_path: Path, version: object) -> None:
    world = ApiWorld(tmp_path)
    world.store.create("x", json.dumps({"version": version}).encode())
    with pytest.raises(records.UnreadableRecordError):
        records.read_record(world.store, "x")
    with pytest.raises(MalformedMessageError):
        messages.decode(json.dumps({"version": version, "job_id": "job_1"}).encode())


# --- what this version writes -------------------------------------------------------------------


def test_this_version_writes_what_its_file_says(tmp_path: Path) -> None:
    """Whoever changes a record's members changes the file, and thinks of who will read it."""
    world, said = ApiWorld(tmp_path), json.loads((SCHEMA / "this.json").read_text())
    world.model.during = world.tick_pulses
    job_id = world.done()
    world.model.fail_with = MemoryError()
    failing = world.submitted()
    for _ in range(4):
        world.deliver(job_id=failing)
    world.client.delete(f"/v1/jobs/{job_id}")
    world.client.post("/v1/uploads", json={"content_type": "image/jpeg", "bytes": 1})
    first, second = die(world, 1, 2)
    world.queue.published.clear()
    world.model.fail_with = None
    drive(world, driver(world).begin(a_plan(world, [first])))
    world.client.post("/v1/dead-letters/resolve", json={"jobs": [second], "reason": "refunded"})
    world.client.post("/v1/delivery/pause", json={"reason": "x"})
    world.client.post("/internal/broom")
    world.submitted()
    report(world.services())
    written = members({name: json.loads(world.store.read(name).data) for name in recorded(world)})
    assert written == members(said["objects"])
    job = messages.JobMessage(job_id="job_1", epoch=1, traceparent="t")
    assert json.loads(messages.encode(job)).keys() == said["messages"]["job"].keys() | {"traceparent"}


def recorded(world: ApiWorld) -> list[str]:
    return [name for name in world.names() if not name.startswith(("inputs/", "results/"))]


def members(objects: dict[str, Any]) -> dict[str, set[str]]:
    """The members of each kind of record; a kind is a name without ids and numbers."""
    found: dict[str, set[str]] = {}
    for name, document in objects.items():
        kind = re.sub(r"(?:job|upload|replay)_\w+|worker-\d+|\d+", "", name)
        found.setdefault(kind, set()).update(document)
    return found
