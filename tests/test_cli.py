"""The client half of `./cutout` keeps its exit statuses: 0 good, 1 a job's fault, 2 usage, 3 unreachable."""

import json
import re
import socket
from pathlib import Path

import pytest

from tests.scripted import JOB, Answer, a_job, a_success, problem, runner, serving


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


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    "args",
    [
        ["submit"],
        ["submit", "missing.jpg"],
        ["submit", "PHOTO", "--recipe", "{"],
        ["submit", "PHOTO", "--recipe", "[1]"],
        ["submit", "PHOTO", "PHOTO", "-o", "out"],
        ["submit", "PHOTO", "-o", "PHOTO"],
        ["submit", "PHOTO", "--all"],
        ["submit", "PHOTO", "--url", "ftp://x"],
        ["submit", "PHOTO", "--url", "nonsense"],
        ["jobs"],
        ["status"],
        ["dance"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2_before_anything_is_sent(service, run, photo, monkeypatch, args) -> None:
    monkeypatch.chdir(photo.parent)
    result = run(*[photo if arg == "PHOTO" else arg for arg in args])
    assert result.exit_code == 2, result.output
    assert result.stderr
    assert service.requests == []


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [("queued", 0), ("processing", 0), ("succeeded", 0), ("failed", 1), ("cancelled", 1)],
)
def test_status_is_exit_1_only_of_a_job_that_will_not_succeed(service, run, status, exit_code) -> None:
    service.on(f"GET /v1/jobs/{JOB}", Answer(200, a_job(status)))
    result = run("status", JOB)
    assert result.exit_code == exit_code
    assert f"status    {status}" in result.stdout or f"status   {status}" in result.stdout
    assert json.loads(run("status", JOB, "--json").stdout)["status"] == status


@pytest.mark.parametrize("args", [["status", "job_9"], ["cancel", "job_9"], ["job", "job_9"]], ids=" ".join)
def test_an_unknown_job_is_exit_1_with_the_problems_text(run, args) -> None:
    result = run(*args)
    assert result.exit_code == 1
    assert result.stderr == "Error: There is no such job [job-not-found]\n"


@pytest.mark.parametrize(
    "args",
    [["status", JOB], ["cancel", JOB], ["jobs", "--open"], ["job", JOB], ["submit", "PHOTO"]],
    ids=" ".join,
)
def test_nobody_there_is_exit_3_in_one_line(run, photo, args) -> None:
    url = closed_port()
    result = run(*[photo if arg == "PHOTO" else arg for arg in args], url=url)
    assert result.exit_code == 3
    (line,) = result.stderr.splitlines()
    assert url in line
    assert "is ./cutout up running?" in line


def test_somebody_else_at_the_address_is_exit_3(service, run) -> None:
    service.on(f"GET /v1/jobs/{JOB}", Answer(200, body=b"<html>It works!</html>"))
    result = run("status", JOB)
    assert result.exit_code == 3
    assert "not like a Cutout" in result.stderr


def test_cancel_says_what_the_job_is_now(service, run) -> None:
    service.on(f"POST /v1/jobs/{JOB}/cancel", Answer(200, a_job("cancelled")))
    result = run("cancel", JOB)
    assert result.exit_code == 0
    assert result.stdout == f"{JOB}  cancelled  1.9 s\n"


def test_cancelling_a_settled_job_is_exit_1(service, run) -> None:
    service.on(f"POST /v1/jobs/{JOB}/cancel", problem(409, "already-settled", "The job has settled already"))
    result = run("cancel", JOB)
    assert result.exit_code == 1
    assert "[already-settled]" in result.stderr


def test_status_says_until_when_pictures_are_kept_or_that_they_are_gone(service, run) -> None:
    kept, gone = a_success(service, expires_at="2027-01-01"), a_job("succeeded", expires_at="2027-01-01")
    service.on(f"GET /v1/jobs/{JOB}", Answer(200, kept), Answer(200, gone))
    assert lines_of(run("status", JOB))["kept until"] == "2027-01-01"
    told = lines_of(run("status", JOB))
    assert (told["pictures"], told.get("kept until")) == ("no longer kept", None)


def lines_of(result) -> dict[str, str]:
    """Return a table's rows by name."""
    return dict(re.split(r"  +", line, maxsplit=1) for line in result.stdout.splitlines())


def test_open_jobs_are_counted_with_the_oldest_and_by_status(service, run) -> None:
    listed = [
        {"id": "job_1", "epoch": 0, "status": "processing", "age_s": 12.3},
        {"id": "job_2", "epoch": 0, "status": "queued", "age_s": 3.0},
    ]
    answer = {"count": 5, "oldest_age_s": 12.3, "truncated": True, "jobs": listed}
    service.on("GET /v1/jobs?status=open&limit=2", Answer(200, answer))
    result = run("jobs", "--open", "--limit", 2, "--admin-key", "secret")
    assert result.stdout.splitlines() == [
        "5 open, oldest 12.3 s",
        "1 processing, 1 queued among the 2 listed",
        "job_1  e0  processing  12.3 s",
        "job_2  e0  queued  3.0 s",
        "... and 3 more; --limit shows more",
    ]
    assert service.requests[-1].headers["Authorization"] == "Bearer secret"
    assert json.loads(run("jobs", "--open", "--limit", 2, "--json").stdout) == answer


def test_no_open_jobs_is_one_line(service, run) -> None:
    answer = {"count": 0, "oldest_age_s": None, "truncated": False, "jobs": []}
    service.on("GET /v1/jobs?status=open&limit=20", Answer(200, answer))
    assert run("jobs", "--open").stdout == "0 open\n"


def test_the_admin_key_comes_from_the_setting(service, run, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_ADMIN_KEY", "from-setting")
    service.on("GET /v1/jobs?status=open&limit=20", Answer(200, {"count": 0, "jobs": []}))
    assert run("jobs", "--open").exit_code == 0
    assert service.requests[-1].headers["Authorization"] == "Bearer from-setting"


def test_job_tells_the_story_of_the_records(service, run) -> None:
    now = "2026-01-01T00:00:00+00:00"
    accepted = {"name": f"jobs/{JOB}/accepted.json", "size": 2, "updated": now, "record": {}}
    service.on(f"GET /v1/jobs/{JOB}/records", Answer(200, {"id": JOB, "now": now, "records": [accepted]}))
    result = run("job", JOB)
    assert result.exit_code == 0
    assert "accepted" in result.stdout
