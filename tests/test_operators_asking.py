"""Over HTTP an operator may ask as briefly as on the command line, and a slip of the pen is said."""

from pathlib import Path

import pytest

from tests.api_world import ApiWorld, slug
from tests.dead import die


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


# --- a cancellation in haste --------------------------------------------------------------------


def test_a_replay_is_cancelled_without_a_body_and_without_a_content_type(world: ApiWorld) -> None:
    order = {"reason": "the worker was down", "jobs": die(world, 1)}
    replay_id = world.client.post("/v1/replays", json=order).json["id"]
    answer = world.client.post(f"/v1/replays/{replay_id}/cancel")
    assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
    ended = world.client.get(f"/v1/replays/{replay_id}").json["ended"]
    assert (ended["by"], ended["reason"]) == ("operator", "")


@pytest.mark.parametrize("body", [b" ", b"{", b"[]"], ids=repr)
def test_a_cancellation_that_is_no_json_object_is_refused(world: ApiWorld, body: bytes) -> None:
    order = {"reason": "the worker was down", "jobs": die(world, 1)}
    replay_id = world.client.post("/v1/replays", json=order).json["id"]
    answer = world.client.post(f"/v1/replays/{replay_id}/cancel", data=body)
    assert slug(answer) == (400, "malformed-request")
    assert world.client.get(f"/v1/replays/{replay_id}").json["status"] == "running"


def test_the_description_says_that_a_cancellation_needs_no_body(world: ApiWorld) -> None:
    paths = world.client.get("/openapi.json").json["paths"]
    assert paths["/v1/replays/{replay_id}/cancel"]["post"]["requestBody"]["required"] is False
    assert paths["/v1/replays"]["post"]["requestBody"]["required"] is True


# --- how long ago -------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "count"), [("30m", 0), ("90m", 1), ("2h", 1), ("3h", 2), ("7d", 2)])
def test_an_age_is_taken_as_the_command_takes_it(world: ApiWorld, age: str, count: int) -> None:
    for number in (1, 2):
        die(world, number)
        world.clock.turn(minutes=80)
    found = world.client.get("/v1/dead-letters", query_string={"since": age}).json
    assert found["count"] == count
    older = world.client.get("/v1/dead-letters", query_string={"until": age}).json
    assert older["count"] == 2 - count
    order = {"reason": "the worker was down", "filters": {"since": age}, "dry_run": True}
    counted = world.client.post("/v1/replays", json=order)
    assert (counted.json.get("count", 0), counted.status_code) == (count, 200 if count else 422)


def test_an_age_in_a_replay_is_frozen_to_its_moment_and_found_again_by_its_key(world: ApiWorld) -> None:
    die(world, 1)
    world.clock.turn(hours=1)
    order = {"reason": "the worker was down", "filters": {"since": "12h"}}
    key = {"Idempotency-Key": "the night of the first"}
    first = world.client.post("/v1/replays", json=order, headers=key)
    assert (first.status_code, first.json["filters"]) == (201, {"since": "2025-12-31T13:00:00+00:00"})
    world.clock.turn(hours=1)
    assert world.client.post("/v1/replays", json=order, headers=key).json == first.json


@pytest.mark.parametrize("moment", ["12", "12s", "h", "-12h", "123456h", "1h30m", "12 h"])
def test_what_is_no_moment_is_refused_with_what_would_be(world: ApiWorld, moment: str) -> None:
    answer = world.client.get("/v1/dead-letters", query_string={"since": moment})
    assert slug(answer) == (422, "invalid-value")
    assert "2026-11-25T06:00Z, 2026-11-25, or an age: 90m, 12h, 7d" in answer.json["detail"]


def test_the_description_says_how_a_moment_may_be_given(world: ApiWorld) -> None:
    spec = world.client.get("/openapi.json").json
    parameters = spec["paths"]["/v1/dead-letters"]["get"]["parameters"]
    (since,) = (each["description"] for each in parameters if each["name"] == "since")
    filters = spec["components"]["schemas"]["ReplayOrder"]["properties"]["filters"]["properties"]
    assert "12h" in since
    assert "12h" in filters["since"]["description"]
    assert "12h" in filters["until"]["description"]


# --- parameters that nobody knows ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "strangers"),
    [
        ("/v1/dead-letters?colour=red", ["colour"]),
        ("/v1/replays?foo=1", ["foo"]),
        ("/v1/replays?limit=5&foo=1&status=running", ["foo", "status"]),
        ("/v1/jobs?status=open&x=1", ["x"]),
        ("/v1/jobs?status=open&tenant=a&limit=5&since=12h", ["tenant", "since"]),
    ],
)
def test_a_list_is_refused_whose_parameters_nobody_knows(
    world: ApiWorld, path: str, strangers: list[str]
) -> None:
    """Whoever has mistaken a name would take everything for what they have asked for."""
    answer = world.client.get(path)
    assert slug(answer) == (422, "unknown-field")
    assert [fault["field"] for fault in answer.json["errors"]] == strangers
    assert all(f"{name} is not a field here; there are: " in answer.json["detail"] for name in strangers)


def test_what_is_known_where_dead_letters_are_listed_is_said_whole(world: ApiWorld) -> None:
    detail = world.client.get("/v1/dead-letters?colour=red").json["detail"]
    assert detail.endswith("there are: since, until, slug, tenant, engine, limit")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/dead-letters?slug=poison&slug=timeout", "slug"),
        ("/v1/dead-letters?limit=1&limit=2", "limit"),
        ("/v1/replays?limit=1&limit=2", "limit"),
        ("/v1/jobs?status=open&status=open", "status"),
    ],
)
def test_a_list_is_refused_of_which_something_is_asked_twice(world: ApiWorld, path: str, name: str) -> None:
    answer = world.client.get(path)
    assert slug(answer) == (422, "invalid-value")
    assert answer.json["errors"] == [{"field": name, "detail": f"{name} is given 2 times; expected once"}]


def test_an_order_does_nothing_whose_fields_stand_in_the_query(world: ApiWorld) -> None:
    """A dry run that is asked for there would be none."""
    order = {"reason": "the worker was down", "jobs": die(world, 1)}
    answer = world.client.post("/v1/replays?dry_run=true", json=order)
    assert slug(answer) == (422, "unknown-field")
    assert "an order's fields stand in its body" in answer.json["detail"]
    assert world.names("replays/") == []
    for path in ("/v1/dead-letters/resolve?reason=x", "/v1/replays/replay_00000000/cancel?reason=x"):
        assert slug(world.client.post(path, json=order)) == (422, "unknown-field")


def test_every_parameter_that_is_described_is_known(world: ApiWorld) -> None:
    values = {"status": "open", "limit": "5", "since": "12h", "until": "1h"}
    for path in ("/v1/dead-letters", "/v1/replays", "/v1/jobs"):
        described = world.client.get("/openapi.json").json["paths"][path]["get"]["parameters"]
        named = [each["name"] for each in described if each["in"] == "query"]
        assert "limit" in named
        answer = world.client.get(path, query_string={name: values.get(name, "x") for name in named})
        assert (answer.status_code, answer.json["count"]) == (200, 0)


@pytest.mark.parametrize("path", ["/v1/replays?foo=1", "/v1/jobs?status=open&x=1"])
def test_to_a_stranger_there_is_nothing_whatever_is_asked(world: ApiWorld, path: str) -> None:
    answer = world.client.get(path, environ_overrides={"REMOTE_ADDR": "203.0.113.9"})
    assert slug(answer) == (404, "not-found")
