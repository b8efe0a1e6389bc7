"""The whole system over the real protocols: Google's clients, its Pub/Sub emulator, our Cloud Storage."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from shared import pubsub_topology
from shared.messages import DEAD_JOBS, JOBS, Envelope, wrap
from shared.places import Project
from shared.pubsub import open_channel, topic_path
from shared.topology import topology
from tests import loopback
from tests.contracts.queues import Receiver, listening, name_of
from tests.emulator import running
from tests.system import ROOT, System
from tests.test_system import (
    LARGE,
    SMALL,
    assert_delivered,
    inner_pid,
    job,
    pause,
    settled,
    submit,
    sweeps,
    wait_until,
)
from tests.test_up import wait_for

pytestmark = [pytest.mark.system, pytest.mark.emulator]

#: Dead after 10 s without a beat; the emulator tries again every 3 s, and later every 31.
DONE_AGAIN_WITHIN_S = 60


@contextmanager
def cloud_storage() -> Iterator[str]:
    """A Cloud Storage in a process of its own; give its URL."""
    command = [sys.executable, "-m", "tests.gcs_fake", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def system(tmp_path_factory) -> Iterator[System]:
    data = tmp_path_factory.mktemp("data")
    with cloud_storage() as url:
        options = ("--queue", "emulator", "--store", "gs://shop-pictures")
        with System(data, *options, environ={"STORAGE_EMULATOR_HOST": url}) as system:
            system.storage = url
            yield system


def test_a_photo_becomes_print_files_and_nothing_is_kept_on_the_disk(system: System) -> None:
    done = assert_delivered(system, submit(system, SMALL, effects="color,bw")["id"])
    assert list(done["results"]) == ["color", "enhancedblackwhite"]
    assert done["attempt"] == 1
    assert not (system.data / "queue.db").exists()
    assert [path for path in (system.data / "objects").rglob("*") if path.is_file()] == []
    assert sum(loopback.get(f"{system.storage}/fake").json()["calls"].values()) > 10


@pytest.mark.parametrize("name", ["api", "worker"])
def test_clients_are_made_after_the_fork(system: System, name: str) -> None:
    """gRPC's threads do not survive one."""
    master = psutil.Process(system.pids[name])
    loaded = [any("cygrpc" in m.path for m in p.memory_maps()) for p in (master, master.children()[0])]
    assert loaded == [False, True]


def test_a_killed_worker_costs_time_and_nothing_else(system: System) -> None:
    """Fault W4, over both protocols."""
    accepted = submit(system, LARGE)
    wait_until(system, accepted["id"], "processing", within_s=30)
    os.kill(inner_pid(system.pids["worker"]), signal.SIGKILL)
    assert assert_delivered(system, accepted["id"], DONE_AGAIN_WITHIN_S)["attempt"] == 2


def test_an_emulator_that_is_restarted_in_the_middle_loses_no_job(system: System) -> None:
    """Fault P2: it forgets messages, topics and subscriptions."""
    working = submit(system, LARGE)["id"]
    wait_until(system, working, "processing", within_s=30)
    waiting = submit(system, SMALL)["id"]
    before = system.pids["emulator"]
    os.kill(before, signal.SIGKILL)
    began = time.monotonic()
    unpublished = submit(system, SMALL)["id"]
    assert time.monotonic() - began < 4, "the queue has two seconds, whether it is there or not"
    for job_id in (working, waiting, unpublished):
        assert_delivered(system, job_id, DONE_AGAIN_WITHIN_S)
    assert system.pids["emulator"] != before
    assert "had forgotten its topics; they are there again" in system.stderr


def test_a_pause_detaches_the_push_and_an_emulator_that_is_restarted_does_not_undo_it(
    system: System,
) -> None:
    address = system.run["broker"]
    pause(system)
    wait_for(lambda: push_endpoint(address) == "")
    held = submit(system, SMALL)["id"]
    os.kill(system.pids["emulator"], signal.SIGKILL)
    wait_for(lambda: push_endpoint(address) == "")
    swept = sweeps(system)
    wait_for(lambda: sweeps(system) > swept + 1)
    assert job(system, held)["status"] == "queued"
    assert push_endpoint(address) == ""
    assert loopback.get(f"{system.url}/ready").json()["pause"]["reason"] == "an incident"
    assert loopback.post(f"{system.url}/v1/delivery/resume").status_code == 200
    assert_delivered(system, held, DONE_AGAIN_WITHIN_S)
    assert push_endpoint(address) == system.urls["push"]


def push_endpoint(address: str) -> str | None:
    """Where the jobs' subscription pushes; nothing while there is no subscription."""
    with open_channel(Project("cutout-local", address)) as channel:
        client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        path = client.subscription_path("cutout-local", "cutout-jobs-worker")
        try:
            return client.get_subscription(subscription=path, retry=None, timeout=2).push_config.push_endpoint
        except GoogleAPICallError:
            return None


def test_a_dead_letter_settles_a_job_that_was_tried_and_no_other_and_an_operator_replays_it(
    system: System,
) -> None:
    """Fault D10: the emulator gives up after five refusals, and our own subscription brings the news."""
    with frozen(system.pids["worker"]) as freeze, refusing(system) as refusals:
        tried = submit(system, LARGE)["id"]
        wait_until(system, tried, "processing", within_s=30)
        freeze()
        untouched = submit(system, SMALL)["id"]
        dead = settled(system, tried, DONE_AGAIN_WITHIN_S)
        assert (dead["status"], dead["error"]["slug"]) == ("failed", "dead-lettered")
        assert len(refusals.pushes) >= 10, "five of each job's message"
        said = (system.data / "logs" / "api.log").read_text()
        for job_id in (tried, untouched):
            assert f'"job_id": "{job_id}", "standing": "free"' in said
        assert job(system, untouched)["status"] == "queued"
    assert_delivered(system, untouched, DONE_AGAIN_WITHIN_S)
    assert job(system, tried) == dead, "the attempt that thawed has lost"
    replayed = system.command("dead-letters", "replay", tried, "--reason", "the worker was frozen")
    assert replayed.splitlines()[-2:] == ["1 of 1, 1 succeeded", "done"]
    done = assert_delivered(system, tried)
    assert (done["id"], done["epoch"], done["attempt"]) == (tried, 1, 1)
    story = system.command("job", tried)
    assert "settled: failed by dead-letter, attempt 1" in story
    assert "epoch 1 opened for replay" in story
    assert "settled: succeeded by worker, attempt 1" in story
    assert system.command("dead-letters", "list") == "0 open dead letters\n"


def test_refused_to_the_limit_of_our_own_subscription_a_job_is_dead_and_an_operator_replays_it(
    system: System,
) -> None:
    """Fault D10 as it is shipped: the topology's twenty attempts, and its way for dead letters."""
    with unattended(system), between(system) as refusals:
        tried = submit(system, LARGE)["id"]
        wait_until(system, tried, "processing", within_s=30)
        worker = system.pids["worker"]
        for pid in (inner_pid(worker), worker):
            os.kill(pid, signal.SIGKILL)
        dead = settled(system, tried, DONE_AGAIN_WITHIN_S)
        assert (dead["status"], dead["error"]["slug"]) == ("failed", "dead-lettered")
        assert [name_of(push) for push in refusals.pushes] == ["cutout-jobs-worker"] * 20
        assert len({push.message_id for push in refusals.pushes}) == 1
    wait_for(lambda: push_endpoint(system.run["broker"]) == system.urls["push"])
    assert tried in system.command("dead-letters", "list", "--slug", "dead-lettered")
    replayed = system.command("dead-letters", "replay", "--slug", "dead-lettered", "--reason", "worker down")
    assert replayed.splitlines()[0] == "1 to be replayed, canary 1"
    assert replayed.splitlines()[-2:] == ["1 of 1, 1 succeeded", "done"]
    done = assert_delivered(system, tried)
    assert (done["id"], done["epoch"], done["attempt"]) == (tried, 1, 1)
    story = system.command("job", tried)
    assert "settled: failed by dead-letter, attempt 1" in story
    assert "epoch 1 opened for replay" in story
    assert "settled: succeeded by worker, attempt 1" in story


def test_somebody_elses_emulator_is_looked_after_too(tmp_path) -> None:
    """A folder and an emulator: where objects are has nothing to do with where messages are."""
    emulator = running(tmp_path)
    address = emulator.__enter__()
    with System(tmp_path, "--queue", address) as system:
        assert "emulator" not in system.pids
        emulator.__exit__(None, None, None)
        absent = f"the Pub/Sub emulator at {address}: The queue does not answer. Waiting for it."
        wait_for(lambda: absent in system.stderr)
        with running(tmp_path, port=int(address.split(":")[1])):
            wait_for(lambda: "they are there again" in system.stderr)
            assert_delivered(system, submit(system, SMALL)["id"], DONE_AGAIN_WITHIN_S)


@contextmanager
def frozen(pid: int) -> Iterator[object]:
    """Lend a function that stops a service in its tracks; it goes on in the end."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children()]
    try:
        yield lambda: [process.suspend() for process in processes]
    finally:
        for process in processes:
            process.resume()


@contextmanager
def unattended(system: System) -> Iterator[None]:
    """Freeze ``up`` alone: nobody starts a service again, sweeps, or sets the topology right."""
    up = psutil.Process(system.process.pid)
    up.suspend()
    try:
        yield
    finally:
        up.resume()


@contextmanager
def between(system: System) -> Iterator[Receiver]:
    """Stand before the worker, which gets the first push, and refuse all others.

    Our own subscription, made as ever, is pushed here, only without its back-off: with it, the emulator takes
    four minutes for twenty attempts, and 55 s with the least that there is.
    """
    project = Project("cutout-local", system.run["broker"])
    receiver = Receiver()
    receiver.otherwise = 503

    def hand_over(push: Envelope) -> int | None:
        if len(receiver.pushes) > 1:
            return None
        try:
            return loopback.post(
                system.urls["push"], json=wrap(push, published_at="now"), timeout=60
            ).status_code
        except httpx.HTTPError:
            return 503

    receiver.behind = hand_over
    with (
        listening(receiver) as url,
        pubsub_topology.opened(project) as maker,
        open_channel(project) as channel,
    ):
        (done,) = maker.make(topology(), pubsub_topology.Pusher(urls=system.urls | {"worker": url}))
        assert done.startswith("updated subscription cutout-jobs-worker: push_config was ")
        client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        name = client.subscription_path(project.id, "cutout-jobs-worker")
        subscription = {"name": name, "topic": topic_path(project, JOBS)}
        mask = {"paths": ["retry_policy"]}
        client.update_subscription(request={"subscription": subscription, "update_mask": mask})
        yield receiver


@contextmanager
def refusing(system: System) -> Iterator[Receiver]:
    """Subscribe to the jobs beside our worker, refuse them all, and have them given up after five times."""
    project = Project("cutout-local", system.run["broker"])
    receiver = Receiver()
    receiver.otherwise = 503
    with listening(receiver) as url, open_channel(project) as channel:
        client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        name = client.subscription_path(project.id, "refusing")
        client.create_subscription(
            request={
                "name": name,
                "topic": topic_path(project, JOBS),
                "push_config": {"push_endpoint": url},
                "dead_letter_policy": {
                    "dead_letter_topic": topic_path(project, DEAD_JOBS),
                    "max_delivery_attempts": 5,
                },
            }
        )
        try:
            yield receiver
        finally:
            client.delete_subscription(subscription=name)
