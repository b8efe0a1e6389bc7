"""One description makes topics and subscriptions everywhere; making them again changes only what differs."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest
from click.testing import CliRunner
from google.iam.v1.policy_pb2 import Binding, Policy
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import Subscription
from google.type.expr_pb2 import Expr

from api.call import Call
from api.calls import calls
from ops.cli import main
from ops.emulator import free_port
from shared import messages, pubsub_topology
from shared.errors import QueueUnavailableError
from shared.places import Project
from shared.pubsub import open_channel
from shared.pubsub_topology import Maker, Pusher, TopologyError, agent_of
from shared.topology import topology
from tests.pubsub_fake import Fault, PubSubFake, serving

URLS = {"api": "https://api.example", "worker": "https://worker.example"}
EMAIL, AGENT = "pusher@shop-prod.iam.gserviceaccount.com", agent_of(1234)
IN_THE_CLOUD = Pusher(urls=URLS, email=EMAIL, agent=AGENT)
EMULATED = Pusher(urls=URLS)

WORKER = "projects/shop-prod/subscriptions/cutout-jobs-worker"
DEAD = "projects/shop-prod/topics/cutout-jobs-dead"
CREATED = [
    "created topic cutout-jobs",
    "created topic cutout-jobs-dead",
    "created topic cutout-events",
    "created subscription cutout-jobs-dead-api",
    "created subscription cutout-jobs-worker",
    f"let {AGENT} publish to topic cutout-jobs-dead",
    f"let {AGENT} acknowledge in subscription cutout-jobs-worker",
    "created subscription cutout-events-api",
]


@pytest.fixture
def fake() -> Iterator[PubSubFake]:
    with serving() as fake:
        yield fake


@pytest.fixture
def maker(fake: PubSubFake) -> Iterator[Maker]:
    """A maker as for the cloud, but for where it is connected to."""
    with pubsub_topology.opened(fake.project) as maker:
        maker._project = Project(fake.project.id)
        yield maker


def make(maker: Maker, pusher: Pusher = IN_THE_CLOUD) -> list[str]:
    return maker.make(topology(), pusher)


# --- the description ----------------------------------------------------------------------------


def test_the_names_are_those_that_messages_are_published_to() -> None:
    assert set(topology().topics) == {messages.JOBS, messages.DEAD_JOBS, messages.EVENTS}
    assert {route.topic for route in topology().routes} == set(topology().topics), "a topic nobody listens to"


def test_every_route_ends_at_a_route() -> None:
    described: dict[str, dict[str, Call]] = calls()
    for route in topology().routes:
        if route.service == "api":
            assert "post" in described[route.path]
        else:
            assert (route.service, route.path) == ("worker", "/push")


def test_a_dead_letter_has_a_listener_before_it_can_be_written() -> None:
    names = [route.topic for route in topology().routes]
    for route in topology().routes:
        if route.dead_letter_topic:
            assert names.index(route.dead_letter_topic) < names.index(route.topic)


def test_the_numbers_are_the_designs() -> None:
    """Twenty attempts from 10 s cover a GPU that boots, and more than two hours."""
    worker = next(route for route in topology().routes if route.service == "worker")
    assert (worker.max_attempts, worker.dead_letter_topic) == (20, messages.DEAD_JOBS)
    assert {route.ack_deadline_s for route in topology().routes} == {600}
    assert topology().backoff_in_the_cloud_s == (10, 600)
    dead = next(route for route in topology().routes if route.topic == messages.DEAD_JOBS)
    assert dead.retention == timedelta(days=31)


# --- in the cloud -------------------------------------------------------------------------------


def test_everything_is_made_once_as_described(maker: Maker, fake: PubSubFake) -> None:
    assert make(maker) == CREATED
    kept = fake.subscriptions[WORKER]
    assert kept.topic == "projects/shop-prod/topics/cutout-jobs"
    assert kept.push_config.push_endpoint == "https://worker.example/push"
    assert kept.push_config.oidc_token.service_account_email == EMAIL
    assert kept.push_config.oidc_token.audience == "https://worker.example"
    assert kept.ack_deadline_seconds == 600
    assert kept.retry_policy.minimum_backoff == timedelta(seconds=10)
    assert kept.retry_policy.maximum_backoff == timedelta(seconds=600)
    assert (kept.dead_letter_policy.dead_letter_topic, kept.dead_letter_policy.max_delivery_attempts) == (
        DEAD,
        20,
    )
    dead = fake.subscriptions["projects/shop-prod/subscriptions/cutout-jobs-dead-api"]
    assert dead.push_config.push_endpoint == "https://api.example/internal/dead-letters"
    assert dead.message_retention_duration == timedelta(days=31)
    for subscription in fake.subscriptions.values():
        assert "expiration_policy" in subscription, "without one it expires when it is idle for a month"
        assert not subscription.expiration_policy.ttl


def test_made_again_nothing_is_done(maker: Maker, fake: PubSubFake) -> None:
    make(maker)
    kept = dict(fake.subscriptions), dict(fake.policies)
    assert make(maker) == []
    assert (fake.subscriptions, fake.policies) == kept
    assert fake.calls["UpdateSubscription"] == 0
    assert fake.calls["SetIamPolicy"] == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ack_deadline_seconds": 10}, "ack_deadline_seconds was 10, is 600"),
        ({"push_config": {"push_endpoint": "https://old.example/push"}}, "push_config was"),
        ({"retry_policy": None}, r"retry_policy was \(0.0, 0.0\), is \(10.0, 600.0\)"),
        ({"dead_letter_policy": None}, "dead_letter_policy was"),
        ({"expiration_policy": None}, "expiration_policy was 31 days, is for ever"),
        ({"expiration_policy": {"ttl": timedelta(days=3)}}, "expiration_policy was 259200 s, is for ever"),
        (
            {"message_retention_duration": timedelta(hours=1)},
            "message_retention_duration was 3600.0, is 604800.0",
        ),
    ],
    ids=str,
)
def test_what_differs_is_updated_and_nothing_else(maker, fake, change, said) -> None:
    make(maker)
    good = Subscription(fake.subscriptions[WORKER])
    for name, value in change.items():
        setattr(fake.subscriptions[WORKER], name, value)
    (done,) = make(maker)
    assert re.match(f"updated subscription cutout-jobs-worker: {said}", done), done
    assert fake.subscriptions[WORKER] == good


def test_what_it_does_not_describe_is_left_alone(maker: Maker, fake: PubSubFake) -> None:
    """Labels, filters and attributes of the server's; other topics, other rights."""
    make(maker)
    fake.add_topic("somebody-elses")
    fake.subscriptions[WORKER].labels["team"] = "prints"
    fake.subscriptions[WORKER].push_config.attributes["x-goog-version"] = "v1"
    assert make(maker) == []
    fake.subscriptions[WORKER].push_config.push_endpoint = "https://old.example/push"
    assert len(make(maker)) == 1
    assert dict(fake.subscriptions[WORKER].labels) == {"team": "prints"}
    assert dict(fake.subscriptions[WORKER].push_config.attributes) == {"x-goog-version": "v1"}
    assert "projects/shop-prod/topics/somebody-elses" in fake.topics


def test_a_subscription_of_another_topic_is_refused_with_what_to_do(maker: Maker, fake: PubSubFake) -> None:
    make(maker)
    fake.subscriptions[WORKER].topic = "_deleted-topic_"
    with pytest.raises(TopologyError, match="gcloud pubsub subscriptions delete cutout-jobs-worker"):
        make(maker)


def test_two_hands_at_once_make_one_topology(maker: Maker, fake: PubSubFake) -> None:
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: make(maker), range(2)))
    assert make(maker) == []
    assert fake.members(DEAD) == {"roles/pubsub.publisher": [AGENT]}


def test_what_failed_half_way_is_finished_the_next_time(maker: Maker, fake: PubSubFake) -> None:
    fake.faults["CreateSubscription"] = Fault(grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(QueueUnavailableError):
        make(maker)
    assert make(maker) == CREATED[3:]


# --- rights -------------------------------------------------------------------------------------


def test_pubsub_itself_may_move_dead_letters_and_others_keep_their_rights(maker, fake) -> None:
    """Without both, dead letters are neither written nor taken away, and nobody says so."""
    reader = Binding(role="roles/pubsub.viewer", members=["user:a@shop.example"])
    fake.write_policy(DEAD, Policy(bindings=[reader]))
    make(maker)
    assert fake.members(DEAD) == {
        "roles/pubsub.viewer": ["user:a@shop.example"],
        "roles/pubsub.publisher": [AGENT],
    }
    assert fake.members(WORKER) == {"roles/pubsub.subscriber": [AGENT]}


def test_a_right_under_a_condition_is_not_taken_for_the_right(maker, fake) -> None:
    at_night = Expr(expression="request.time.getHours() < 6")
    bound = Binding(role="roles/pubsub.publisher", members=[AGENT], condition=at_night)
    fake.write_policy(DEAD, Policy(bindings=[bound], version=3))
    make(maker)
    assert [b.condition.expression for b in fake.policies[DEAD].bindings] == [at_night.expression, ""]


def test_a_right_that_another_hand_grants_at_the_same_moment_is_kept(maker, fake) -> None:
    reader = Binding(role="roles/pubsub.viewer", members=["user:a@shop.example"])
    fake.before_set_policy = lambda: fake.write_policy(DEAD, Policy(bindings=[reader], etag=b"0"))
    make(maker)
    assert set(fake.members(DEAD)) == {"roles/pubsub.viewer", "roles/pubsub.publisher"}


# --- the command --------------------------------------------------------------------------------


def run(*args: str, **env: str):
    return CliRunner(env=env).invoke(main, ["topology", *args])


def options(address: str) -> list[str]:
    return [
        *("--project", "shop-prod", "--emulator", address),
        *("--api-url", URLS["api"], "--worker-url", URLS["worker"]),
    ]


def test_the_command_says_what_it_did(fake: PubSubFake) -> None:
    first, second = run(*options(fake.project.emulator)), run(*options(fake.project.emulator))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout.splitlines() == [line for line in CREATED if not line.startswith("let")]
    assert second.stdout == "everything is as it should be\n"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--project", "X"], "expected a project's id, got 'X'"),
        (["--api-url", "api.example"], "expected an absolute http(s) URL"),
        (["--emulator", "nowhere"], "expected HOST:PORT"),
        (["--project-number", "0"], "not in the range"),
    ],
    ids=str,
)
def test_wrong_usage_is_exit_2_and_a_sentence(changed, said) -> None:
    result = run(*options("127.0.0.1:1"), *changed)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_project_wants_to_know_who_pushes_and_an_emulator_does_not() -> None:
    result = run(*options("")[:2], *options("")[4:], "--push-email", EMAIL)
    assert result.exit_code == 2
    assert "A project needs --push-email and --project-number; an emulator neither." in result.stderr


def test_nobody_there_is_exit_3(fake: PubSubFake) -> None:
    result = run(*options(f"127.0.0.1:{free_port()}"))
    assert (result.exit_code, result.stderr) == (3, "Error: The queue does not answer.\n")
    fake.faults["GetTopic"] = Fault(grpc.StatusCode.PERMISSION_DENIED)
    result = run(*options(fake.project.emulator))
    assert (result.exit_code, "roles/pubsub.admin" in result.stderr) == (3, True)


def test_something_in_the_way_is_exit_1(fake: PubSubFake) -> None:
    run(*options(fake.project.emulator))
    fake.subscriptions[WORKER].topic = "_deleted-topic_"
    result = run(*options(fake.project.emulator))
    assert (result.exit_code, "cannot be changed" in result.stderr) == (1, True)
    fake.subscriptions[WORKER].topic = "projects/shop-prod/topics/cutout-jobs"
    fake.faults["GetTopic"] = Fault(grpc.StatusCode.INVALID_ARGUMENT)
    result = run(*options(fake.project.emulator))
    assert (result.exit_code, "Pub/Sub refuses" in result.stderr) == (1, True)


# --- the real emulator --------------------------------------------------------------------------


@pytest.mark.emulator
def test_the_emulator_takes_it_and_tells_the_same_again(emulator: str) -> None:
    project = Project("topology-test", emulator)
    with pubsub_topology.opened(project) as maker:
        assert len(make(maker, EMULATED)) == 6
        assert make(maker, EMULATED) == []
        moved = Pusher(urls={**URLS, "worker": "http://127.0.0.1:1"})
        (done,) = make(maker, moved)
        assert "push_config" in done
        assert make(maker, moved) == []
    with open_channel(project) as channel:
        client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        kept = client.get_subscription(subscription="projects/topology-test/subscriptions/cutout-jobs-worker")
    assert kept.push_config.push_endpoint == "http://127.0.0.1:1/push"
    assert (kept.ack_deadline_seconds, kept.dead_letter_policy.max_delivery_attempts) == (600, 20)
    assert kept.retry_policy.maximum_backoff == timedelta(seconds=30)
