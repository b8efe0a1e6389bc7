"""A request that is broken, hostile or stalled gets a problem or nothing, never a fault of ours."""

import json
import logging
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.wire import STALL_S
from shared import logs
from tests.api_world import ORIGIN, ApiWorld, slug
from tests.world import photo_bytes

FORM = "multipart/form-data; boundary=x"
PHOTO = photo_bytes()


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


def part(disposition: str, data: bytes = b"") -> bytes:
    return b"--x\r\nContent-Disposition: %s\r\n\r\n%s\r\n" % (disposition.encode(), data)


IMAGE = part('form-data; name="image"; filename="p"', PHOTO)
END = b"--x--\r\n"

BROKEN = {
    "no end": IMAGE,
    "cut in the photo": IMAGE[:-200],
    "cut in a header": IMAGE + b"--x\r\nContent-Dispo",
    "another boundary": (IMAGE + END).replace(b"--x", b"--y"),
    "a part without a disposition": IMAGE + b"--x\r\nContent-Type: text/plain\r\n\r\nx\r\n" + END,
    "a field without a name": IMAGE + part("form-data", b"x") + END,
    "a file without a name": part('form-data; filename="p"', PHOTO) + END,
    "33 parts": IMAGE + part('form-data; name="effects"', b"color") * 32 + END,
    "a field of 300 KB": IMAGE + part('form-data; name="metadata"', b" " * 300_000) + END,
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_a_form_that_is_broken_is_malformed(world: ApiWorld, body: bytes) -> None:
    """Field report 14."""
    assert slug(world.client.post("/v1/jobs", data=body, content_type=FORM)) == (400, "malformed-request")
    assert world.names() == []


METADATA = {
    "half a surrogate pair": '{"a": "\\ud800"}',
    "half a surrogate pair as a name": '{"\\udfff": 1}',
    "33 deep": '{"a": ' + "[" * 33 + "]" * 33 + "}",
    "900 deep": '{"a": ' + "[" * 900 + "]" * 900 + "}",
    "990 deep": '{"a": ' + "[" * 990 + "]" * 990 + "}",
}


@pytest.mark.parametrize("text", METADATA.values(), ids=METADATA.keys())
def test_metadata_that_no_record_can_hold_is_refused(world: ApiWorld, text: str) -> None:
    answer = world.submit(metadata=text)
    assert answer.status_code in {400, 422}, answer.text
    assert slug(answer)[1] in {"malformed-request", "invalid-value"}
    assert world.names() == []


@pytest.mark.parametrize("metadata", [{"name": "Zoë 🐈 \u0000"}, {"a": [[[{"b": None}]]]}, {}])
def test_metadata_of_every_other_kind_comes_back_as_it_was(world: ApiWorld, metadata: dict) -> None:
    job_id = world.done(metadata=json.dumps(metadata))
    assert world.client.get(f"/v1/jobs/{job_id}").json["metadata"] == metadata


def test_a_json_body_is_read_up_to_64_kb(world: ApiWorld) -> None:
    body = b'{"upload_id": "' + b"x" * 70_000 + b'"}'
    answer = world.client.post("/v1/jobs", data=body, content_type="application/json")
    assert slug(answer) == (400, "malformed-request")
    assert "65,536" in answer.json["detail"]


@pytest.mark.parametrize(
    "path", ["/v1//jobs", "//v1/jobs", "/v1/jobs/", "/%2e%2e/x", "/v1/jobs/job_a/results/"]
)
def test_a_path_that_is_nearly_ours_is_not_found_and_never_a_redirect(world: ApiWorld, path: str) -> None:
    answer = world.client.get(path, headers={"Origin": ORIGIN})
    assert slug(answer) == (404, "not-found")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(
    "report", [{"engine": "grabcut"}, {"engine": {}}, {"engine": None}, {}, {"version": 99}]
)
def test_a_workers_report_that_nobody_understands_stops_no_submission(world: ApiWorld, report: dict) -> None:
    world.store.create("workers/w.json", json.dumps({"version": 1, **report}).encode())
    assert world.submit(engine="grabcut").status_code == 202
    models = world.client.get("/v1/models").json["models"]
    assert {(m["deployed"], m["checkpoint_sha256"]) for m in models} == {("unknown", None)}


def test_a_digest_is_shown_beside_its_own_engine_only(world: ApiWorld) -> None:
    world.put("workers/w.json", engine={"name": "another", "checkpoint_sha256": "c" * 64})
    models = world.client.get("/v1/models").json["models"]
    assert {(m["deployed"], m["checkpoint_sha256"]) for m in models} == {(False, None)}


DISPOSITIONS = st.sampled_from(
    [
        'form-data; name="image"; filename="p"',
        'form-data; name="image"',
        "form-data",
        'form-data; name="effects"',
    ]
)
DATA = st.one_of(st.binary(max_size=64), st.just(PHOTO), st.sampled_from([b"color", b"{}", b"\xff\xd8\xff"]))
PIECES = st.one_of(st.builds(part, DISPOSITIONS, DATA), st.binary(max_size=32), st.just(END))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=5), cut=st.integers(0, 40))
def test_no_body_whatsoever_is_a_fault_of_ours(world: ApiWorld, pieces: list[bytes], cut: int) -> None:
    body = b"".join(pieces)
    answer = world.client.post("/v1/jobs", data=body[: len(body) - cut], content_type=FORM)
    assert answer.status_code in {202, 400, 415, 422}, answer.text


@pytest.fixture
def submitted(world: ApiWorld) -> str:
    return world.submitted()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.text(max_size=40),
    name=st.sampled_from(
        [
            "Authorization",
            "Idempotency-Key",
            "Prefer",
            "If-None-Match",
            "Range",
            "X-Request-Id",
            "Origin",
            "Host",
        ]
    ),
)
def test_no_header_whatsoever_is_a_fault_of_ours(
    world: ApiWorld, submitted: str, name: str, value: str
) -> None:
    value = re.sub(r"[\r\n\0]", "", value).encode("latin-1", "replace").decode("latin-1")
    for path in (f"/v1/jobs/{submitted}", f"/v1/jobs/{submitted}/results/color", "/v1/jobs?status=open"):
        assert world.client.get(path, headers={name: value}).status_code < 500


# --- what is still being sent --------------------------------------------------------------------


class Wire:
    """A connection that remembers how long it was ready to wait, and that may break."""

    def __init__(self, *pieces: bytes, breaks: bool = False) -> None:
        self.pieces, self.breaks, self.timeouts, self.is_shut = list(pieces), breaks, [], False

    def shutdown(self, _how: int) -> None:
        self.is_shut = True

    def settimeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)

    def read(self, _size: int = -1) -> bytes:
        if not self.pieces and self.breaks:
            raise TimeoutError
        return self.pieces.pop(0) if self.pieces else b""

    def readinto(self, buffer: bytearray) -> int:
        piece = self.read()
        buffer[: len(piece)] = piece
        return len(piece)


def send(world: ApiWorld, wire: Wire, content_type: str = FORM, length: int = 1_000_000):
    environ = {"gunicorn.socket": wire, "wsgi.input": wire, "CONTENT_LENGTH": str(length)}
    return world.client.post("/v1/jobs", content_type=content_type, environ_overrides=environ)


def test_what_a_refused_client_still_sends_is_read_before_it_is_answered(world: ApiWorld) -> None:
    wire = Wire(*[b"x" * 65_536] * 10)
    assert slug(send(world, wire, "image/jpeg")) == (415, "unsupported-media-type")
    assert wire.pieces == []
    assert not wire.is_shut


def test_what_is_read_of_a_refused_upload_is_bounded(world: ApiWorld) -> None:
    wire = Wire(*[b"x" * 1_000_000] * 100)
    assert slug(send(world, wire, length=100_000_000)) == (413, "image-too-large")
    assert len(wire.pieces) == 36
    assert wire.is_shut  # else gunicorn would wait for it, and serve nobody else meanwhile


def test_a_client_that_stalls_gives_its_thread_back(
    world: ApiWorld, tmp_path: Path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    caplog.set_level(logging.INFO)
    before = set(tmp_path.iterdir())
    wire = Wire(IMAGE[:200], breaks=True)
    assert slug(send(world, wire)) == (400, "malformed-request")
    assert max(wire.timeouts) == wire.timeouts[0] == STALL_S
    assert world.names() == []
    assert set(tmp_path.iterdir()) == before
    assert "request.crashed" not in caplog.messages


def test_the_log_of_a_foreign_origin_carries_the_requests_id(world: ApiWorld) -> None:
    """What is bound to a request is bound until its last event, and no longer."""

    seen = []

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.getMessage(), logs.bound_fields().get("request_id")))

    watch = Watch()
    log = logging.getLogger("api.cors")
    log.addHandler(watch)
    log.setLevel(logging.INFO)
    try:
        world.client.get("/health", headers={"Origin": "https://evil.example", "X-Request-Id": "r-1"})
    finally:
        log.removeHandler(watch)
        log.setLevel(logging.NOTSET)
    assert seen == [("cors.foreign_origin", "r-1")]
    assert logs.bound_fields() == {}
