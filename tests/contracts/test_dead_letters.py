"""Over every queue: refused to the limit, a job settles as dead-lettered, and a replay makes it succeed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import messages
from shared.messages import Envelope
from tests.api_world import ApiWorld
from tests.contracts.emulated_queue import emulated
from tests.contracts.queues import QueueUnderTest, memory, name_of, sqlite, subscription
from tests.dead import a_plan, drive, driver
from tests.world import JOB

ADAPTERS = {"memory": memory, "sqlite": sqlite, "emulator": emulated}


@pytest.fixture(params=["memory", "sqlite", pytest.param("emulator", marks=pytest.mark.emulator)])
def under_test(request) -> Iterator[QueueUnderTest]:
    with ADAPTERS[request.param](request) as adapter:
        yield adapter


def test_a_job_refused_to_the_limit_is_told_to_its_client_and_can_be_replayed(
    under_test: QueueUnderTest, tmp_path: Path
) -> None:
    world = ApiWorld(tmp_path)
    world.accept()
    world.claim(1, reason="shutdown")  # tried, in a way that does not count

    def behind(envelope: Envelope) -> int | None:
        if name_of(envelope) != "dead-letters":
            return None
        body = json.dumps(messages.wrap(envelope, published_at="now"))
        return world.client.post("/internal/dead-letters", data=body).status_code

    under_test.receiver.behind = behind
    under_test.subscribe(subscription(dead_letter_topic="dead"), subscription("dead-letters", "dead"))
    data = messages.encode(messages.JobMessage(job_id=JOB))
    under_test.receiver.script[data] = [503] * 5
    under_test.queue.publish("jobs", data)
    under_test.run_until(lambda: under_test.backlog() == 0)
    assert len(under_test.receiver.of("jobs")) == 5
    assert under_test.receiver.answers[-1][1] == 204
    told = world.client.get(f"/v1/jobs/{JOB}").json
    assert (told["status"], told["epoch"], told["error"]["slug"]) == ("failed", 0, "dead-lettered")
    (letter,) = world.client.get("/v1/dead-letters").json["dead_letters"]
    assert (letter["id"], letter["settled_by"]) == (JOB, "dead-letter")
    world.queue.published.clear()
    assert drive(world, driver(world).begin(a_plan(world, [JOB]))).status == "done"
    told = world.client.get(f"/v1/jobs/{JOB}").json
    assert (told["id"], told["status"], told["epoch"]) == (JOB, "succeeded", 1)
    world.assert_succeeded(JOB, epoch=1)
