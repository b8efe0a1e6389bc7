"""A photo may come before its job: uploaded once, straight to the store, within an hour, for one job."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from werkzeug.test import TestResponse

from shared.checksums import crc32c
from shared.errors import StoreUnavailableError
from shared.folder_store import FolderStore
from shared.photo_gate import MAX_DIRECT_BYTES
from shared.places import Bucket
from shared.ports import ObjectStore
from tests import loopback
from tests.api_world import ApiWorld, slug
from tests.gcs_fake import running
from tests.gcs_signatures import OwnKey
from tests.gcs_world import connected
from tests.world import Killed, Process, TurnedClock, kill_at, once_at
from worker.handler import Outcome

JPEG = "image/jpeg"


class Shop:
    """A client that uploads first and asks for a job then."""

    def __init__(self, world: ApiWorld, client: object = None) -> None:
        self.world, self.client = world, client or world.client

    def begin(self, size_bytes: int = 1000, **headers: str) -> dict:
        document = {"content_type": JPEG, "bytes": size_bytes}
        answer = self.client.post("/v1/uploads", json=document, headers=headers)
        assert answer.status_code == 201, answer.json
        return answer.json

    def put(self, ticket: dict, data: bytes | None = None) -> int:
        """Send the photo to wherever the ticket says, and return the status."""
        data = self.world.photo if data is None else data
        if ticket["url"].startswith("http://localhost/"):
            return self.put_here(ticket, data).status_code
        return loopback.put(ticket["url"], content=data, headers=ticket["headers"]).status_code

    def put_here(self, ticket: dict, data: bytes) -> TestResponse:
        path = urlsplit(ticket["url"]).path
        return self.client.put(path, data=data, headers=ticket["headers"])

    def uploaded(self, data: bytes | None = None) -> str:
        ticket = self.begin()
        assert self.put(ticket, data) in {200, 204}
        return ticket["upload_id"]

    def submit(self, upload_id: object, key: str | None = None, **order: object) -> TestResponse:
        headers = {"Idempotency-Key": key} if key else {}
        return self.client.post("/v1/jobs", json={"upload_id": upload_id, **order}, headers=headers)


def memory(_tmp: Path, world: ApiWorld, _closing: ExitStack) -> ObjectStore:
    return world.store


def folder(tmp: Path, world: ApiWorld, _closing: ExitStack) -> ObjectStore:
    return FolderStore(tmp / "objects", clock_ns=lambda: int(world.clock().timestamp() * 1e9))


def cloud_storage(_tmp: Path, world: ApiWorld, closing: ExitStack) -> ObjectStore:
    fake, key = closing.enter_context(running(world.clock)), OwnKey()
    fake.verify = key.verify
    store = connected(fake)
    closing.callback(store._calls._client.close)
    store._signing = lambda _timeout: key
    return store


STORES: dict[str, Callable[[Path, ApiWorld, ExitStack], ObjectStore]] = {
    "memory": memory,
    "folder": folder,
    "cloud storage": cloud_storage,
}


@pytest.fixture(params=STORES)
def shop(request, tmp_path: Path) -> Iterator[Shop]:
    world = ApiWorld(tmp_path, clock=TurnedClock(datetime.now(UTC).replace(microsecond=0)))
    with ExitStack() as closing:
        world.store = STORES[request.param](tmp_path, world, closing)
        yield Shop(world, world.api())


@pytest.fixture
def here(tmp_path: Path) -> Shop:
    return Shop(ApiWorld(tmp_path))


def everything(world: ApiWorld) -> list[tuple[str, int]]:
    """What is stored, told apart from what was stored before."""
    return [(stat.name, stat.generation) for stat in world.store.list("").objects]


# --- the way it goes ----------------------------------------------------------------------------


def test_a_photo_that_was_uploaded_first_becomes_pictures(shop: Shop) -> None:
    ticket = shop.begin()
    assert (ticket["method"], ticket["max_bytes"]) == ("PUT", MAX_DIRECT_BYTES)
    until = datetime.fromisoformat(ticket["expires_at"]) - shop.world.clock()
    assert 3590 <= until.total_seconds() <= 3610
    assert shop.put(ticket) in {200, 204}
    answer = shop.submit(ticket["upload_id"], effects="bw", metadata={"order": 7})
    assert answer.status_code == 202, answer.json
    assert answer.json["input"] == {
        "width": None,
        "height": None,
        "bytes": len(shop.world.photo),
        "content_type": None,
        "sha256": None,
    }
    job_id = answer.json["id"]
    assert shop.client.get(f"/v1/jobs/{job_id}").json["input"]["sha256"] is None
    assert shop.world.deliver(job_id=job_id) is Outcome.ACK
    shop.world.assert_succeeded(job_id)
    job = shop.client.get(f"/v1/jobs/{job_id}").json
    same = shop.world.submit(shop.client).json["input"]
    assert (job["input"], job["metadata"]) == (same, {"order": 7})


def test_the_promise_pins_name_generation_size_and_checksum(shop: Shop) -> None:
    upload_id = shop.uploaded()
    job_id = shop.submit(upload_id).json["id"]
    pin = json.loads(shop.world.store.read(f"jobs/{job_id}/accepted.json").data)["photo"]
    stored = shop.world.store.stat(f"inputs/{upload_id}")
    assert (pin["name"], pin["generation"], pin["bytes"]) == (stored.name, stored.generation, stored.size)
    assert pin["crc32c"] == crc32c(shop.world.photo)


def test_a_photo_that_is_overwritten_after_its_acceptance_is_not_worked_on(shop: Shop) -> None:
    upload_id = shop.uploaded()
    job_id = shop.submit(upload_id).json["id"]
    shop.world.store.delete(f"inputs/{upload_id}")
    shop.world.clock.turn(seconds=1)
    shop.world.store.create(f"inputs/{upload_id}", shop.world.photo)
    assert shop.world.deliver(job_id=job_id) is Outcome.ACK
    job = shop.client.get(f"/v1/jobs/{job_id}").json
    assert (job["status"], job["error"]["slug"]) == ("failed", "input-gone")
    assert shop.world.names("results/") == []


@pytest.mark.parametrize(
    ("data", "expected"), [(b"hello, world" * 9, "unsupported-image"), (b"\xff\xd8\xff", "image-unreadable")]
)
def test_what_the_gate_refuses_fails_the_job_and_is_no_dead_letter(
    here: Shop, data: bytes, expected: str
) -> None:
    job_id = here.submit(here.uploaded(data)).json["id"]
    assert here.world.deliver(job_id=job_id) is Outcome.ACK
    assert here.client.get(f"/v1/jobs/{job_id}").json["error"]["slug"] == expected
    assert here.world.names("dead/") == []


def test_an_erased_job_takes_its_upload_along(here: Shop) -> None:
    job_id = here.submit(here.uploaded()).json["id"]
    here.world.deliver(job_id=job_id)
    assert here.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert here.world.names("inputs/") == []


def test_a_photo_is_not_taken_again_after_its_job_was_erased(here: Shop) -> None:
    ticket = here.begin()
    here.put(ticket)
    job_id = here.submit(ticket["upload_id"]).json["id"]
    here.world.deliver(job_id=job_id)
    here.client.delete(f"/v1/jobs/{job_id}")
    assert here.put(ticket) == 409
    assert here.world.names("inputs/") == []


# --- one upload, one photo, one job -------------------------------------------------------------


def test_an_upload_is_used_for_one_job(shop: Shop) -> None:
    upload_id = shop.uploaded()
    shop.submit(upload_id)
    before = everything(shop.world)
    for key, order in ((None, {}), (None, {"effects": "bw"}), ("another", {})):
        answer = shop.submit(upload_id, key, **order)
        assert slug(answer) == (409, "upload-used")
        assert answer.json["errors"][0]["field"] == "upload_id"
    assert everything(shop.world) == before


def test_a_key_that_comes_again_finds_the_job_and_no_other_request(shop: Shop) -> None:
    upload_id, other = shop.uploaded(), shop.uploaded()
    job = shop.submit(upload_id, "order-1").json
    before = everything(shop.world)
    again = shop.submit(upload_id, "order-1")
    assert (again.status_code, again.json["id"]) == (202, job["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert slug(shop.submit(upload_id, "order-1", effects="bw")) == (422, "idempotency-key-reused")
    assert slug(shop.submit(other, "order-1")) == (422, "idempotency-key-reused")
    headers = {"Idempotency-Key": "order-1"}
    assert slug(shop.world.submit(shop.client, headers=headers)) == (422, "idempotency-key-reused")
    assert everything(shop.world) == before


def test_a_photo_is_uploaded_once(shop: Shop) -> None:
    ticket = shop.begin()
    assert shop.put(ticket) in {200, 204}
    assert shop.put(ticket, b"another photo") in {409, 412}
    assert shop.world.store.read(f"inputs/{ticket['upload_id']}").data == shop.world.photo


def test_more_than_is_taken_is_not_kept(shop: Shop, monkeypatch) -> None:
    monkeypatch.setattr("api.uploads.MAX_DIRECT_BYTES", 1000)
    ticket = shop.begin()
    assert ticket["max_bytes"] == 1000
    assert shop.put(ticket, b"x" * 1001) in {400, 413}
    assert shop.world.names("inputs/") == []
    assert shop.put(ticket, b"x" * 1000) in {200, 204}


def test_a_body_of_no_announced_length_is_cut_off_where_it_is_too_long(here: Shop, monkeypatch) -> None:
    monkeypatch.setattr("api.uploads.MAX_DIRECT_BYTES", 1000)
    path = urlsplit(here.begin()["url"]).path
    environ = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    answer = here.client.put(path, input_stream=io.BytesIO(b"x" * 1001), environ_overrides=environ)
    assert slug(answer) == (413, "image-too-large")
    answer = here.client.put(path, input_stream=io.BytesIO(b"x" * 1000), environ_overrides=environ)
    assert answer.status_code == 204


def test_a_body_that_ends_too_early_is_not_kept(here: Shop) -> None:
    path = urlsplit(here.begin()["url"]).path
    environ = {"CONTENT_LENGTH": "1000"}
    answer = here.client.put(path, input_stream=io.BytesIO(b"x" * 999), environ_overrides=environ)
    assert slug(answer) == (400, "malformed-request")
    assert here.world.names("inputs/") == []
    assert here.client.put(path, data=b"x").status_code == 204


# --- what is refused ----------------------------------------------------------------------------


def test_what_is_late_is_refused_and_changes_nothing(shop: Shop) -> None:
    ticket, upload_id = shop.begin(), shop.uploaded()
    before = everything(shop.world)
    shop.world.clock.turn(minutes=61)
    assert shop.put(ticket) in {400, 410}
    answer = shop.submit(upload_id)
    assert slug(answer) == (410, "upload-expired")
    assert answer.json["errors"][0]["field"] == "upload_id"
    assert everything(shop.world) == before


@pytest.mark.parametrize("hours", [-1, 1, 25])
def test_a_host_whose_clock_is_wrong_refuses_no_upload_and_forgets_none(here: Shop, hours: int) -> None:
    """Fault C1: the store's clock alone tells how old an upload is."""
    upload_id, app = here.uploaded(), here.client.application
    services = app.extensions["cutout"]
    ledger = replace(services.ledger, clock=lambda: here.world.clock() + timedelta(hours=hours))
    app.extensions["cutout"] = replace(services, ledger=ledger)
    other = here.begin()
    assert here.put(other) == 204
    assert here.submit(upload_id).status_code == 202
    here.world.clock.turn(minutes=59)
    assert here.submit(other["upload_id"]).status_code == 202
    late = here.uploaded()
    here.world.clock.turn(minutes=61)
    assert slug(here.submit(late)) == (410, "upload-expired")


def test_a_door_that_is_late_says_so(here: Shop) -> None:
    ticket = here.begin()
    here.world.clock.turn(minutes=61)
    assert slug(here.put_here(ticket, b"x")) == (410, "upload-expired")
    ticket = here.begin()
    assert slug(here.put_here(ticket, b"")) == (422, "image-empty")
    assert here.put_here(ticket, b"x").status_code == 204
    assert slug(here.put_here(ticket, b"x")) == (409, "upload-used")


def test_where_the_store_has_a_door_the_api_takes_no_photo(here: Shop) -> None:
    """It would lie in the memory of an instance (field report 15)."""
    upload_id, app = here.begin()["upload_id"], here.client.application
    services = app.extensions["cutout"]
    settings = replace(services.settings, store=Bucket("photos"))
    app.extensions["cutout"] = replace(services, settings=settings)
    answer = here.client.put(f"/v1/uploads/{upload_id}", data=here.world.photo)
    assert slug(answer) == (404, "not-found")
    assert here.world.names("inputs/") == []


def test_a_job_before_its_photo_is_refused_and_may_come_again(shop: Shop) -> None:
    ticket = shop.begin()
    assert slug(shop.submit(ticket["upload_id"], "order-1")) == (409, "upload-missing")
    assert shop.world.names("open/") == shop.world.names("jobs/") == []
    assert shop.put(ticket) in {200, 204}
    assert shop.submit(ticket["upload_id"], "order-1").status_code == 202


@pytest.mark.parametrize(
    "upload_id", ["upload_" + "0" * 32, "upload_../../x", "", 7, None, ["x"], "x" * 5000]
)
def test_what_is_no_upload_is_said_to_be_none(here: Shop, upload_id: object) -> None:
    status, found = slug(here.submit(upload_id))
    assert (status, found) == ((422, "image-missing") if upload_id is None else (404, "upload-not-found"))
    assert everything(here.world) == []


def test_a_form_that_names_an_upload_is_told_how_to(here: Shop) -> None:
    answer = here.world.submit(upload_id=here.uploaded())
    assert slug(answer) == (422, "unknown-field")
    assert "send JSON" in answer.json["detail"]


def test_another_tenant_has_no_such_upload(here: Shop) -> None:
    ticket = here.begin(Authorization="Bearer alice")
    here.put(ticket)
    order = {"upload_id": ticket["upload_id"]}
    for key, status in (("bob", 404), ("alice", 202)):
        answer = here.client.post("/v1/jobs", json=order, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == status


def test_a_wrong_order_leaves_the_upload_for_a_right_one(here: Shop) -> None:
    upload_id = here.uploaded()
    assert slug(here.submit(upload_id, effects="sepia")) == (422, "unknown-effect")
    assert here.submit(upload_id).status_code == 202


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"content_type": JPEG}, (422, "invalid-value")),
        ({"content_type": JPEG, "bytes": 0}, (422, "invalid-value")),
        ({"content_type": JPEG, "bytes": True}, (422, "invalid-value")),
        ({"content_type": JPEG, "bytes": "many"}, (422, "invalid-value")),
        ({"content_type": JPEG, "bytes": MAX_DIRECT_BYTES + 1}, (413, "image-too-large")),
        ({"content_type": "image/gif", "bytes": 1}, (415, "unsupported-image")),
        ({"bytes": 1}, (415, "unsupported-image")),
        ({"content_type": JPEG, "bytes": 1, "name": "x"}, (422, "unknown-field")),
        ([], (400, "malformed-request")),
    ],
)
def test_an_upload_that_cannot_be_is_not_begun(
    here: Shop, document: object, expected: tuple[int, str]
) -> None:
    assert slug(here.client.post("/v1/uploads", json=document)) == expected
    assert slug(here.client.post("/v1/uploads", data=b"{}")) == (415, "unsupported-media-type")
    assert everything(here.world) == []


# --- who may die when ---------------------------------------------------------------------------


def calls_of_a_submission(tmp: Path, key: str | None) -> list[str]:
    seen: list[str] = []
    shop = Shop(ApiWorld(tmp))
    upload_id = shop.uploaded()
    Shop(shop.world, shop.world.api(Process(seen.append))).submit(upload_id, key)
    return seen


@pytest.mark.parametrize("key", [None, "order-1"])
def test_an_api_killed_at_any_moment_leaves_one_job_to_a_client_that_comes_back(
    tmp_path: Path, key: str | None
) -> None:
    """Faults A1 to A5; field report 25."""
    for moment, call in enumerate(calls_of_a_submission(tmp_path, key)):
        shop = Shop(ApiWorld(tmp_path))
        upload_id = shop.uploaded()
        with pytest.raises(Killed):
            Shop(shop.world, shop.world.api(Process(kill_at(moment)))).submit(upload_id, key)
        shop.world.clock.turn(seconds=3)
        answer = shop.submit(upload_id, key)
        promised = [name for name in shop.world.names("jobs/") if name.endswith("accepted.json")]
        assert len(promised) == 1, call
        if key is None and answer.status_code != 202:
            assert slug(answer) == (409, "upload-used"), call
        else:
            assert answer.status_code == 202, call
        job_id = promised[0].split("/")[1]
        assert shop.world.deliver(job_id=job_id) is Outcome.ACK
        shop.world.assert_succeeded(job_id)


@pytest.mark.parametrize("keys", [(None, None), ("a", "b"), ("a", None), (None, "a")])
def test_of_two_jobs_that_want_a_photo_at_once_one_gets_it(
    tmp_path: Path, keys: tuple[str | None, str | None]
) -> None:
    """At whichever call of the first the second comes in between."""
    for moment in range(len(calls_of_a_submission(tmp_path, keys[0]))):
        shop, answers = Shop(ApiWorld(tmp_path)), []
        upload_id = shop.uploaded()
        second = partial(shop.submit, upload_id, keys[1], effects="bw")
        process = Process(once_at(moment, lambda s=second, a=answers: a.append(s())))
        answers.append(Shop(shop.world, shop.world.api(process)).submit(upload_id, keys[0]))
        assert sorted(answer.status_code for answer in answers) == [202, 409], moment
        assert {slug(a) for a in answers if a.status_code != 202} == {(409, "upload-used")}
        assert len([name for name in shop.world.names("jobs/") if name.endswith("accepted.json")]) == 1


@pytest.mark.parametrize(("key", "statuses"), [(None, [202, 409]), ("order-1", [202, 202])])
def test_the_same_submission_twice_at_once_is_one_job_that_keeps_its_photo(
    tmp_path: Path, key: str | None, statuses: list[int]
) -> None:
    for moment in range(len(calls_of_a_submission(tmp_path, key))):
        shop, answers = Shop(ApiWorld(tmp_path)), []
        again = partial(shop.submit, shop.uploaded(), key)
        process = Process(once_at(moment, lambda s=again, a=answers: a.append(s())))
        answers.append(Shop(shop.world, shop.world.api(process)).submit(again.args[0], key))
        assert sorted(answer.status_code for answer in answers) == statuses, moment
        (job_id,) = {answer.json["id"] for answer in answers if answer.status_code == 202}
        assert shop.world.deliver(job_id=job_id) is Outcome.ACK
        shop.world.assert_succeeded(job_id)


@pytest.mark.parametrize("key", [None, "order-1"])
def test_a_store_that_fails_once_at_any_call_costs_an_answer_and_nothing_else(
    tmp_path: Path, key: str | None
) -> None:
    """Faults G1 to G3: before a call, or after it was done and nobody heard."""
    for moment, call in enumerate(calls_of_a_submission(tmp_path, key)):
        shop = Shop(ApiWorld(tmp_path))
        upload_id = shop.uploaded()

        def fail() -> None:
            raise StoreUnavailableError("away")

        first = Shop(shop.world, shop.world.api(Process(once_at(moment, fail)))).submit(upload_id, key)
        answer = shop.submit(upload_id, key)
        (job_id,) = {name.split("/")[1] for name in shop.world.names("jobs/")}
        if key:
            assert first.status_code in {202, 503}, call
            assert (answer.status_code, answer.json["id"]) == (202, job_id), call
        else:
            assert (first.status_code, answer.status_code) in {(202, 409), (503, 202), (503, 409)}, call
        assert shop.world.deliver(job_id=job_id) is Outcome.ACK
        shop.world.assert_succeeded(job_id)


def test_a_store_that_is_away_while_an_upload_is_taken_leaves_it_to_be_submitted_again(here: Shop) -> None:
    def away(call: str) -> None:
        if call.startswith("before store.create jobs/"):
            raise StoreUnavailableError("away")

    upload_id = here.uploaded()
    assert slug(Shop(here.world, here.world.api(Process(away))).submit(upload_id)) == (503, "try-again")
    assert here.submit(upload_id).status_code == 202
