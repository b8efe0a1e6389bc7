"""However pauses by HTTP and by command mix, what is detached is on record until it is attached again."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from shared import pausing, records
from tests.api_world import ApiWorld, slug
from tests.pausing_cloud import (
    ATTACHED,
    DETACHED,
    WORKER,
    pushes_to,
    serving_cloud_api,
    serving_cloud_pubsub,
)
from tests.pubsub_fake import Fault, PubSubFake
from tests.scripted import Answer, Service, runner
from tests.world import Process

NAME = WORKER.rsplit("/", 1)[1]
PUSH = dict(zip(("endpoint", "email", "audience"), ATTACHED, strict=True))
ON_RECORD = {NAME: PUSH}


@dataclass
class Moment:
    """Does something once, before a command's n-th call of the API or of Pub/Sub, counted from 0."""

    left: int = -1
    do: Callable[[], object] = lambda: None
    calls: list[str] = field(default_factory=list)

    def __call__(self, call: str) -> None:
        self.calls.append(call)
        self.left -= 1
        if self.left == -1:
            self.do()

    def set(self, number: int, do: Callable[[], object]) -> None:
        self.left, self.do = number, do

    def has_come(self) -> bool:
        came, self.left = self.left < 0, -1
        return came


@dataclass
class Cloud:
    """One cloud, and the two ways in which operators pause it."""

    world: ApiWorld
    fake: PubSubFake
    service: Service
    moment: Moment

    def command(self, *words: str) -> Any:
        where = ("--project", "shop-prod", "--emulator", self.fake.project.emulator)
        return runner(self.service)(*words, *where)

    def pause(self) -> Any:
        return self.command("pause", "--reason", "by command")

    def resume(self) -> Any:
        return self.command("resume")

    def pause_by_http(self) -> Any:
        return self.world.client.post("/v1/delivery/pause", json={"reason": "by HTTP", "by": "ada"})

    def resume_by_http(self) -> Any:
        return self.world.client.post("/v1/delivery/resume")

    def told(self) -> dict[str, Any]:
        return self.world.client.get("/v1/delivery").json

    def assert_held(self) -> None:
        told = self.told()
        assert (told["delivery"], told["pushes"], pushes_to(self.fake)) == ("paused", ON_RECORD, DETACHED)

    def assert_running(self) -> None:
        assert (self.told()["delivery"], pushes_to(self.fake)) == ("running", ATTACHED)

    def assert_nothing_is_lost(self) -> None:
        if pushes_to(self.fake) == DETACHED:
            assert self.told()["pushes"] == ON_RECORD
        resumed = self.resume()
        assert resumed.exit_code == 0, resumed.output
        self.assert_running()


ACTS = ("pause", "resume", "pause_by_http", "resume_by_http")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    world, moment = ApiWorld(tmp_path), Moment()
    with serving_cloud_pubsub() as fake, serving_cloud_api(world, moment) as service:
        fake.before_call = moment
        yield Cloud(world, fake, service, moment)


# --- one after the other ------------------------------------------------------------------------


def test_a_resume_by_http_is_refused_while_a_push_is_detached_and_says_what_to_do(cloud: Cloud) -> None:
    assert cloud.pause().exit_code == 0
    refused = cloud.resume_by_http()
    assert slug(refused) == (409, "pushes-detached")
    assert "./cutout resume --project" in refused.json["detail"]
    assert NAME in refused.json["detail"]
    assert cloud.world.client.get("/ready").json["delivery"] == "paused"
    cloud.assert_held()
    assert cloud.resume().exit_code == 0
    cloud.assert_running()


def test_a_pause_by_command_holds_what_one_by_http_does_not_and_keeps_its_reason(cloud: Cloud) -> None:
    cloud.pause_by_http()
    assert cloud.resume_by_http().status_code == 200, "it has detached nothing"
    before = cloud.pause_by_http().json["pause"]
    cloud.world.clock.turn(minutes=5)
    paused = cloud.pause()
    assert (paused.exit_code, "by ada: by HTTP" in paused.stdout) == (0, True), paused.output
    assert cloud.told()["pause"] == before
    cloud.assert_held()
    assert slug(cloud.resume_by_http()) == (409, "pushes-detached")
    assert cloud.resume().exit_code == 0
    cloud.assert_running()


def test_a_second_pause_of_either_kind_keeps_what_the_first_has_detached(cloud: Cloud) -> None:
    cloud.pause()
    assert cloud.pause().exit_code == 0
    assert cloud.pause_by_http().json["pushes"] == ON_RECORD
    cloud.assert_held()
    cloud.assert_nothing_is_lost()


def test_a_pause_that_was_cut_off_before_it_detached_is_ended_by_command_or_run_again(cloud: Cloud) -> None:
    for end in (cloud.resume, lambda: cloud.pause() and cloud.assert_held()):
        cloud.fake.faults["ModifyPushConfig"] = Fault(grpc.StatusCode.PERMISSION_DENIED, times=1)
        assert cloud.pause().exit_code == 3
        assert (pushes_to(cloud.fake), cloud.told()["pushes"]) == (ATTACHED, ON_RECORD)
        assert slug(cloud.resume_by_http()) == (409, "pushes-detached"), "it may be about to detach"
        end()
        cloud.assert_nothing_is_lost()


def test_a_push_that_was_attached_elsewhere_during_a_pause_is_put_on_record_as_it_is_now(
    cloud: Cloud,
) -> None:
    cloud.pause()
    elsewhere = "https://worker-2.example/push"
    cloud.fake.subscriptions[WORKER].push_config = {"push_endpoint": elsewhere}
    assert cloud.pause().exit_code == 0
    assert pushes_to(cloud.fake) == DETACHED
    assert cloud.resume().exit_code == 0
    assert pushes_to(cloud.fake) == (elsewhere, "", "")


def test_a_push_that_is_not_on_record_as_it_is_stays_attached(cloud: Cloud) -> None:
    """As an API of the version before answers, which puts nothing on a record that is there."""
    answer = {"delivery": "paused", "pause": {"at": "", "by": "", "reason": ""}, "queue": "pubsub"}
    for pushes in ({}, {NAME: PUSH | {"endpoint": "https://another.example"}}):
        cloud.service.on("POST /v1/delivery/pause", Answer(200, answer | {"pushes": pushes}))
        paused = cloud.pause()
        assert (paused.exit_code, f"{NAME}: " in paused.stderr) == (1, True), paused.output
        assert pushes_to(cloud.fake) == ATTACHED


def test_a_record_that_cannot_be_read_holds_what_is_detached_from_then_on(cloud: Cloud) -> None:
    cloud.world.store.create(pausing.RECORD, b"not json")
    assert cloud.pause().exit_code == 0
    cloud.assert_held()
    cloud.assert_nothing_is_lost()


def test_what_is_put_on_record_later_leaves_the_rest_of_the_record_as_it_was(cloud: Cloud) -> None:
    first = {"version": 2, "at": "then", "by": "ada", "reason": "x", "new_in_2": {"y": [1]}}
    cloud.world.store.create(pausing.RECORD, json.dumps(first).encode())
    cloud.pause()
    record = records.read_record(cloud.world.store, pausing.RECORD)
    assert record == first | {"pushes": ON_RECORD}
    cloud.assert_nothing_is_lost()


# --- what ends a pause --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, "malformed-request")),
        (b"[]", (400, "malformed-request")),
        (b'{"why": 1}', (422, "unknown-field")),
        (b'{"attached": "cutout-jobs-worker"}', (422, "invalid-value")),
        (b'{"attached": [7]}', (422, "invalid-value")),
        (b'{"attached": [[]]}', (422, "invalid-value")),
        (b'{"attached": ["another"]}', (422, "invalid-value")),
        (b'{"attached": []}', (409, "pushes-detached")),
        (b"{}", (409, "pushes-detached")),
        (b"", (409, "pushes-detached")),
    ],
)
def test_a_resume_that_does_not_name_every_push_on_record_ends_nothing(
    tmp_path: Path, body: bytes, expected: tuple[int, str]
) -> None:
    client = ApiWorld(tmp_path).client
    client.post("/v1/delivery/pause", json={"reason": "x", "pushes": ON_RECORD})
    assert slug(client.post("/v1/delivery/resume", data=body, content_type="application/json")) == expected
    assert client.get("/v1/delivery").json["pushes"] == ON_RECORD
    assert client.post("/v1/delivery/resume", json={"attached": [NAME]}).json["delivery"] == "running"


# --- at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ACTS)
@pytest.mark.parametrize("outer", ["pause", "resume"])
@pytest.mark.parametrize("first", [None, "pause_by_http", "pause"])
def test_nothing_is_lost_whatever_another_hand_does_at_any_moment_of_a_command(
    cloud: Cloud, first: str | None, outer: str, inner: str
) -> None:
    for number in range(20):
        if first:
            getattr(cloud, first)()
        cloud.moment.set(number, getattr(cloud, inner))
        getattr(cloud, outer)()
        if not cloud.moment.has_come():
            break
        cloud.assert_nothing_is_lost()
    assert 2 < number < 19, cloud.moment.calls


def race_in_the_store(world: ApiWorld, number: int, call: str, order: dict[str, Any]) -> bool:
    """Let another process put a push on record at a call of the store; return whether there was one."""
    world.client.post("/v1/delivery/pause", json={"reason": "x", "by": "ada"})
    other, detaching = world.api(), {"reason": "y", "pushes": ON_RECORD}
    moment = Moment(number, lambda: other.post("/v1/delivery/pause", json=detaching))
    world.api(Process(moment)).post(f"/v1/delivery/{call}", json=order)
    return moment.has_come()


@pytest.mark.parametrize(
    ("call", "order"),
    [("resume", {}), ("pause", {"reason": "z", "pushes": ON_RECORD}), ("pause", {"reason": "z"})],
)
def test_what_is_put_on_record_at_any_moment_of_a_call_stays_there(
    tmp_path: Path, call: str, order: dict[str, Any]
) -> None:
    for number in range(20):
        world = ApiWorld(tmp_path)
        if not race_in_the_store(world, number, call, order):
            break
        assert world.client.get("/v1/delivery").json["pushes"] == ON_RECORD, number
    assert 2 < number < 19


def test_a_pause_that_is_ended_while_a_push_is_put_on_its_record_is_begun_again(tmp_path: Path) -> None:
    world, ended = ApiWorld(tmp_path), []

    def end(call: str) -> None:
        if call == f"before store.replace {pausing.RECORD}":
            ended.append(world.client.post("/v1/delivery/resume").status_code)

    world.client.post("/v1/delivery/pause", json={"reason": "x"})
    order = {"reason": "y", "pushes": ON_RECORD}
    assert world.api(Process(end)).post("/v1/delivery/pause", json=order).status_code == 200
    told = world.client.get("/v1/delivery").json
    assert (ended, told["pause"]["reason"], told["pushes"]) == ([200], "y", ON_RECORD)


def test_a_pause_right_after_a_resume_is_left_by_it_and_told(cloud: Cloud) -> None:
    cloud.pause()
    cloud.moment.calls.clear()
    cloud.moment.set(5, cloud.pause)
    resumed = cloud.resume()
    assert cloud.moment.calls[4:6] == ["/v1/delivery/resume", "/v1/delivery"]
    assert (resumed.exit_code, resumed.stdout.startswith("DELIVERY IS PAUSED")) == (0, True)
    cloud.assert_held()
