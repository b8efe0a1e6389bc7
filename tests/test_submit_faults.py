"""`./cutout submit` survives what passes, and says how to go on after what does not."""

import json
from pathlib import Path

import pytest

from tests.scripted import JOB, LOST, Answer, a_job, a_success, accepts, problem, runner, serving


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


def test_a_refused_photo_counts_as_failed_and_the_others_go_on(service, run, photo, tmp_path) -> None:
    bad = tmp_path / "notes.txt"
    bad.write_text("no image")
    refusal = problem(415, "unsupported-image", "The file is not an image", "It is text.")
    service.on("POST /v1/jobs", refusal, Answer(202, a_job()))
    service.on(f"GET /v1/jobs/{JOB}", Answer(200, a_success(service)))
    result = run("submit", bad, photo, "--wait")
    assert result.exit_code == 1
    assert f"{bad}: The file is not an image: It is text. [unsupported-image]\n" in result.stderr
    assert result.stdout.startswith(f"{photo}  {JOB}  succeeded")


def test_a_lost_answer_is_asked_for_again_with_the_same_key(service, run, photo) -> None:
    service.on("POST /v1/jobs", LOST, Answer(202, a_job()))
    assert run("submit", photo).exit_code == 0
    first, second = service.sent("POST /v1/jobs")
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert photo.read_bytes() in second.body


def test_two_submissions_of_one_photo_are_two_jobs(service, run, photo) -> None:
    accepts(service)
    assert run("submit", photo, photo).exit_code == 0
    first, second = service.sent("POST /v1/jobs")
    assert first.headers["Idempotency-Key"] != second.headers["Idempotency-Key"]


def test_a_busy_service_is_asked_again_when_it_says(service, run, photo) -> None:
    busy = problem(503, "try-again", "Temporarily unavailable", **{"Retry-After": "0"})
    service.on("POST /v1/jobs", busy, busy, Answer(202, a_job()))
    assert run("submit", photo).exit_code == 0
    assert len(service.sent("POST /v1/jobs")) == 3


def test_a_service_that_stays_busy_is_exit_3(service, run, photo) -> None:
    service.on(
        "POST /v1/jobs", problem(429, "too-many-requests", "Too many requests", **{"Retry-After": "900"})
    )
    result = run("submit", photo)
    assert result.exit_code == 3
    assert "stays busy: Too many requests [too-many-requests]" in result.stderr


def test_a_job_that_does_not_settle_in_time_is_exit_3_and_says_how_to_go_on(service, run, photo) -> None:
    accepts(service, Answer(200, a_job("processing"), {"ETag": '"1"'}))
    result = run("submit", photo, "--wait", "--timeout", "0.2", "--json")
    assert result.exit_code == 3
    assert f"./cutout status {JOB}" in result.stderr
    assert "not settled within 0.2 s" in result.stderr
    assert json.loads(result.stdout)["status"] == "processing"


def test_a_service_that_goes_away_while_waiting_is_exit_3_and_says_how_to_go_on(service, run, photo) -> None:
    accepts(service, LOST)
    result = run("submit", photo, "--wait")
    assert result.exit_code == 3
    assert f"./cutout status {JOB}" in result.stderr
