"""A job as its client sees it: accepted at once, read cheaply, waited for, cancelled, erased."""

import hashlib
import io
import threading
from pathlib import Path

import pytest
from PIL import Image

from tests.api_world import ApiWorld, slug
from tests.world import Process

MEMBERS = [
    "id",
    "status",
    "phase",
    "created_at",
    "started_at",
    "finished_at",
    "expires_at",
    "attempt",
    "epoch",
    "eta_seconds",
    "recipe",
    "metadata",
    "input",
    "results",
    "matte",
    "preview",
    "subject",
    "print",
    "engine",
    "timings_ms",
    "error",
    "links",
]


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


def test_a_submission_is_accepted_at_once(world: ApiWorld) -> None:
    """Field report 1 and 23: 202 at once, and the id exists before anything else."""
    answer = world.submit(effects="bw", metadata='{"order": 7}')
    job = answer.json
    assert answer.status_code == 202
    assert answer.headers["Location"] == job["links"]["self"] == f"http://localhost/v1/jobs/{job['id']}"
    assert answer.headers["Retry-After"] == "1"
    assert list(job) == MEMBERS
    assert (job["status"], job["phase"], job["metadata"]) == ("queued", "queued", {"order": 7})
    assert job["input"]["sha256"] == hashlib.sha256(world.photo).hexdigest()
    assert len(world.queue.published) == 1


def test_what_is_accepted_and_what_is_read_are_the_same(world: ApiWorld) -> None:
    accepted = world.submit().json
    assert world.client.get(f"/v1/jobs/{accepted['id']}").json == accepted


def test_a_job_that_succeeded_shows_its_pictures(world: ApiWorld) -> None:
    job = world.client.get(f"/v1/jobs/{world.done(effects='bw,color')}").json
    assert list(job) == MEMBERS
    assert (job["status"], job["phase"], job["attempt"], job["error"]) == ("succeeded", "settled", 1, None)
    assert list(job["results"]) == ["enhancedblackwhite", "color"]
    assert set(job["matte"]) == {"url", "content_type", "width", "height", "bytes", "sha256"}
    assert job["engine"] == {"name": "disc", "version": "1", "checkpoint_sha256": None}
    assert job["started_at"] is not None
    assert job["finished_at"] is not None


def test_every_picture_can_be_fetched_as_promised(world: ApiWorld) -> None:
    """Field report 20 to 22: stable URLs, not base64, and the worker has no part in it."""
    job = world.client.get(f"/v1/jobs/{world.done()}").json
    for picture in (job["matte"], job["preview"], job["results"]["color"]):
        answer = world.client.get(picture["url"])
        assert answer.status_code == 200
        assert hashlib.sha256(answer.data).hexdigest() == picture["sha256"]
        assert answer.headers["ETag"] == f'"{picture["sha256"]}"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "private" in answer.headers["Cache-Control"]
        assert "filename=" in answer.headers["Content-Disposition"]
        assert Image.open(io.BytesIO(answer.data)).size == (picture["width"], picture["height"])


def test_a_picture_is_fetched_by_alias_in_part_or_not_at_all_if_known(world: ApiWorld) -> None:
    job_id = world.done(effects="bw")
    whole = world.client.get(f"/v1/jobs/{job_id}/results/bw")
    url = f"/v1/jobs/{job_id}/results/enhancedblackwhite"
    assert world.client.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    part = world.client.get(url, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.data) == (206, whole.data[:10])
    head = world.client.head(url)
    assert (head.status_code, head.data, head.content_length) == (200, b"", len(whole.data))


def test_results_of_a_job_that_has_none(world: ApiWorld) -> None:
    job_id = world.submitted()
    answer = world.client.get(f"/v1/jobs/{job_id}/results/color")
    assert slug(answer) == (409, "job-not-settled")
    world.client.post(f"/v1/jobs/{job_id}/cancel")
    assert slug(world.client.get(f"/v1/jobs/{job_id}/results/color")) == (404, "result-not-found")
    assert slug(world.client.get(f"/v1/jobs/{world.done()}/results/bw")) == (404, "result-not-found")


def test_a_failed_job_says_why(world: ApiWorld) -> None:
    world.photo = world.photo[: len(world.photo) // 2]
    job = world.client.get(f"/v1/jobs/{world.done()}").json
    assert (job["status"], job["error"]["slug"], job["results"]) == ("failed", "image-corrupt", {})


def test_a_poll_without_news_is_304_after_one_listing(world: ApiWorld) -> None:
    job_id = world.submitted()
    etag = world.client.get(f"/v1/jobs/{job_id}").headers["ETag"]
    calls: list[str] = []
    client = world.api(Process(calls.append))
    answer = client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.headers["ETag"]) == (304, etag)
    assert len(calls) == 2
    world.deliver(job_id=job_id)
    answer = world.client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": etag})
    assert answer.status_code == 200
    assert answer.headers["ETag"] != etag


def test_the_etag_does_not_move_by_itself(world: ApiWorld) -> None:
    job_id = world.done()
    etag = world.client.get(f"/v1/jobs/{job_id}").headers["ETag"]
    world.clock.turn(days=3)
    assert world.client.get(f"/v1/jobs/{job_id}").headers["ETag"] == etag


# --- waiting ------------------------------------------------------------------------------------


def wait(world: ApiWorld, job_id: str, seconds: int, etag: str | None = None):
    headers = {"Prefer": f"wait={seconds}"} | ({"If-None-Match": etag} if etag else {})
    before = world.clock()
    answer = world.client.get(f"/v1/jobs/{job_id}", headers=headers)
    return answer, (world.clock() - before).total_seconds()


def test_waiting_ends_when_the_job_settles(world: ApiWorld) -> None:
    """Field report 38: progress from real state."""
    job_id = world.submitted()
    started = world.clock()

    def settle_after_three_seconds() -> None:
        if (world.clock() - started).total_seconds() > 3:
            world.deliver(job_id=job_id)

    world.asleep = settle_after_three_seconds
    answer, took_s = wait(world, job_id, 20)
    assert answer.json["status"] == "succeeded"
    assert 3 < took_s < 4
    assert answer.headers["Preference-Applied"] == "wait=20"


def test_waiting_with_an_etag_ends_with_any_news(world: ApiWorld) -> None:
    job_id = world.submitted()
    etag = world.client.get(f"/v1/jobs/{job_id}").headers["ETag"]
    answer, took_s = wait(world, job_id, 5, etag)
    assert (answer.status_code, round(took_s)) == (304, 5)
    world.asleep = lambda: world.ledger().claim(world.ledger().look(job_id, 0), {"worker": "w"})
    answer, took_s = wait(world, job_id, 5, etag)
    assert (answer.status_code, answer.json["status"]) == (200, "processing")
    assert took_s < 1


def test_waiting_is_bounded_and_a_settled_job_answers_at_once(world: ApiWorld) -> None:
    job_id = world.submitted()
    assert round(wait(world, job_id, 3600)[1]) == 20
    world.deliver(job_id=job_id)
    answer, took_s = wait(world, job_id, 20)
    assert (answer.status_code, took_s) == (200, 0)
    answer, took_s = wait(world, job_id, 20, answer.headers["ETag"])
    assert (answer.status_code, took_s) == (304, 0)


def test_at_most_half_the_threads_wait(world: ApiWorld) -> None:
    waiters = world.client.application.extensions["cutout"].waiters
    taken = 0
    while waiters.acquire(blocking=False):
        taken += 1
    assert taken == 16
    assert wait(world, world.submitted(), 20)[1] == 0


@pytest.mark.parametrize("prefer", ["wait", "wait=soon", "respond-async", "wait=-1", ""])
def test_a_preference_nobody_understands_is_none(world: ApiWorld, prefer: str) -> None:
    before = world.clock()
    answer = world.client.get(f"/v1/jobs/{world.submitted()}", headers={"Prefer": prefer})
    assert answer.status_code == 200
    assert world.clock() == before


# --- idempotency --------------------------------------------------------------------------------


def test_a_repeated_key_gives_the_same_job_as_it_is_now(world: ApiWorld) -> None:
    """Field report 24, 25 and 37: a retry, or a page that was killed, attaches to the same job."""
    key = {"Idempotency-Key": "order-7"}
    first = world.submit(headers=key)
    assert "Idempotency-Replayed" not in first.headers
    world.deliver(job_id=first.json["id"])
    again = world.submit(headers=key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert (again.json["id"], again.json["status"]) == (first.json["id"], "succeeded")
    assert len(world.names("inputs/")) == 1
    assert len(world.queue.published) == 1


def test_a_key_is_not_for_another_photo_or_recipe(world: ApiWorld) -> None:
    """Field report 24: two photos shared one result."""
    key = {"Idempotency-Key": "order-7"}
    world.submit(headers=key)
    assert slug(world.submit(headers=key, effects="bw")) == (422, "idempotency-key-reused")
    world.photo += b"\0"
    assert slug(world.submit(headers=key)) == (422, "idempotency-key-reused")
    assert len(world.names("inputs/")) == 1


def test_a_key_belongs_to_its_tenant(world: ApiWorld) -> None:
    ids = {
        world.submitted(headers={"Idempotency-Key": "1", **headers})
        for headers in ({}, {"Authorization": "Bearer a"}, {"Authorization": "Bearer b"})
    }
    assert len(ids) == 3


def test_one_key_sent_by_many_at_once_is_one_job(world: ApiWorld) -> None:
    start, ids = threading.Barrier(16), []

    def submit() -> None:
        client = world.client.application.test_client()
        start.wait()
        ids.append(world.submit(client, headers={"Idempotency-Key": "k"}).json["id"])

    threads = [threading.Thread(target=submit) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 16
    assert len(set(ids)) == 1
    assert len(world.names("inputs/")) == 1
    world.deliver(job_id=ids[0])
    world.assert_succeeded(ids[0])


# --- cancelling and erasing ---------------------------------------------------------------------


def test_a_cancelled_job_is_never_worked_on(world: ApiWorld) -> None:
    job_id = world.submitted()
    for _ in range(2):
        answer = world.client.post(f"/v1/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
    world.deliver(job_id=job_id)
    assert world.model.calls == 0
    assert slug(world.client.post(f"/v1/jobs/{world.done()}/cancel")) == (409, "already-settled")


def test_an_erased_job_has_no_picture_and_keeps_its_answer(world: ApiWorld) -> None:
    """Field report 22 and 32."""
    job_id = world.submitted()
    assert slug(world.client.delete(f"/v1/jobs/{job_id}")) == (409, "job-not-settled")
    world.deliver(job_id=job_id)
    for _ in range(2):
        assert world.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert world.names("inputs/") == world.names("results/") == []
    job = world.client.get(f"/v1/jobs/{job_id}").json
    assert (job["status"], job["epoch"], job["results"], job["matte"]) == ("succeeded", 1, {}, None)
    assert slug(world.client.get(f"/v1/jobs/{job_id}/results/color")) == (410, "expired")


def test_pictures_expire_when_it_was_said(world: ApiWorld) -> None:
    """Field report 22: expiry is stated in the job."""
    job_id = world.done()
    assert world.client.get(f"/v1/jobs/{job_id}").json["expires_at"].startswith("2027-02-05")
    world.clock.turn(days=400)
    assert slug(world.client.get(f"/v1/jobs/{job_id}/results/color")) == (410, "expired")
    assert world.client.get(f"/v1/jobs/{job_id}").json["results"] == {}
