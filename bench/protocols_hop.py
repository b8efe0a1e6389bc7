"""How long a message takes through Google's client and the Pub/Sub emulator to the push that delivers it."""

from pathlib import Path

from bench.cloud import pubsub
from bench.effort import Effort
from bench.load import Drive
from bench.queue_hop import hop_rows, receiving
from bench.rows import Row
from shared.pubsub import connect
from shared.pubsub_topology import Pusher, opened
from shared.topology import topology

_TARGET_MS = 200.0


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Publish through our topics and subscriptions, and bare in turns."""
    del drive  # the publishers live beside the receiver, whose arrivals they wait for
    with pubsub(data) as project, receiving() as receiver:
        url = receiver.endpoint.removesuffix("/push")
        with opened(project) as maker:
            maker.make(topology(), Pusher(urls={"api": url, "worker": url}))
        return hop_rows(
            "publish to delivery, emulator", connect(project), receiver, effort, at_most_ms=_TARGET_MS
        )
