"""A fake of Pub/Sub's gRPC API in this process: for what the emulator cannot do, which is rights and faults.

It keeps topics, subscriptions, policies and what was published; it pushes nothing.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import empty_pb2
from google.pubsub_v1.types import pubsub

from ops.emulator import free_port
from shared.places import Project
from shared.pubsub import topic_path


@dataclass
class Fault:
    """How the next calls of a method fail."""

    code: grpc.StatusCode
    times: int = 1


@dataclass
class PubSubFake:
    """What the fake knows, and how it was told to behave."""

    topics: dict[str, pubsub.Topic] = field(default_factory=dict)
    subscriptions: dict[str, pubsub.Subscription] = field(default_factory=dict)
    policies: dict[str, policy_pb2.Policy] = field(default_factory=dict)
    published: list[tuple[str, pubsub.PubsubMessage]] = field(default_factory=list)
    rights: frozenset[str] = frozenset({"pubsub.topics.publish"})
    faults: dict[str, Fault] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    left_s: list[float] = field(default_factory=list)  #: of each publish's deadline, as it arrived
    #: Told of each call before it is done, by its method's name.
    before_call: Callable[[str], None] = lambda _name: None
    #: Run before a policy is written, as by another hand at the same moment.
    before_set_policy: Callable[[], None] | None = None
    project: Project = field(default_factory=lambda: Project("shop-prod"))

    def __post_init__(self) -> None:
        self.gate = threading.Event()  # closed: no publish is answered
        self.gate.set()
        self.lock = threading.Lock()

    def add_topic(self, topic: str) -> None:
        """Have a topic, as if somebody had made it."""
        name = topic_path(self.project, topic)
        self.topics[name] = pubsub.Topic(name=name)

    # --- what the services and the topology's maker call ------------------------------------------

    def publish(self, request: pubsub.PublishRequest, context: grpc.ServicerContext) -> Any:
        self.left_s.append(context.time_remaining())
        self.gate.wait(30)
        if request.topic not in self.topics:
            context.abort(grpc.StatusCode.NOT_FOUND, "Topic not found")
        with self.lock:
            if context.is_active():
                self.published += [(request.topic, message) for message in request.messages]
            return pubsub.PublishResponse(message_ids=[str(len(self.published))])

    def create_topic(self, request: pubsub.Topic, context: grpc.ServicerContext) -> pubsub.Topic:
        if request.name in self.topics:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "Topic exists")
        return self.topics.setdefault(request.name, request)

    def get_topic(self, request: pubsub.GetTopicRequest, context: grpc.ServicerContext) -> Any:
        return self._found(self.topics, request.topic, context)

    def create_subscription(self, request: pubsub.Subscription, context: grpc.ServicerContext) -> Any:
        if request.name in self.subscriptions:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "Subscription exists")
        return self.subscriptions.setdefault(request.name, request)

    def get_subscription(self, request: pubsub.GetSubscriptionRequest, context: grpc.ServicerContext) -> Any:
        return self._found(self.subscriptions, request.subscription, context)

    def update_subscription(
        self, request: pubsub.UpdateSubscriptionRequest, context: grpc.ServicerContext
    ) -> Any:
        kept = self._found(self.subscriptions, request.subscription.name, context)
        for path in request.update_mask.paths:
            setattr(kept, path, getattr(request.subscription, path))
        return kept

    def modify_push_config(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._found(self.subscriptions, request.subscription, context).push_config = request.push_config
        return empty_pb2.Empty()

    # --- rights -----------------------------------------------------------------------------------

    def rights_of(self, request: Any, context: grpc.ServicerContext) -> Any:
        del context
        granted = self.rights & set(request.permissions) if request.resource in self.topics else ()
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)

    def get_policy(self, request: Any, context: grpc.ServicerContext) -> policy_pb2.Policy:
        del context
        return self.policies.get(request.resource, policy_pb2.Policy(etag=b"0"))

    def set_policy(self, request: Any, context: grpc.ServicerContext) -> policy_pb2.Policy:
        if self.before_set_policy:
            do, self.before_set_policy = self.before_set_policy, None
            do()
        with self.lock:
            current = self.policies.get(request.resource, policy_pb2.Policy(etag=b"0"))
            if request.policy.etag != current.etag:
                context.abort(grpc.StatusCode.ABORTED, "There were concurrent policy changes.")
            self.write_policy(request.resource, request.policy)
            return self.policies[request.resource]

    def write_policy(self, resource: str, policy: policy_pb2.Policy) -> None:
        kept = policy_pb2.Policy()
        kept.CopyFrom(policy)
        kept.etag = str(int(policy.etag or b"0") + 1).encode()
        self.policies[resource] = kept

    def members(self, resource: str) -> dict[str, list[str]]:
        policy = self.policies.get(resource, policy_pb2.Policy())
        return {binding.role: list(binding.members) for binding in policy.bindings}

    @staticmethod
    def _found(kept: dict[str, Any], name: str, context: grpc.ServicerContext) -> Any:
        if name not in kept:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{name} not found")
        return kept[name]


def _handlers(fake: PubSubFake) -> list[grpc.GenericRpcHandler]:
    def method(name: str, do: Callable[..., Any], takes: Any, gives: Any) -> grpc.RpcMethodHandler:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            fake.before_call(name)
            fake.calls[name] += 1
            fault = fake.faults.get(name)
            if fault and fault.times:
                fault.times -= 1
                context.abort(fault.code, f"{name} was told to fail")
            return do(request, context)

        return grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=getattr(takes, "deserialize", None) or takes.FromString,
            response_serializer=getattr(gives, "serialize", None) or gives.SerializeToString,
        )

    def service(name: str, **methods: tuple[Callable[..., Any], Any, Any]) -> grpc.GenericRpcHandler:
        built = {called: method(called, *rest) for called, rest in methods.items()}
        return grpc.method_handlers_generic_handler(name, built)

    topic, subscription, policy = pubsub.Topic, pubsub.Subscription, policy_pb2.Policy
    return [
        service(
            "google.pubsub.v1.Publisher",
            Publish=(fake.publish, pubsub.PublishRequest, pubsub.PublishResponse),
            CreateTopic=(fake.create_topic, topic, topic),
            GetTopic=(fake.get_topic, pubsub.GetTopicRequest, topic),
        ),
        service(
            "google.pubsub.v1.Subscriber",
            CreateSubscription=(fake.create_subscription, subscription, subscription),
            GetSubscription=(fake.get_subscription, pubsub.GetSubscriptionRequest, subscription),
            ModifyPushConfig=(fake.modify_push_config, pubsub.ModifyPushConfigRequest, empty_pb2.Empty),
            UpdateSubscription=(fake.update_subscription, pubsub.UpdateSubscriptionRequest, subscription),
        ),
        service(
            "google.iam.v1.IAMPolicy",
            TestIamPermissions=(
                fake.rights_of,
                iam_policy_pb2.TestIamPermissionsRequest,
                iam_policy_pb2.TestIamPermissionsResponse,
            ),
            GetIamPolicy=(fake.get_policy, iam_policy_pb2.GetIamPolicyRequest, policy),
            SetIamPolicy=(fake.set_policy, iam_policy_pb2.SetIamPolicyRequest, policy),
        ),
    ]


@contextmanager
def serving(fake: PubSubFake | None = None, port: int = 0) -> Iterator[PubSubFake]:
    """Serve a fake on this machine; its project is at its address."""
    fake, port = fake or PubSubFake(), port or free_port()
    with ThreadPoolExecutor(40) as threads:
        server = grpc.server(threads, handlers=_handlers(fake), options=[("grpc.so_reuseport", 0)])
        assert server.add_insecure_port(f"127.0.0.1:{port}") == port
        fake.project = Project("shop-prod", f"127.0.0.1:{port}")
        server.start()
        try:
            yield fake
        finally:
            fake.gate.set()
            server.stop(grace=None).wait()
