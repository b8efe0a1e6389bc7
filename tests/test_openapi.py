"""The description is true: every route is in it, every answer has its shape, every slug is explained."""

import re
from pathlib import Path

import jsonschema
import pytest
from openapi_spec_validator import validate

from shared.errors import every_error
from tests.api_world import ApiWorld
from tests.dead import a_plan, die, driver

ROOT = Path(__file__).resolve().parent.parent
#: Never seen by anybody who asks over HTTP or reads a job.
INWARD = {"malformed-message"}


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


@pytest.fixture
def spec(world: ApiWorld) -> dict:
    return world.client.get("/openapi.json").json


def test_it_is_a_valid_description(spec: dict) -> None:
    validate(spec)


def test_every_route_is_described_and_every_description_is_a_route(world: ApiWorld, spec: dict) -> None:
    described = {(path, method.upper()) for path, methods in spec["paths"].items() for method in methods}
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method)
        for rule in world.client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert routes == described


def test_every_answer_has_the_shape_it_is_said_to_have(world: ApiWorld, spec: dict) -> None:
    job_id = world.done(effects="color,bw")
    replay_id = driver(world).begin(a_plan(world, die(world, 1))).id
    checked = 0
    for path, methods in spec["paths"].items():
        for method in methods:
            for known in (job_id, "job_nobody"):
                filled = {"job_id": known, "replay_id": replay_id, "upload_id": "upload_0"}
                url = path.format(name="color", slug="poison", **filled)
                url += "?status=open" if path == "/v1/jobs" else ""
                checked += check(spec, methods[method], world.client.open(url, method=method.upper()))
    checked += check(spec, spec["paths"]["/v1/jobs"]["post"], world.submit())
    checked += check(spec, spec["paths"]["/v1/jobs"]["post"], world.submit(effects="sepia"))
    assert checked > 25


def check(spec: dict, operation: dict, answer) -> int:
    said = operation["responses"][str(answer.status_code)]
    if "json" not in answer.content_type or "content" not in said:
        return 0
    schema = said["content"][answer.content_type]["schema"]
    jsonschema.validate(answer.json, {**schema, "components": spec["components"]})
    return 1


def test_a_failed_job_has_the_shape_it_is_said_to_have(world: ApiWorld, spec: dict) -> None:
    world.photo = world.photo[: len(world.photo) // 2]
    answer = world.client.get(f"/v1/jobs/{world.done()}")
    assert answer.json["status"] == "failed"
    assert check(spec, spec["paths"]["/v1/jobs/{job_id}"]["get"], answer)


def test_what_operators_send_and_get_has_the_shape_it_is_said_to_have(world: ApiWorld, spec: dict) -> None:
    first, second = die(world, 1, 2)
    terms = {"by": "ada", "reason": "a bad night", "rate_per_s": 0.5, "canary": 1, "stop_above": 0}
    for path, order, status in (
        ("/v1/replays", {**terms, "filters": {"slug": "dead-lettered"}, "dry_run": True}, 200),
        ("/v1/replays", {**terms, "jobs": [first]}, 201),
        ("/v1/dead-letters/resolve", {"jobs": [second], "reason": "refunded"}, 200),
    ):
        operation = spec["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        jsonschema.validate(order, {**schema, "components": spec["components"]})
        answer = world.client.post(path, json=order)
        assert answer.status_code == status
        assert check(spec, operation, answer)
    (replay_id,) = (each["id"] for each in world.client.get("/v1/replays").json["replays"])
    for call, order in (("advance", {}), ("cancel", {"by": "bob"})):
        operation = spec["paths"][f"/v1/replays/{{replay_id}}/{call}"]["post"]
        assert check(spec, operation, world.client.post(f"/v1/replays/{replay_id}/{call}", json=order))
    for path in ("/v1/dead-letters", "/v1/replays"):
        assert check(spec, spec["paths"][path]["get"], world.client.get(path))
    shown = world.client.get(f"/v1/dead-letters/{first}")
    assert check(spec, spec["paths"]["/v1/dead-letters/{job_id}"]["get"], shown)


def test_every_slug_is_documented_and_resolves(world: ApiWorld) -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    slugs = set(every_error()) - INWARD
    assert [slug for slug in sorted(slugs) if f"`{slug}`" not in text] == []
    for slug in slugs:
        assert world.client.get(f"/problems/{slug}").json["title"]
    assert world.client.get("/problems/nonsense").status_code == 404


def test_the_page_needs_nothing_from_elsewhere(world: ApiWorld) -> None:
    page = world.client.get("/docs").text
    for path in ("/v1/jobs/{job_id}", "/warmup", "enhancedblackwhite", "idempotency-key-reused", "Prefer"):
        assert path in page
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert "<script" not in page
