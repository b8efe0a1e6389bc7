"""A replay that the version before or the version after has begun goes on with this one, wherever it stood.

``running`` in ``schema/`` is a replay of three jobs by filters: a canary of one was opened and is on record.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api_world import ApiWorld
from tests.dead import die, job_name, push_all
from tests.test_schema import SCHEMA, VERSIONS, Left, members, recorded

REPLAY = "replay_20260101000001beef"
NAMES = [job_name(number) for number in (4, 5, 6)]
_OPENED = ("/e1/", ".e1", ".replayed")
#: What is not there yet, by how far the other version had come.
STAGES = {
    "planned": ("/batch/", *_OPENED),
    "the canary's batch taken": ("done.json", *_OPENED),
    "the canary opened": ("done.json",),
    "the canary on record": (),
}


@pytest.fixture(params=VERSIONS)
def left(request, tmp_path: Path) -> Left:
    return Left(tmp_path, request.param)


def begin(left: Left, stage: str = "the canary on record") -> dict[str, Any]:
    """Leave a running replay as another version does at some stage; return what was left."""
    running = left.written["running"]
    begun = {name: running[name] for name in running if not any(part in name for part in STAGES[stage])}
    for name, document in begun.items():
        left.put(name, document)
    return begun


def told(left: Left) -> dict[str, Any]:
    return left.world.client.get(f"/v1/replays/{REPLAY}").json


@pytest.mark.parametrize("stage", STAGES)
def test_a_replay_that_another_version_began_goes_on_to_its_end(left: Left, stage: str) -> None:
    begun, world = begin(left, stage), left.world
    assert (told(left)["status"], told(left)["by"], told(left)["count"]) == ("running", "ada", 3)
    for _ in range(40):
        assert world.client.post("/internal/sweep").status_code == 200
        push_all(world)
        world.clock.turn(minutes=1)
    end = told(left)
    assert (end["status"], end["opened"], end["succeeded"], end["skipped"]) == ("done", 3, 3, {})
    assert world.names("replaying/") == []
    for name in NAMES:
        left.assert_done(name.removeprefix("job_"), epoch=1)
        letters = world.client.get(f"/v1/dead-letters/{name}").json["dead_letters"]
        assert [letter["state"] for letter in letters] == ["replayed"]
    for name, document in begun.items():
        if name.startswith("replays/"):
            assert json.loads(world.store.read(name).data) == document, "and nothing of it was rewritten"


def test_a_replay_that_another_version_began_is_cancelled_and_its_open_job_goes_on(left: Left) -> None:
    begin(left)
    order = {"reason": "wrong day", "by": "bob"}
    cancelled = left.world.client.post(f"/v1/replays/{REPLAY}/cancel", json=order).json
    assert (cancelled["status"], cancelled["ended"]["by"], cancelled["opened"]) == ("cancelled", "bob", 1)
    left.world.deliver(job_id=NAMES[0], epoch=1)
    left.assert_done(NAMES[0].removeprefix("job_"), epoch=1)
    assert [left.world.job(name).epoch for name in NAMES] == [1, 0, 0]


def test_this_version_leaves_a_running_replay_as_its_file_says(tmp_path: Path) -> None:
    world, said = ApiWorld(tmp_path), json.loads((SCHEMA / "this.json").read_text())
    die(world, 4, 5, 6)
    order = {"reason": "the worker was down", "filters": {"slug": "dead-lettered"}, "canary": 1}
    plan = world.client.post("/v1/replays", json=order).json
    world.client.post(f"/v1/replays/{plan['id']}/advance")
    written = {name: json.loads(world.store.read(name).data) for name in recorded(world)}
    assert members(written) == members(said["running"])
    selection = [[name, 0] for name in NAMES]
    for names, replay_id in ((written, plan["id"]), (said["running"], REPLAY)):
        assert names[f"replays/{replay_id}/plan.json"]["selection"] == selection
