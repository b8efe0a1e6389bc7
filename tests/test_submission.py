"""What is promised is on record before it is answered, and nothing of the upload lies anywhere else."""

import io
import json
import logging
import re
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from shared import messages
from shared.checksums import crc32c
from shared.errors import QueueUnavailableError, StoreUnavailableError
from tests.api_world import ApiWorld, slug
from tests.world import Process


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch) -> Path:
    """Where uploads are spooled."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


def fail_at(error: Exception, call: str) -> Process:
    """Return a process in which every port call that matches fails."""

    def spy(made: str) -> None:
        if re.fullmatch(f"before {call}", made):
            raise error

    return Process(spy)


def test_photo_marker_promise_and_message_are_there_when_it_is_answered(world: ApiWorld) -> None:
    job_id = world.submitted()
    (upload,) = world.names("inputs/")
    assert world.store.read(upload).data == world.photo
    assert world.names("open/") == [f"open/{job_id}.e0"]
    assert world.names("jobs/") == [f"jobs/{job_id}/accepted.json", f"jobs/{job_id}/e0/published/0.json"]
    (message,) = world.queue.published
    assert (message.topic, messages.decode(message.data).job_id) == (messages.JOBS, job_id)


def test_the_promise_pins_the_photo_so_that_no_other_can_take_its_place(world: ApiWorld) -> None:
    pin = json.loads(world.store.read(f"jobs/{world.submitted()}/accepted.json").data)["photo"]
    stored = world.store.stat(pin["name"])
    assert pin["generation"] == stored.generation
    assert pin["bytes"] == stored.size == len(world.photo)
    assert pin["crc32c"] == crc32c(world.photo)


def test_ids_are_160_random_bits_that_nobody_guesses(world: ApiWorld) -> None:
    """Field report 24 and 32: two submissions are two jobs, and an id is a capability."""
    ids = {world.submitted() for _ in range(4)}
    assert len(ids) == 4
    assert all(re.fullmatch(r"job_[a-z2-7]{32}", job_id) for job_id in ids)


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (96, 64)), (3, (96, 64)), (6, (64, 96)), (8, (64, 96))]
)
def test_the_job_tells_the_size_of_the_upright_photo(
    world: ApiWorld, orientation: int, size: tuple[int, int]
) -> None:
    """Field report 11."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (96, 64)).save(file, "JPEG", exif=exif)
    photo = world.submit(image=(file, "photo.jpg")).json["input"]
    assert (photo["width"], photo["height"]) == size


def test_a_recipe_as_json_says_the_same_as_fields(world: ApiWorld) -> None:
    fields = {"effects": "bw", "format": "jpeg", "background": "#FFFFFF", "margin": "0.1"}
    document = {"effects": ["blackwhite"], "format": "jpeg", "background": "#ffffff", "margin": 0.1}
    assert world.submit(**fields).json["recipe"] == world.submit(recipe=json.dumps(document)).json["recipe"]


def test_a_job_is_promised_although_the_queue_is_away_and_the_sweep_publishes_it(world: ApiWorld) -> None:
    away = fail_at(QueueUnavailableError("away"), r"queue\.publish .*")
    job_id = world.submit(world.api(away)).json["id"]
    assert world.queue.published == []
    world.clock.turn(seconds=31)
    assert world.sweep()["published"] == 1
    assert messages.decode(world.queue.published[0].data).job_id == job_id


def test_a_job_is_promised_although_its_publication_could_not_be_recorded(world: ApiWorld) -> None:
    away = fail_at(StoreUnavailableError("away"), r"store\.create .*/published/0\.json")
    assert world.submit(world.api(away)).status_code == 202


def test_nothing_of_the_upload_is_left_outside_the_store(world: ApiWorld, spool: Path) -> None:
    """Whether it was taken, refused, or the store was away."""
    world.submitted()
    assert slug(world.submit(effects="sepia"))[0] == 422
    away = fail_at(StoreUnavailableError("away"), r"store\.create .*")
    assert slug(world.submit(world.api(away))) == (503, "try-again")
    assert list(spool.iterdir()) == []


def test_an_upload_is_never_whole_in_memory(world: ApiWorld) -> None:
    """The store of this test is memory and keeps one copy; there is no second (field report 15)."""
    world.submitted()
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n' + world.photo
    body = head + b"\0" * 20_000_000 + b"\r\n--x--\r\n"
    tracemalloc.start()
    answer = world.client.post("/v1/jobs", data=body, content_type="multipart/form-data; boundary=x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == 202
    assert peak < 1.3 * len(body)


def test_the_trace_of_the_request_travels_with_the_message(world: ApiWorld) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    world.submitted(headers={"traceparent": trace})
    assert messages.decode(world.queue.published[0].data).traceparent == trace


def test_one_event_tells_of_the_acceptance_and_nothing_of_the_customer(world: ApiWorld, caplog) -> None:
    caplog.set_level(logging.INFO)
    job_id = world.submitted(effects="bw", metadata='{"customer": "Ada"}')
    (event,) = [r for r in caplog.records if r.getMessage() == "job.accepted"]
    assert (event.job_id, event.bytes, event.effects) == (job_id, len(world.photo), ["enhancedblackwhite"])
    assert event.took_ms >= 0
    assert "Ada" not in str([vars(record) for record in caplog.records])
