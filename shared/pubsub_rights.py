"""Gives rights on topics and subscriptions, without taking back what another hand gives meanwhile."""

from contextlib import suppress
from typing import Any

from google.api_core import exceptions
from google.iam.v1.iam_policy_pb2 import GetIamPolicyRequest, SetIamPolicyRequest
from google.iam.v1.options_pb2 import GetPolicyOptions
from google.iam.v1.policy_pb2 import Binding, Policy
from google.pubsub_v1 import PublisherClient, SubscriberClient

#: Every call here and of a topology is made once.
ONE_CALL: dict[str, Any] = {"retry": None, "timeout": 10.0}

_POLICY_TRIES = 5
_LATEST_POLICY = 3


class TopologyError(Exception):
    """Something is there that cannot be changed into what is described; the text says what to do."""


def grant(client: PublisherClient | SubscriberClient, resource: str, role: str, member: str) -> bool:
    """Give a member a role on one resource; return whether it did not have it."""
    for _ in range(_POLICY_TRIES):
        policy = _read_policy(client, resource)
        if any(
            b.role == role and member in b.members and not b.condition.expression for b in policy.bindings
        ):
            return False
        policy.bindings.append(Binding(role=role, members=[member]))
        # The policy's etag goes along: what another hand has granted meanwhile is not taken back.
        with suppress(exceptions.Aborted):
            request = SetIamPolicyRequest(resource=resource, policy=policy)
            client.set_iam_policy(request=request, **ONE_CALL)
            return True
    raise TopologyError(f"the rights on {resource} are being changed all the time; run this again")


def _read_policy(client: PublisherClient | SubscriberClient, resource: str) -> Policy:
    options = GetPolicyOptions(requested_policy_version=_LATEST_POLICY)
    request = GetIamPolicyRequest(resource=resource, options=options)
    return client.get_iam_policy(request=request, **ONE_CALL)
