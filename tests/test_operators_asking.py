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
