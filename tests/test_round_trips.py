"""What a job costs in calls to the store, by name; what depends on nothing costs no time of its own.

Time is the world's: each call turns the clock by 50 ms, calls made side by side turn it once.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from shared.pace import ONE_MACHINE
from shared.ports import Stat
from tests.api_world import ApiWorld
from tests.beside import Overlapped
from tests.world import Process
from worker.handler import Outcome

CALL_MS = 50
EFFECTS = "color,enhancedblackwhite"

ACCEPTING = [
    "create inputs/UPLOAD",
    "create open/JOB.e0",
    "create jobs/JOB/accepted.json",
    "publish cutout-jobs",
    "create jobs/JOB/e0/published/0.json",
]
WORKING = [
    "list jobs/JOB/",
    "read jobs/JOB/accepted.json",
    "create jobs/JOB/e0/claims/1.json",
    "read inputs/UPLOAD",
    "create results/JOB/e0/1/color",
    "create results/JOB/e0/1/enhancedblackwhite",
    "create results/JOB/e0/1/matte",
    "create results/JOB/e0/1/preview",
    "create jobs/JOB/e0/terminal.json",
    "create jobs/JOB/e0/announced.json",
    "delete open/JOB.e0",
]


class Trips:
    """A process whose calls are written down, and take their time."""

    def __init__(self, world: ApiWorld) -> None:
        self.calls: list[str] = []
        self.ended_ms: dict[str, float] = {}
        self._world, self._began = world, world.clock()
        self.process = Process(self._spy)
        self.process.beside = Overlapped(world.clock)

    def _spy(self, told: str) -> None:
        when, call = told.split(" ", 1)
        name = re.sub(r"job_\w+", "JOB", re.sub(r"inputs/\S+", "inputs/UPLOAD", call.partition(".")[2]))
        if when == "before":
            self.calls.append(name.strip())
            self._world.clock.turn(milliseconds=CALL_MS)
        else:
            self.ended_ms[name.strip()] = self.ms

    @property
    def ms(self) -> float:
        return (self._world.clock() - self._began).total_seconds() * 1000


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


@pytest.fixture
def job_id(world: ApiWorld) -> str:
    return world.submitted(effects=EFFECTS)


@pytest.fixture
def settled(world: ApiWorld, job_id: str) -> str:
    assert world.deliver(job_id=job_id) is Outcome.ACK
    return job_id


def submit(world: ApiWorld, **headers: str) -> tuple[str, Trips]:
    trips = Trips(world)
    return world.submitted(client=world.api(trips.process), effects=EFFECTS, headers=headers), trips


def deliver(world: ApiWorld, job_id: str) -> Trips:
    trips = Trips(world)
    assert world.deliver(world.services(trips.process), job_id=job_id) is Outcome.ACK
    return trips


def ask(world: ApiWorld, request: Callable[..., object]) -> Trips:
    trips = Trips(world)
    request(world.api(trips.process))
    return trips


def test_a_job_with_two_effects_makes_fifteen_store_calls_and_one_publish(world: ApiWorld) -> None:
    job_id, accepting = submit(world)
    working = deliver(world, job_id)
    world.assert_succeeded(job_id)
    assert (accepting.calls, working.calls) == (ACCEPTING, WORKING)
    calls = accepting.calls + working.calls
    publishes = [call for call in calls if call.startswith("publish")]
    assert len(publishes) <= 2
    assert len(calls) - len(publishes) <= 16


def test_an_idempotency_key_costs_one_call_made_before_the_photo_has_come(world: ApiWorld) -> None:
    job_id, trips = submit(world, **{"Idempotency-Key": "order-1"})
    assert trips.calls == ["read jobs/JOB/accepted.json", *ACCEPTING]
    assert len(trips.calls + deliver(world, job_id).calls) <= 16 + 1  # and one publish


def test_a_key_that_comes_again_stores_nothing(world: ApiWorld) -> None:
    key = {"Idempotency-Key": "order-1"}
    submit(world, **key)
    _, again = submit(world, **key)
    assert {call.split(" ")[0] for call in again.calls} == {"read", "list"}
    assert again.ms <= 2 * CALL_MS


def test_a_photo_is_accepted_after_three_calls_and_the_publish(world: ApiWorld) -> None:
    """202 within 200 ms of the last byte where a call takes 50."""
    _, trips = submit(world)
    assert trips.ms <= 4 * CALL_MS


def test_a_photo_that_was_uploaded_first_is_never_read_by_the_api(world: ApiWorld) -> None:
    asked = {"content_type": "image/jpeg", "bytes": len(world.photo)}
    upload_id = world.client.post("/v1/uploads", json=asked).json["upload_id"]
    assert world.client.put(f"/v1/uploads/{upload_id}", data=world.photo).status_code == 204
    world.store = TellsChecksums(world.store)
    trips = ask(world, lambda api: api.post("/v1/jobs", json={"upload_id": upload_id}))
    assert [re.sub(r"upload_\w+.json", "", call) for call in trips.calls] == [
        "read uploads/",
        "stat uploads/",
        "stat inputs/UPLOAD",
        "replace uploads/",
        *ACCEPTING[1:],
    ]


class TellsChecksums:
    """A store that tells an object's checksum, as Cloud Storage does."""

    def __init__(self, store: object) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def stat(self, name: str) -> Stat:
        return replace(self._store.stat(name), crc32c="AAAAAA==")


def test_a_job_has_settled_five_calls_after_its_delivery_and_the_pipelines_own_time(
    world: ApiWorld, job_id: str
) -> None:
    """The terminal record within the pipeline's own time + 300 ms where a call takes 50."""
    world.model.during = lambda: world.clock.turn(seconds=4)
    trips = deliver(world, job_id)
    assert trips.ended_ms["create jobs/JOB/e0/terminal.json"] <= 4000 + 5 * CALL_MS


def test_a_long_job_looks_every_ten_seconds_and_waits_for_no_look(world: ApiWorld, job_id: str) -> None:
    world.model.during = lambda: world.clock.turn(seconds=14)
    trips = deliver(world, job_id)
    assert trips.calls.count("stat jobs/JOB/e0/terminal.json") == 1
    assert trips.ended_ms["create jobs/JOB/e0/terminal.json"] <= 14_000 + 5 * CALL_MS


def test_a_redelivery_of_a_settled_job_is_one_call(world: ApiWorld, settled: str) -> None:
    assert deliver(world, settled).calls == ["list jobs/JOB/"]


def test_a_poll_costs_one_round_trip_and_that_of_a_settled_job_two(world: ApiWorld, job_id: str) -> None:
    assert ask(world, lambda api: api.get(f"/v1/jobs/{job_id}")).ms == CALL_MS
    world.deliver(job_id=job_id)
    assert ask(world, lambda api: api.get(f"/v1/jobs/{job_id}")).ms == 2 * CALL_MS


def test_a_poll_without_news_is_one_call_and_one_with_news_two_round_trips(
    world: ApiWorld, job_id: str
) -> None:
    known = {"If-None-Match": world.client.get(f"/v1/jobs/{job_id}").headers["ETag"]}
    assert ask(world, lambda api: api.get(f"/v1/jobs/{job_id}", headers=known)).calls == ["list jobs/JOB/"]
    world.deliver(job_id=job_id)
    assert ask(world, lambda api: api.get(f"/v1/jobs/{job_id}", headers=known)).ms == 2 * CALL_MS


def test_a_tenants_key_makes_no_poll_longer(world: ApiWorld, job_id: str) -> None:
    headers = {"Authorization": "Bearer alice", "If-None-Match": '"another"'}
    assert ask(world, lambda api: api.get(f"/v1/jobs/{job_id}", headers=headers)).ms == CALL_MS


def test_a_result_is_found_in_two_round_trips_and_signed_in_a_third(world: ApiWorld, settled: str) -> None:
    trips = ask(world, lambda api: api.get(f"/v1/jobs/{settled}/results/color").close())
    assert trips.ended_ms["download_url results/JOB/e0/1/color"] <= 3 * CALL_MS


def test_a_cancel_costs_six_round_trips(world: ApiWorld, job_id: str) -> None:
    world.clock.turn(seconds=2)
    assert ask(world, lambda api: api.post(f"/v1/jobs/{job_id}/cancel")).ms <= 6 * CALL_MS


class Changes:
    """A process that notes when it changes which object."""

    def __init__(self, world: ApiWorld) -> None:
        self.at: dict[str, list[float]] = {}
        self._world = world
        self.process = Process(self._spy)

    def _spy(self, told: str) -> None:
        if told.startswith(("after store.create", "after store.replace", "before store.delete")):
            self.at.setdefault(told.split(" ")[2], []).append(self._world.clock.monotonic())

    @property
    def least_s(self) -> float:
        """The shortest time between two changes of one object."""
        pauses = [later - change for times in self.at.values() for change, later in pairwise(times)]
        assert pauses, "something must have been changed twice"
        return min(pauses)


def test_an_object_of_a_job_that_is_done_at_once_is_not_changed_twice_within_a_second(
    world: ApiWorld,
) -> None:
    changes = Changes(world)
    job_id = world.submitted(client=world.api(changes.process), effects=EFFECTS)
    assert world.deliver(world.services(changes.process), job_id=job_id) is Outcome.ACK
    assert changes.least_s >= 1
    world.assert_succeeded(job_id)


def test_an_object_of_a_job_that_is_cancelled_at_once_is_not_changed_twice_within_a_second(
    world: ApiWorld,
) -> None:
    changes = Changes(world)
    api = world.api(changes.process)
    assert api.post(f"/v1/jobs/{world.submitted(client=api)}/cancel").status_code == 200
    assert changes.least_s >= 1
    assert world.names("open/") == []


def test_an_object_of_a_job_that_is_erased_is_not_changed_twice_within_a_second(
    world: ApiWorld, settled: str
) -> None:
    changes = Changes(world)
    assert world.api(changes.process).delete(f"/v1/jobs/{settled}").status_code == 204
    assert changes.least_s >= 1
    assert world.names("inputs/") == world.names("open/") == []


def test_on_one_machine_nobody_rests(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path, pace=ONE_MACHINE)
    before = world.clock()
    world.done()
    assert world.clock() == before
