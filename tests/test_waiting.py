"""A wait ends with news, says whether it was granted, and misreads nobody's preference."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.api_world import ApiWorld
from tests.world import Process


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


def poll(world: ApiWorld, job_id: str, prefer: str, **headers: str):
    """Ask for a job, and return the answer and how long it took."""
    before = world.clock()
    answer = world.client.get(f"/v1/jobs/{job_id}", headers={"Prefer": prefer, **headers})
    return answer, (world.clock() - before).total_seconds()


@pytest.mark.parametrize("prefer", ["wait=3", 'wait="3"', "respond-async, wait=3", "wait = 3; strict"])
def test_a_preference_is_read_in_every_spelling(world: ApiWorld, prefer: str) -> None:
    answer, took_s = poll(world, world.submitted(), prefer)
    assert round(took_s) == 3
    assert answer.headers["Preference-Applied"] == "wait=3"


@pytest.mark.parametrize(
    "prefer", ["wait=3s", "wait=3.5", "nowait=3", "x-wait=3", 'wait="3', "wait=٣", "wait="]
)
def test_a_preference_that_says_something_else_is_none(world: ApiWorld, prefer: str) -> None:
    answer, took_s = poll(world, world.submitted(), prefer)
    assert (answer.status_code, took_s) == (200, 0)
    assert "Preference-Applied" not in answer.headers


def test_who_is_not_let_wait_is_not_told_that_it_waited(world: ApiWorld) -> None:
    """Field report 34: those who wait never hold those who do not."""
    job_id = world.submitted()
    waiters = world.client.application.extensions["cutout"].waiters
    while waiters.acquire(blocking=False):
        pass
    answer, took_s = poll(world, job_id, "wait=20")
    assert (answer.status_code, took_s) == (200, 0)
    assert "Preference-Applied" not in answer.headers


def test_a_thread_that_has_waited_may_wait_again(world: ApiWorld) -> None:
    job_id = world.submitted()
    assert [round(poll(world, job_id, "wait=1")[1]) for _ in range(40)] == [1] * 40


def test_the_store_is_looked_at_a_bounded_number_of_times(world: ApiWorld) -> None:
    looks: list[float] = []
    world.asleep = lambda: looks.append(world.clock.monotonic())
    poll(world, world.submitted(), "wait=20")
    pauses = [later - look for look, later in pairwise(looks)]
    assert len(looks) < 50
    assert max(pauses) <= 0.501


def test_an_erased_job_answers_at_once(world: ApiWorld) -> None:
    job_id = world.done()
    world.client.delete(f"/v1/jobs/{job_id}")
    answer, took_s = poll(world, job_id, "wait=20")
    assert (answer.json["results"], took_s) == ({}, 0)
    answer, took_s = poll(world, job_id, "wait=20", **{"If-None-Match": answer.headers["ETag"]})
    assert (answer.status_code, took_s) == (304, 0)


def test_a_job_that_is_worked_on_again_is_waited_for(world: ApiWorld) -> None:
    """A replay opens an epoch that has not settled; the wait is for that one."""
    world.photo = world.photo[: len(world.photo) // 2]
    job_id = world.done()
    world.put(f"jobs/{job_id}/e1/opened.json", kind="replay")
    answer, took_s = poll(world, job_id, "wait=2")
    assert round(took_s) == 2
    assert (answer.json["epoch"], answer.json["status"]) == (1, "queued")


def test_a_job_that_nobody_knows_is_not_waited_for(world: ApiWorld) -> None:
    answer, took_s = poll(world, "job_nobody", "wait=20")
    assert (answer.status_code, took_s) == (404, 0)


def test_a_stranger_learns_nothing_by_waiting_or_by_guessing_a_tag(world: ApiWorld) -> None:
    job_id = world.submitted(headers={"Authorization": "Bearer alice"})
    etag = world.client.get(f"/v1/jobs/{job_id}").headers["ETag"]
    for prefer in ("wait=20", ""):
        headers = {"Authorization": "Bearer mallory", "If-None-Match": etag}
        answer, took_s = poll(world, job_id, prefer, **headers)
        assert (answer.status_code, took_s) == (404, 0)
        assert "ETag" not in answer.headers


def test_a_stranger_learns_nothing_from_a_job_that_appears_while_it_is_looked_for(tmp_path: Path) -> None:
    """The promise is read beside the listing: one of the two may see a job that the other has not."""
    world = ApiWorld(tmp_path, order="late")
    alice, mallory = ({"Authorization": f"Bearer {who}"} for who in ("alice", "mallory"))
    key = alice | {"Idempotency-Key": "order-1"}
    job_id = ApiWorld(tmp_path).submitted(headers=key)  # the same key, so the same id
    looked: list[str] = []

    def appear(call: str) -> None:
        if call == f"before store.list jobs/{job_id}/":
            looked.append(world.submitted(headers=key))

    answer = world.api(Process(appear)).get(f"/v1/jobs/{job_id}", headers=mallory)
    assert (answer.status_code, looked) == (404, [job_id])
    assert world.client.get(f"/v1/jobs/{job_id}", headers=alice).status_code == 200
