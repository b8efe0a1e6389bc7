"""Every route, on every answer: the same CORS, a request id, and nothing for those it is not for."""

import json
from pathlib import Path

import pytest

from shared import messages
from tests.api_world import FOREIGN, ORIGIN, PREVIEW, ApiWorld, slug
from tests.dead import a_plan, die, driver, opened
from tests.world import JOB, Process


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


def every_call(world: ApiWorld) -> list[tuple[str, str]]:
    """Each method of each route, with a job that is there and one that is not."""
    job_id = world.done()
    calls = []
    for rule in world.client.application.url_map.iter_rules():
        for known in (job_id, "job_nobody"):
            path = rule.rule.replace("<job_id>", known).replace("<name>", "color").replace("<slug>", "poison")
            path = path.replace("<replay_id>", "replay_nobody00")
            calls += [(method, path) for method in sorted(rule.methods - {"HEAD", "OPTIONS"})]
    return [*calls, ("GET", "/nowhere"), ("PUT", "/v1/jobs"), ("PATCH", "/health")]


@pytest.mark.parametrize("origin", [ORIGIN, PREVIEW])
def test_cors_is_the_same_on_every_answer(world: ApiWorld, origin: str) -> None:
    """Field report 5: all CORS headers gone, and "busy" looked like a CORS fault."""
    calls = every_call(world)
    statuses = set()
    for method, path in calls:
        answer = world.client.open(path, method=method, headers={"Origin": origin})
        statuses.add(answer.status_code)
        assert answer.headers["Access-Control-Allow-Origin"] == origin, (method, path, answer.status_code)
        assert "Idempotency-Replayed" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]
        assert answer.headers["X-Request-Id"]
        preflight = world.client.options(
            path, headers={"Origin": origin, "Access-Control-Request-Method": method}
        )
        assert (preflight.status_code, preflight.data) == (204, b"")
        assert preflight.headers["Access-Control-Allow-Origin"] == origin
        assert "Idempotency-Key" in preflight.headers["Access-Control-Allow-Headers"]
        assert preflight.headers["Access-Control-Max-Age"] == "600"
    assert len(calls) > 30
    assert {200, 202, 204, 404, 405, 409, 415} <= statuses


def test_cors_is_there_when_everything_fails(world: ApiWorld) -> None:
    def crash(_call: str) -> None:
        raise ZeroDivisionError

    client = world.api(Process(crash))
    answer = client.get(f"/v1/jobs/{JOB}", headers={"Origin": ORIGIN})
    assert answer.status_code == 500
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    answer = world.submit(headers={"Origin": ORIGIN}, image=None)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(
    "origin",
    [
        FOREIGN,
        "null",
        "https://a.b.preview.example",
        "https://preview.example",
        "http://shop.example",
        f"{ORIGIN}.evil.example",
    ],
)
def test_a_foreign_origin_gets_nothing_and_is_logged(world: ApiWorld, caplog, origin: str) -> None:
    """Field report 6: rejected origins were not logged."""
    caplog.set_level("INFO")
    answer = world.client.get("/v1/effects", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers
    (event,) = [r for r in caplog.records if r.getMessage() == "cors.foreign_origin"]
    assert event.origin == origin


def test_a_request_id_is_echoed_if_it_is_sane(world: ApiWorld) -> None:
    for given, is_kept in (("abc-1.2", True), ("x" * 129, False), ("a b", False), ("<script>", False)):
        answer = world.client.get("/health", headers={"X-Request-Id": given})
        assert (answer.headers["X-Request-Id"] == given) is is_kept


def test_urls_start_where_the_operator_says(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path, public_url="https://cutout.shop.example")
    assert world.submit().json["links"]["self"].startswith("https://cutout.shop.example/v1/jobs/job_")


def test_head_is_get_without_a_body(world: ApiWorld) -> None:
    job_id = world.done()
    for path in (f"/v1/jobs/{job_id}", "/health", "/v1/effects", "/docs"):
        assert (world.client.head(path).status_code, world.client.head(path).data) == (200, b"")


def test_health_and_readiness_do_not_wait_for_the_worker(world: ApiWorld) -> None:
    """Field report 34 and 35."""
    health = world.client.get("/health").json
    assert (health["status"], health["container"], health["revision"]) == ("healthy", "ready", "development")
    assert world.client.get("/ready").json["status"] == "ready"
    assert b"Disallow: /" in world.client.get("/robots.txt").data


def test_not_ready_while_storage_is_away(world: ApiWorld) -> None:
    def away(call: str) -> None:
        if "ping" in call:
            raise OSError

    answer = world.api(Process(away)).get("/ready")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


# --- what is known about workers ----------------------------------------------------------------


def test_the_catalogue_names_every_effect_and_its_ranges(world: ApiWorld) -> None:
    effects = {effect["name"]: effect for effect in world.client.get("/v1/effects").json["effects"]}
    assert effects["enhancedblackwhite"]["aliases"] == ["blackwhite", "bw"]
    contrast = effects["enhancedblackwhite"]["parameters"][0]
    assert (contrast["name"], contrast["minimum"], contrast["maximum"]) == ("contrast", 0.8, 1.5)
    palette, mode = effects["retro8bit"]["parameters"][1], effects["halftone"]["parameters"][3]
    assert (palette["type"], palette["default"], palette["unit"]) == ("integer", None, "1")
    assert (mode["type"], mode["choices"]) == ("choice", ["mono", "cmyk"])
    assert effects["dithering"]["parameters"][1]["instead_of"] == "cell_pm"


def test_a_warm_up_answers_at_once_and_publishes_once_in_five_minutes(world: ApiWorld) -> None:
    """Field report 2 and 3: nothing the client does is needed, nothing it does can hurt."""
    states = [world.client.post("/warmup").json["worker"] for _ in range(3)]
    assert states == ["cold", "warming", "warming"]
    assert len(world.queue.published) == 1
    assert isinstance(messages.decode(world.queue.published[0].data), messages.WarmupMessage)
    world.put("workers/w.json", engine={"name": "disc", "checkpoint_sha256": None, "version": "1"})
    assert world.client.post("/warmup").json["worker"] == "warm"
    world.clock.turn(minutes=11)
    assert world.client.post("/warmup").json["worker"] == "cold"
    assert len(world.queue.published) == 2


def test_models_say_what_is_deployed_once_a_worker_has(world: ApiWorld) -> None:
    assert {m["deployed"] for m in world.client.get("/v1/models").json["models"]} == {"unknown"}
    world.put("workers/w.json", engine={"name": "grabcut", "checkpoint_sha256": None, "version": "1"})
    models = world.client.get("/v1/models").json["models"]
    assert [m["name"] for m in models if m["deployed"]] == ["grabcut"]


def test_an_engine_that_is_not_deployed_is_refused_at_submission(world: ApiWorld) -> None:
    world.put("workers/w.json", engine={"name": "another", "checkpoint_sha256": None, "version": "1"})
    assert slug(world.submit(engine="grabcut")) == (422, "engine-unavailable")


# --- operators and internal callers -------------------------------------------------------------


def test_operators_routes_are_this_machines_without_a_key(world: ApiWorld) -> None:
    """Field report 32: anyone could list customers' photos."""
    job_id = world.submitted(metadata='{"name": "Ada"}')
    for path in ("/v1/jobs?status=open", f"/v1/jobs/{job_id}/records"):
        assert world.client.get(path).status_code == 200
        assert b"Ada" not in world.client.get(path).data
        elsewhere = world.client.get(path, environ_overrides={"REMOTE_ADDR": "203.0.113.9"})
        proxied = world.client.get(path, headers={"X-Forwarded-For": "127.0.0.1"})
        assert slug(elsewhere) == slug(proxied) == (404, "not-found")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("shop.example:8080", 404),
        ("localhost.example", 404),
        ("[::1", 404),
    ],
)
def test_a_page_whose_sites_name_leads_to_this_machine_is_no_operator(world: ApiWorld, host, status) -> None:
    """A browser on the operator's machine asks for that page's site, and gets here."""
    assert world.client.get("/v1/jobs?status=open", headers={"Host": host}).status_code == status


def test_operators_routes_want_the_key_once_there_is_one(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path, admin_key="open-sesame")
    for header, status in (
        ({}, 404),
        ({"Authorization": "Bearer x"}, 404),
        ({"Authorization": "Bearer open-sesame"}, 200),
    ):
        assert world.client.get("/v1/jobs?status=open", headers=header).status_code == status


def test_open_jobs_are_listed_oldest_first(world: ApiWorld) -> None:
    world.done()
    first = world.submitted()
    world.clock.turn(minutes=5)
    world.submitted()
    document = world.client.get("/v1/jobs?status=open&limit=1").json
    assert (document["count"], document["truncated"], document["oldest_age_s"]) == (2, True, 300)
    assert document["jobs"] == [{"id": first, "epoch": 0, "status": "queued", "age_s": 300}]
    assert slug(world.client.get("/v1/jobs")) == (422, "invalid-value")
    assert slug(world.client.get("/v1/jobs?status=open&limit=0")) == (422, "invalid-value")


@pytest.mark.parametrize(
    "path", ["/internal/sweep", "/internal/broom", "/internal/dead-letters", "/internal/events"]
)
def test_internal_routes_are_this_machines(world: ApiWorld, path: str) -> None:
    answer = world.client.post(path, environ_overrides={"REMOTE_ADDR": "203.0.113.9"})
    assert slug(answer) == (403, "forbidden")
    assert slug(world.client.post(path, headers={"Forwarded": "for=1.2.3.4"})) == (403, "forbidden")


def test_the_sweep_does_what_is_due(world: ApiWorld) -> None:
    world.submitted()
    world.clock.turn(minutes=16)
    assert world.client.post("/internal/sweep").json == {"published": 1, "open": 1}


def test_the_sweep_drives_replays(world: ApiWorld) -> None:
    names = die(world, 1, 2)
    driver(world).begin(a_plan(world, names, canary=2))
    assert world.client.post("/internal/sweep").json["replays"] == 1
    assert opened(world) == names


def dead_letter(
    world: ApiWorld, job_id: str, body: bytes | None = None, path: str = "/internal/dead-letters"
) -> int:
    message = messages.Envelope(message_id="m", data=messages.encode(messages.JobMessage(job_id=job_id)))
    body = body or json.dumps(messages.wrap(message, published_at="now")).encode()
    return world.client.post(path, data=body).status_code


def test_a_dead_letter_settles_a_job_that_was_tried(world: ApiWorld) -> None:
    job_id = world.submitted()
    assert dead_letter(world, job_id) == 204
    assert world.client.get(f"/v1/jobs/{job_id}").json["status"] == "queued"
    world.ledger().claim(world.ledger().look(job_id, 0), {"worker": "w"})
    assert dead_letter(world, job_id) == 503
    world.clock.turn(seconds=61)
    assert dead_letter(world, job_id) == 204
    job = world.client.get(f"/v1/jobs/{job_id}").json
    assert (job["status"], job["error"]["slug"]) == ("failed", "dead-lettered")
    assert dead_letter(world, job_id) == 204
    assert len(world.names("dead/")) == 1


def test_a_dead_letter_of_a_job_that_only_waited_for_a_slot_leaves_it_to_the_sweep(world: ApiWorld) -> None:
    """Its claims say that it was there, and not that anything was tried."""
    world.accept()
    world.claim(1, reason="busy")
    world.claim(2, reason="busy")
    assert dead_letter(world, JOB) == 204
    assert world.job().terminal is None
    world.claim(3, reason="shutdown")
    assert dead_letter(world, JOB) == 204
    assert world.job().terminal.error["slug"] == "dead-lettered"


def test_a_dead_letter_nobody_can_read_or_place_is_acknowledged(world: ApiWorld) -> None:
    assert dead_letter(world, "job_nobody") == 204
    assert dead_letter(world, "", b"{") == 204
    assert world.names() == []


def test_an_event_finishes_what_a_settled_job_still_owes(world: ApiWorld) -> None:
    job_id = world.submitted()
    event = lambda: dead_letter(world, job_id, path="/internal/events")  # noqa: E731
    assert event() == 204
    assert world.client.get(f"/v1/jobs/{job_id}").json["status"] == "queued"
    world.put(f"jobs/{job_id}/e0/terminal.json", status="cancelled", at=world.clock().isoformat())
    assert world.names("open/")
    assert event() == event() == 204
    assert world.names("open/") == []
    assert f"jobs/{job_id}/e0/announced.json" in world.names("jobs/")


def test_an_event_nobody_can_read_or_place_is_acknowledged(world: ApiWorld) -> None:
    assert dead_letter(world, "job_nobody", path="/internal/events") == 204
    assert dead_letter(world, "", b"{", path="/internal/events") == 204
    assert world.names() == []
