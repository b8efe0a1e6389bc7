"""In an incident delivery is paused: everyone who asks is told, nothing is lost, and nothing undoes it."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from shared import pausing, pubsub_pausing, pubsub_topology
from shared.errors import NameTakenError, StoreUnavailableError
from shared.memory_store import MemoryStore
from shared.pausing import Held
from shared.places import Project
from shared.pubsub_topology import Pusher
from shared.topology import topology
from tests.api_world import ApiWorld, slug
from tests.contracts.queues import sqlite, subscription, wait_until
from tests.pausing_cloud import (
    ATTACHED,
    DETACHED,
    URLS,
    WORKER,
    pushes_to,
    serving_cloud_api,
    serving_cloud_pubsub,
)
from tests.pubsub_fake import Fault, PubSubFake
from tests.scripted import Service, runner
from tests.world import Process

PUSH = {"endpoint": "https://worker.example/push", "email": "", "audience": ""}


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


class _HeardLate(MemoryStore):
    """A store whose first answer to a create is lost, and in which another hand resumes meanwhile."""

    def create(self, name: str, data: bytes, **_: object) -> object:
        super().create(name, data)
        raise NameTakenError("It was asked again.")

    def stat(self, name: str) -> object:
        pausing.resume(self)
        return super().stat(name)


def pause(world: ApiWorld, **wishes: object) -> object:
    return world.client.post(
        "/v1/delivery/pause", json={"reason": "the model is wrong", "by": "ada"} | wishes
    )


# --- what is said -------------------------------------------------------------------------------


def test_a_pause_is_told_to_probes_and_operators_until_it_is_over(world: ApiWorld) -> None:
    asked = ("/ready", "/v1/jobs?status=open", "/v1/delivery")
    assert [world.client.get(path).json["delivery"] for path in asked] == ["running"] * 3
    assert pause(world).status_code == 200
    for path in asked:
        answer = world.client.get(path)
        assert (answer.status_code, answer.json["delivery"]) == (200, "paused")
        assert answer.json["pause"] == {
            "at": "2026-01-01T00:00:00+00:00",
            "by": "ada",
            "reason": "the model is wrong",
        }
    assert world.client.post("/v1/delivery/resume").json["delivery"] == "running"
    assert [world.client.get(path).json["delivery"] for path in asked] == ["running"] * 3
    assert world.names("delivery/") == []


def test_a_pause_that_is_over_before_its_own_answer_has_come_is_no_fault(world: ApiWorld) -> None:
    """Its record was written, the answer was lost, and as the adapter asked again another hand resumed."""
    store = _HeardLate(world.clock)
    held, is_new = pausing.pause(store, world.clock, by="ada", reason="the model is wrong", pushes={})
    assert (held.by, is_new) == ("ada", True)
    assert pausing.read_pause(store) is None


def test_a_photo_is_accepted_while_delivery_is_paused(world: ApiWorld) -> None:
    pause(world)
    assert world.client.get("/ready").json["status"] == "ready"
    assert world.submit().status_code == 202


def test_the_first_pause_stands_and_a_resume_may_be_repeated(world: ApiWorld) -> None:
    pause(world)
    world.clock.turn(minutes=5)
    again = pause(world, reason="another", by="bob", pushes={})
    assert again.json["pause"]["by"] == "ada"
    for _ in range(2):
        assert world.client.post("/v1/delivery/resume").status_code == 200


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"reason": ""}, (422, "invalid-value")),
        ({"reason": "  "}, (422, "invalid-value")),
        ({"reason": None}, (422, "invalid-value")),
        ({"reason": "x" * 501}, (422, "invalid-value")),
        ({"by": 7}, (422, "invalid-value")),
        ({"reason": "a\ud800"}, (422, "invalid-value")),
        ({"reason": "a\nb"}, (422, "invalid-value")),
        ({"by": "a\ud800"}, (422, "invalid-value")),
        ({"by": "a\0"}, (422, "invalid-value")),
        ({"a\ud800": "x"}, (422, "unknown-field")),
        ({"why": "x"}, (422, "unknown-field")),
        ({"pushes": {"another": {}}}, (422, "invalid-value")),
        ({"pushes": {"cutout-jobs-worker": {"endpoint": "x"}}}, (422, "invalid-value")),
        ({"pushes": {"cutout-jobs-worker": PUSH | {"endpoint": "x\ud800"}}}, (422, "invalid-value")),
        ({"pushes": {"cutout-jobs-worker": PUSH | {"email": "x\ny"}}}, (422, "invalid-value")),
        ({"pushes": {"cutout-jobs-worker": PUSH | {"audience": "x" * 2001}}}, (422, "invalid-value")),
        ({"pushes": []}, (422, "invalid-value")),
    ],
)
def test_a_pause_without_a_good_reason_is_none(world: ApiWorld, wishes: dict, expected: tuple) -> None:
    assert slug(pause(world, **wishes)) == expected
    assert slug(world.client.post("/v1/delivery/pause", json={})) == (422, "invalid-value")
    assert slug(world.client.post("/v1/delivery/pause", data="x")) == (415, "unsupported-media-type")
    assert world.names() == []


def test_nobody_but_an_operator_pauses(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path, admin_key="secret")
    assert slug(pause(world)) == (404, "not-found")
    assert slug(world.client.post("/v1/delivery/resume")) == (404, "not-found")
    assert slug(world.client.get("/v1/delivery")) == (404, "not-found")
    headers = {"Authorization": "Bearer secret"}
    assert world.client.post("/v1/delivery/pause", json={"reason": "x"}, headers=headers).status_code == 200


def test_a_pause_that_cannot_be_read_is_a_pause(world: ApiWorld) -> None:
    world.store.create(pausing.RECORD, b"not json")
    assert world.client.get("/ready").json["delivery"] == "paused"
    assert world.client.post("/v1/delivery/resume").json["delivery"] == "running"


def test_an_api_that_cannot_tell_is_not_ready(world: ApiWorld) -> None:
    def away(call: str) -> None:
        if call == f"before store.read {pausing.RECORD}":
            raise StoreUnavailableError("away")

    answer = world.api(Process(away)).get("/ready")
    assert (answer.status_code, answer.json["faults"]) == (503, {"store": "StoreUnavailableError"})


# --- the broker of one machine ------------------------------------------------------------------


@pytest.fixture
def broker(request) -> Iterator:
    with sqlite(request) as under_test:
        yield under_test


def test_the_broker_holds_one_subscription_and_pushes_the_others(broker) -> None:
    broker.subscribe(subscription("held"), subscription("other", topic="other"))
    broker.pusher.hold(["held"])
    for n in range(3):
        broker.queue.publish("jobs", b"%d" % n)
        broker.queue.publish("other", b"%d" % n)
    wait_until(lambda: len(broker.receiver.of("other")) == 3)
    assert broker.receiver.of("held") == []
    broker.pusher.hold([])
    wait_until(lambda: broker.backlog() == 0)
    assert sorted(push.data for push in broker.receiver.of("held")) == [b"0", b"1", b"2"]
    assert {push.attempt for push in broker.receiver.of("held")} == {1}


def test_what_is_out_when_delivery_is_paused_is_still_settled(broker) -> None:
    broker.subscribe(subscription("held"))
    broker.receiver.gate.clear()
    broker.queue.publish("jobs", b"x")
    wait_until(lambda: broker.receiver.at_once == 1)
    broker.pusher.hold(["held"])
    broker.receiver.gate.set()
    wait_until(lambda: broker.backlog() == 0)


# --- Pub/Sub ------------------------------------------------------------------------------------


@pytest.fixture
def fake() -> Iterator[PubSubFake]:
    with serving_cloud_pubsub() as fake:
        yield fake


def test_a_push_is_detached_and_attached_again_as_it_was(fake: PubSubFake) -> None:
    others = {name: kept for name, kept in fake.subscriptions.items() if name != WORKER}
    with pubsub_pausing.opened(fake.project) as switch:
        pushes = switch.pushes()
        assert switch.detach(pushes) == []
        assert pushes_to(fake) == DETACHED
        assert switch.pushes() == {}
        assert switch.detach({}) == [], "it is detached already"
        assert switch.attach(pushes) == []
        assert pushes_to(fake) == ATTACHED
        assert switch.attach({}) == [], "it pushes already"
    assert {name: kept for name, kept in fake.subscriptions.items() if name != WORKER} == others


def test_what_is_not_on_record_as_it_pushes_is_not_detached(fake: PubSubFake) -> None:
    with pubsub_pausing.opened(fake.project) as switch:
        on_record = {name: push | {"audience": "another"} for name, push in switch.pushes().items()}
        assert switch.detach({}) == switch.detach(on_record) == ["cutout-jobs-worker"]
    assert pushes_to(fake) == ATTACHED


def test_what_another_hand_has_detached_is_not_guessed(fake: PubSubFake) -> None:
    with pubsub_pausing.opened(fake.project) as switch:
        switch.detach(switch.pushes())
        assert switch.attach({}) == ["cutout-jobs-worker"]
    assert pushes_to(fake) == DETACHED


def test_a_topology_that_is_made_again_leaves_a_pause_and_says_so(fake: PubSubFake) -> None:
    with pubsub_pausing.opened(fake.project) as switch:
        switch.detach(switch.pushes())
    said = "left subscription cutout-jobs-worker paused, its push is detached: ./cutout resume attaches it"
    assert fake.make() == [said]
    assert pushes_to(fake) == DETACHED
    fake.subscriptions[WORKER].ack_deadline_seconds = 10
    assert fake.make() == [
        said,
        "updated subscription cutout-jobs-worker: ack_deadline_seconds was 10, is 600",
    ]
    assert pushes_to(fake) == DETACHED
    (done,) = fake.make(Held.NONE)
    assert "push_config was ('', '', '')" in done
    assert pushes_to(fake) == ATTACHED


def test_a_topology_is_made_paused_where_a_pause_is_on(fake: PubSubFake) -> None:
    del fake.subscriptions[WORKER]
    fake.make(Held.ALL)
    assert pushes_to(fake) == DETACHED
    assert fake.make(Held.ALL) == []
    fake.make(Held.NONE)
    assert pushes_to(fake) == ATTACHED


@pytest.mark.emulator
def test_the_emulator_detaches_and_attaches_too(emulator: str) -> None:
    project = Project("pausing-test", emulator)
    pusher = Pusher(urls=dict.fromkeys(URLS, "http://127.0.0.1:1"))
    with pubsub_topology.opened(project) as maker, pubsub_pausing.opened(project) as switch:
        maker.make(topology(), pusher)
        pushes = switch.pushes()
        assert switch.detach(pushes) == []
        assert switch.pushes() == {}
        assert len(maker.make(topology(), pusher)) == 1
        assert switch.pushes() == {}
        assert switch.attach(pushes) == []
        assert switch.pushes() == pushes
        assert maker.make(topology(), pusher) == []


# --- the commands -------------------------------------------------------------------------------


@pytest.fixture
def service(world: ApiWorld) -> Iterator[Service]:
    with serving_cloud_api(world) as service:
        yield service


def test_an_operator_pauses_and_resumes_by_command(
    world: ApiWorld, service: Service, fake: PubSubFake
) -> None:
    run, where = runner(service), ("--project", "shop-prod", "--emulator", fake.project.emulator)
    paused = run("pause", "--reason", "the model is wrong", *where)
    assert paused.exit_code == 0, paused.output
    assert paused.stdout.startswith("DELIVERY IS PAUSED since 2026-01-01T00:00:00+00:00 by ")
    assert ": the model is wrong (./cutout resume goes on)" in paused.stdout
    assert pushes_to(fake) == DETACHED
    assert run("jobs", "--open").stdout.splitlines() == [paused.stdout.strip(), "0 open"]
    again = run("pause", "--reason", "another", *where)
    assert (again.exit_code, again.stdout) == (0, paused.stdout)
    resumed = run("resume", *where)
    assert (resumed.exit_code, resumed.stdout) == (0, "delivery is running\n")
    assert pushes_to(fake) == ATTACHED
    assert run("jobs", "--open").stdout == "0 open\n"
    assert run("resume", *where).exit_code == 0
    assert world.names("delivery/") == []


def test_a_pause_that_pubsub_refuses_is_told_and_completed_when_it_is_run_again(
    world: ApiWorld, service: Service, fake: PubSubFake
) -> None:
    run, where = runner(service), ("--project", "shop-prod", "--emulator", fake.project.emulator)
    fake.faults["ModifyPushConfig"] = Fault(grpc.StatusCode.PERMISSION_DENIED, times=1)
    refused = run("pause", "--reason", "x", *where)
    assert (refused.exit_code, "roles/pubsub.editor" in refused.stderr) == (3, True)
    assert pushes_to(fake) == ATTACHED
    assert world.names("delivery/") == [pausing.RECORD], "on record first: it can be attached again"
    assert run("pause", "--reason", "x", *where).exit_code == 0
    assert pushes_to(fake) == DETACHED
    fake.faults["ModifyPushConfig"] = Fault(grpc.StatusCode.UNAVAILABLE, times=1)
    assert run("resume", *where).exit_code == 3
    assert world.names("delivery/") == [pausing.RECORD], "still paused, and still said"
    assert run("resume", *where).exit_code == 0
    assert pushes_to(fake) == ATTACHED


def test_what_was_detached_otherwise_is_refused_with_what_to_do(service: Service, fake: PubSubFake) -> None:
    run, where = runner(service), ("--project", "shop-prod", "--emulator", fake.project.emulator)
    with pubsub_pausing.opened(fake.project) as switch:
        switch.detach(switch.pushes())
    result = run("resume", *where)
    assert (result.exit_code, "./cutout topology --attach" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "name the project with --project"),
        (("--project", "X"), "expected a project's id, got 'X'"),
        (("--project", "shop-prod", "--emulator", "nowhere"), "expected HOST:PORT"),
    ],
)
def test_wrong_usage_is_exit_2_and_changes_nothing(
    world: ApiWorld, service: Service, options: tuple[str, ...], said: str
) -> None:
    for command in (("pause", "--reason", "x"), ("resume",)):
        result = runner(service)(*command, *options)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert runner(service)("pause").exit_code == 2
    assert world.names() == []
