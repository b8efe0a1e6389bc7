"""`./cutout submit` sends photos, waits for them and writes their pictures whole or not at all."""

import json
from pathlib import Path

import pytest

from tests.scripted import (
    JOB,
    LOST,
    PICTURE,
    Answer,
    a_failure,
    a_job,
    a_picture,
    a_success,
    accepts,
    runner,
    serving,
)


@pytest.fixture
def service():
    with serving() as service:
        yield service


@pytest.fixture
def run(service):
    return runner(service)


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"\xff\xd8" + b"photo" * 1000)
    return path


def test_a_photo_is_sent_with_its_fields_and_its_job_is_printed(service, run, photo) -> None:
    accepts(service)
    result = run("submit", photo, "--effects", "color,bw", "--recipe", '{"format": "webp"}', "--api-key", "k")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{photo}  {JOB}  queued  http://example/v1/jobs/{JOB}\n"
    (request,) = service.sent("POST /v1/jobs")
    assert request.headers["Authorization"] == "Bearer k"
    assert request.headers["Idempotency-Key"]
    assert request.headers["Content-Length"]
    for part in (b'name="image"; filename="cat.jpg"', photo.read_bytes(), b"color,bw", b'{"format": "webp"}'):
        assert part in request.body


def test_effects_that_are_blank_are_the_services_to_choose(service, run, photo) -> None:
    accepts(service)
    assert run("submit", photo, "--effects", "").exit_code == 0
    assert len(service.sent("POST /v1/jobs")) == 1


def goes_ahead(service, *puts: Answer) -> None:
    """Take a photo ahead of its job."""
    headers = {"Content-Type": "image/jpeg", "x-goog-if-generation-match": "0"}
    ticket = {"upload_id": "upload_1", "url": f"{service.url}/bucket/upload_1?sig=x", "headers": headers}
    service.on("POST /v1/uploads", Answer(201, ticket))
    service.on("PUT /bucket/upload_1?sig=x", *puts)
    accepts(service)


GONE = Answer(204, headers={"Content-Length": "0"}, body=b"")


def test_a_photo_goes_ahead_of_its_job(service, run, photo) -> None:
    goes_ahead(service, GONE)
    result = run("submit", photo, "--direct", "--effects", "bw", "--recipe", '{"format": "webp"}')
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{photo}  {JOB}  queued  http://example/v1/jobs/{JOB}\n"
    (asked,) = service.sent("POST /v1/uploads")
    assert json.loads(asked.body) == {"content_type": "image/jpeg", "bytes": photo.stat().st_size}
    (put,) = service.sent("PUT /bucket/upload_1?sig=x")
    assert (put.body, put.headers["x-goog-if-generation-match"]) == (photo.read_bytes(), "0")
    assert put.headers["Content-Length"] == str(photo.stat().st_size)
    (order,) = service.sent("POST /v1/jobs")
    assert json.loads(order.body) == {"upload_id": "upload_1", "effects": "bw", "recipe": {"format": "webp"}}
    assert order.headers["Idempotency-Key"]


@pytest.mark.parametrize("there", [409, 412])
def test_a_photo_that_is_there_after_a_lost_answer_is_not_sent_in_vain(service, run, photo, there) -> None:
    goes_ahead(service, LOST, Answer(503), Answer(there))
    assert run("submit", photo, "--direct").exit_code == 0
    assert len(service.sent("PUT /bucket/upload_1?sig=x")) == 3
    assert len(service.sent("POST /v1/jobs")) == 1


def test_a_photo_that_the_store_refuses_asks_for_no_job(service, run, photo) -> None:
    goes_ahead(service, Answer(400, body=b"<Error>EntityTooLarge</Error>"))
    result = run("submit", photo, "--direct")
    assert (result.exit_code, "EntityTooLarge" in result.stderr) == (1, True)
    assert service.sent("POST /v1/jobs") == []


def test_waiting_ends_with_one_line_of_what_the_job_came_to(service, run, photo) -> None:
    accepts(
        service,
        Answer(304, headers={"Content-Length": "0"}, body=b""),
        Answer(200, a_job("processing"), {"ETag": '"1"'}),
        Answer(200, a_success(service), {"ETag": '"2"'}),
    )
    result = run("submit", photo, "--wait")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{photo}  {JOB}  succeeded  1.9 s  grabcut\n"
    assert result.stderr == f"{photo}  {JOB}  queued\n{photo}  {JOB}  processing, attempt 1\n"
    looks = service.sent(f"GET /v1/jobs/{JOB}")
    assert [look.headers["If-None-Match"] for look in looks] == ['"0"', '"0"', '"1"']
    assert {look.headers["Prefer"] for look in looks} == {"wait=10"}


def test_a_job_without_a_tag_is_looked_at_before_it_is_waited_for(service, run, photo) -> None:
    """Else the service would answer only when the job has settled, and nothing be shown meanwhile."""
    service.on("POST /v1/jobs", Answer(202, a_job()))
    queued = Answer(200, a_job(), {"ETag": '"1"'})
    service.on(f"GET /v1/jobs/{JOB}", queued, Answer(200, a_success(service)))
    result = run("submit", photo, "--wait")
    assert result.exit_code == 0
    assert result.stderr == f"{photo}  {JOB}  queued\n"
    looks = service.sent(f"GET /v1/jobs/{JOB}")
    assert [look.headers["Prefer"] for look in looks] == [None, "wait=10"]


def test_a_failed_job_is_exit_1_and_says_why(service, run, photo) -> None:
    accepts(service, Answer(200, a_failure()))
    result = run("submit", photo, "--wait")
    assert result.exit_code == 1
    assert result.stdout.endswith(
        "failed  1.9 s  No subject was found in the photo: Nothing stands out. [no-subject]\n"
    )


def test_json_is_one_job_a_line_and_nothing_else_on_standard_output(service, run, photo, tmp_path) -> None:
    other = tmp_path / "dog.jpg"
    other.write_bytes(b"dog")
    service.on("POST /v1/jobs", Answer(202, a_job()), Answer(202, a_job(job_id="job_2")))
    service.on(f"GET /v1/jobs/{JOB}", Answer(200, a_job("processing")), Answer(200, a_success(service)))
    service.on("GET /v1/jobs/job_2", Answer(200, a_failure(job_id="job_2")))
    result = run("submit", photo, other, "--wait", "--json")
    assert result.exit_code == 1
    jobs = [json.loads(line) for line in result.stdout.splitlines()]
    assert {job["id"]: job["status"] for job in jobs} == {JOB: "succeeded", "job_2": "failed"}
    assert "processing" in result.stderr


def test_pictures_are_written_by_stem_effect_and_type(service, run, photo, tmp_path) -> None:
    results = {
        "color": a_picture(service, "color"),
        "enhancedblackwhite": a_picture(service, "enhancedblackwhite", content_type="image/jpeg"),
    }
    members = {"matte": a_picture(service, "matte")}
    members["preview"] = a_picture(service, "preview", content_type="image/webp")
    accepts(service, Answer(200, a_job("succeeded", results=results, **members)))
    assert run("submit", photo, "-o", tmp_path / "out").exit_code == 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written == {"cat.color.png": PICTURE, "cat.enhancedblackwhite.jpg": PICTURE}
    assert run("submit", photo, "-o", tmp_path / "all", "--all").exit_code == 0
    everything = {"cat.color.png", "cat.enhancedblackwhite.jpg", "cat.matte.png", "cat.preview.webp"}
    assert {path.name for path in (tmp_path / "all").iterdir()} == everything


def test_a_damaged_picture_is_an_error_and_leaves_no_file(service, run, photo, tmp_path) -> None:
    job = a_success(service)
    service.on(f"GET /bytes/{JOB}/color", Answer(body=PICTURE[::-1]))
    accepts(service, Answer(200, job))
    result = run("submit", photo, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "cat.color.png was not written" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_picture_cannot_be_named_out_of_the_folder(service, run, photo, tmp_path) -> None:
    job = a_job("succeeded", results={"../../evil": a_picture(service, "color")})
    accepts(service, Answer(200, job))
    result = run("submit", photo, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "is no file's name" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_the_key_is_not_shown_to_another_host(service, run, photo, tmp_path) -> None:
    elsewhere = service.url.replace("127.0.0.1", "localhost")
    job = a_success(service)
    service.on(f"GET /v1/jobs/{JOB}/results/color", Answer(302, {}, {"Location": f"{elsewhere}/signed"}))
    service.on("GET /signed", Answer(body=PICTURE))
    accepts(service, Answer(200, job))
    assert run("submit", photo, "-o", tmp_path / "out", "--api-key", "k").exit_code == 0
    assert service.sent(f"GET /v1/jobs/{JOB}/results/color")[0].headers["Authorization"] == "Bearer k"
    assert service.sent("GET /signed")[0].headers["Authorization"] is None
