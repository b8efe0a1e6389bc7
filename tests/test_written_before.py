"""What earlier commits of this project wrote is read and finished by today's services.

``schema/written/`` has what they wrote, told by ``schema/recorder.py``; a file is named after its commit.
Most are the last before a record gained members, so that each kind of record is there in each of its forms.
"""

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.broom import Broom
from shared.deliveries import opened
from shared.messages import JOBS
from shared.sqlite_queue import SqliteQueue
from shared.subscriptions import Subscription
from tests.api_world import ApiWorld
from tests.dead import push_all
from tests.promises import Promises
from tests.test_schema import SCHEMA, pictures
from tests.world import TurnedClock
from worker.handler import Outcome, handle

WRITTEN = sorted((SCHEMA / "written").glob("*.json"))
OPEN = ("queued", "every effect", "silent", "released", "settled and owing", "queued by upload")


class Before:
    """A world in which an earlier commit has been at work, minutes ago."""

    def __init__(self, tmp: Path, file: Path) -> None:
        self.written = json.loads(file.read_text())
        self.names, self.objects = self.written["names"], self.written["objects"]
        now = datetime.fromisoformat(self.written["at"][0])
        self.world = world = ApiWorld(tmp, clock=TurnedClock(now))
        world.photo = (SCHEMA / "photo.jpg").read_bytes()
        generations = {name: world.store.create(name, world.photo).generation for name in self._photos()}
        markers = {name: self._put(name, {}) for name in self.objects if name.startswith("open/")}
        for name, document in self.objects.items():
            if name.endswith("accepted.json"):
                marker = document.get("marker") and markers.get(f"open/{name.split('/')[1]}.e0", 1)
                pin = document["photo"] | {"generation": generations.get(document["photo"]["name"], 1)}
                self._put(name, document | {"photo": pin} | ({"marker": marker} if marker else {}))
            elif name not in markers:
                self._put(name, document)
        self._put_pictures()
        self.promises = Promises(world.ledger())
        world.clock.turn(minutes=2)

    def _photos(self) -> list[str]:
        return self.written["photos"]

    def _put(self, name: str, document: dict[str, Any]) -> int:
        return self.world.store.create(name, json.dumps(document).encode()).generation

    def _put_pictures(self) -> None:
        """Put pictures of as many bytes where records tell of some, unless they were deleted."""
        erased = self.names["erased"]
        for name, document in self.objects.items():
            if name.endswith("terminal.json") and erased not in name:
                for picture in pictures(document):
                    self.world.store.create(picture["object"], b"x" * picture["bytes"])

    # --- asking and doing -----------------------------------------------------------------------

    def job(self, name: str) -> dict[str, Any]:
        return self.world.client.get(f"/v1/jobs/{self.names[name]}").json

    def jobs(self) -> list[str]:
        return [name for name, found in self.names.items() if found.startswith("job_")]

    def push(self, data: str) -> Outcome:
        body = {"message": {"data": base64.b64encode(data.encode()).decode(), "messageId": "1"}}
        outcome = handle(json.dumps(body).encode(), services := self.world.services())
        services.beside.join()
        return outcome

    def run(self, minutes: int = 40) -> None:
        """Let sweep and worker do what is to be done."""
        for _ in range(minutes):
            self.world.sweep()
            push_all(self.world)
            self.world.clock.turn(minutes=1)

    def replayed(self, order: dict[str, Any]) -> dict[str, Any]:
        """Begin a replay of today's, and drive it to its end."""
        answer = self.world.client.post("/v1/replays", json={"reason": "again", **order})
        assert answer.status_code < 300, answer.json
        return self.driven(answer.json["id"])

    def driven(self, replay_id: str) -> dict[str, Any]:
        for _ in range(60):
            self.world.client.post(f"/v1/replays/{replay_id}/advance")
            self.run(1)
        return self.world.client.get(f"/v1/replays/{replay_id}").json


@pytest.fixture(params=WRITTEN, ids=lambda file: file.stem)
def before(request, tmp_path: Path) -> Before:
    return Before(tmp_path, request.param)


def those_with(before: Before, *names: str) -> Iterator[str]:
    """Skip what the commit could not do yet."""
    yield from (name for name in names if name in before.names)


# --- jobs ---------------------------------------------------------------------------------------


def test_each_job_is_told_as_it_was_told(before: Before) -> None:
    for name in before.jobs():
        told, job = before.written["told"][name], before.job(name)
        recipe = {part: job["recipe"][part] for part in told["recipe"]}
        assert {part: job[part] for part in told} | {"recipe": recipe} == told, name


def test_what_was_open_is_done_by_the_messages_that_were_published(before: Before) -> None:
    for topic, data in before.written["published"]:
        if topic == JOBS:
            assert before.push(data) is Outcome.ACK
    for name in those_with(before, *OPEN):
        assert (before.job(name)["status"], before.job(name)["error"]) == ("succeeded", None), name


def test_what_was_open_is_done_by_the_sweep_where_every_message_was_lost(before: Before) -> None:
    before.run()
    assert before.world.names("open/") == []
    for name in those_with(before, *OPEN):
        assert (before.job(name)["status"], before.job(name)["error"]) == ("succeeded", None), name


def test_no_settled_job_is_changed_by_it(before: Before) -> None:
    settled = {name: data for name, data in before.objects.items() if name.endswith("terminal.json")}
    before.run()
    assert {name: json.loads(before.world.store.read(name).data) for name in settled} == settled


def test_every_promise_is_kept_of_what_was_open(before: Before) -> None:
    before.run()
    for name in those_with(before, *OPEN[:-2]):
        before.promises.check_job(before.names[name])
        before.promises.check_settled(before.names[name])


def test_a_client_that_comes_back_with_its_key_is_given_its_job(before: Before) -> None:
    """Across a release too: what has come to recipes since has the default that it has for others."""
    effects = ",".join(
        effect["name"] for effect in before.written["told"]["every effect"]["recipe"]["effects"]
    )
    forms = {
        "queued": {},
        "cancelled": {},
        "every effect": {"effects": effects, "print_width_mm": "40", "print_height_mm": "40"},
    }
    for name, form in forms.items():
        again = before.world.submit(headers={"Idempotency-Key": f"key-{name}"}, **form)
        assert (again.status_code, again.json.get("id")) == (202, before.names[name]), (name, again.json)
        other = before.world.submit(headers={"Idempotency-Key": f"key-{name}"}, format="webp", **form)
        assert other.status_code == 422
        assert other.json["slug"] == "idempotency-key-reused"


def test_pictures_are_served_and_stories_told(before: Before) -> None:
    client, job = before.world.client, before.job("succeeded")
    for picture in (job["matte"], job["preview"], *job["results"].values()):
        assert client.get(picture["url"]).content_length == picture["bytes"]
    for name in before.jobs():
        assert client.get(f"/v1/jobs/{before.names[name]}/records").status_code == 200
    erased = client.get(f"/v1/jobs/{before.names['erased']}/results/color")
    assert erased.status_code == 410


def test_whatever_is_kept_expires(before: Before) -> None:
    before.run()
    before.world.clock.turn(days=401)
    for _ in range(2):  # an upload is swept twice, an hour apart
        broom = Broom(ledger=before.world.ledger(), retention=timedelta(days=400))
        for job_id in (found for found in before.names.values() if found.startswith("job_")):
            broom.sweep(job_id.removeprefix("job_")[:2])
        before.world.clock.turn(hours=2)
    assert before.world.names("results/") == []
    assert before.world.names("inputs/") == []
    assert before.world.names("open/") == []


# --- dead letters and replays -------------------------------------------------------------------


def test_dead_letters_are_listed_and_replayed(before: Before) -> None:
    """Those of before there were such members are found as well; what was done about one is known."""
    told, listed = before.written["told"], before.world.client.get("/v1/dead-letters?limit=100").json
    slugs = {letter["id"]: letter["slug"] for letter in listed["dead_letters"]}
    waiting = {
        name: told[name]["error"]["slug"]
        for name in before.jobs()
        if told[name]["status"] == "failed" and told[name]["error"]["slug"] != "image-corrupt"
    }
    waiting = {name: slug for name, slug in waiting.items() if name not in handled(before)}
    assert slugs == {before.names[name]: slug for name, slug in waiting.items()}
    # Others will open those of the replays that go on, and what was erased has no photo.
    wanted = waiting.keys() - {"in a running replay, 1", "in a planned replay", "dead and erased"}
    end = before.replayed({"jobs": sorted(before.names[name] for name in wanted), "canary": 1})
    assert (end["status"], end["succeeded"], end["skipped"]) == ("done", len(wanted), {})
    assert {before.job(name)["status"] for name in wanted} == {"succeeded"}


def handled(before: Before) -> set[str]:
    """Whose letters are no longer open."""
    found = (
        {"resolved", "replayed", "in a running replay, 0"} if "replay that ended" in before.names else set()
    )
    is_closed = any(name.endswith(".closed.json") and "dead/" in name for name in before.objects)
    return found | ({"dead and erased"} if is_closed else set())


def test_the_letter_of_a_job_that_was_erased_before_letters_were_closed_is_resolved(before: Before) -> None:
    client, job_id = before.world.client, before.names["dead and erased"]
    assert client.post("/v1/replays", json={"jobs": [job_id], "reason": "again"}).status_code == 409
    order = {"jobs": [job_id], "reason": "erased"}
    client.post("/v1/dead-letters/resolve", json=order)
    listed = client.get("/v1/dead-letters?limit=100").json["dead_letters"]
    assert job_id not in {letter["id"] for letter in listed}


def test_replays_go_on_from_where_they_were(before: Before) -> None:
    ends = {"replay that ended": "done", "replay that was cancelled": "cancelled"}
    for name in those_with(before, *ends):
        assert before.world.client.get(f"/v1/replays/{before.names[name]}").json["status"] == ends[name]
    for name in those_with(before, "replay that runs", "replay that is planned"):
        end = before.driven(before.names[name])
        assert (end["status"], end["skipped"]) == ("done", {}), name
        assert end["succeeded"] == end["count"]
    assert before.world.names("replaying/") == []


# --- what lies beside jobs ----------------------------------------------------------------------


def test_uploads_go_on_from_where_they_were(before: Before) -> None:
    client = before.world.client
    for name in those_with(before, "upload that was begun"):
        sent = client.put(f"/v1/uploads/{before.names[name]}", data=before.world.photo)
        assert sent.status_code == 204
    for name in those_with(before, "upload that was begun", "upload that has come"):
        assert client.post("/v1/jobs", json={"upload_id": before.names[name]}).status_code == 202
    for name in those_with(before, "upload that has a job"):
        used = client.post("/v1/jobs", json={"upload_id": before.names[name]})
        assert (used.status_code, used.json["slug"]) == (409, "upload-used")


def test_a_pause_is_known_and_taken_back(before: Before) -> None:
    if "delivery/paused.json" in before.objects:
        assert before.world.client.get("/ready").json["pause"]["reason"] == "an incident"
        assert before.world.client.post("/v1/delivery/resume").status_code == 200
    assert before.world.client.get("/ready").json.get("pause") is None


def test_the_embedded_queues_file_is_pushed_from(before: Before, tmp_path: Path) -> None:
    queue = SqliteQueue(tmp_path / "queue.db")
    with closing(sqlite3.connect(queue.path)) as connection:
        connection.executescript("\n".join(before.written["queue"]))
        kept = [data for (data,) in connection.execute("SELECT data FROM messages")]
    route = Subscription(name="worker", topic=JOBS, endpoint="http://127.0.0.1:1/", max_in_flight=9)
    with opened(queue) as deliveries:
        deliveries.declare([route], ())
        taken = deliveries.take(route, 10)
    assert sorted(found.envelope.data for found in taken) == sorted(kept) != []
