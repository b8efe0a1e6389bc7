"""A replay between real processes: whoever drives it may be killed, and it goes on at its rate."""

import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from shared import replays
from shared.folder_store import FolderStore
from tests import loopback
from tests.dead import die
from tests.system import ROOT, System
from tests.test_system import assert_delivered, inner_pid
from tests.test_up import wait_for
from tests.world import TurnedClock, World

pytestmark = pytest.mark.system


def test_a_replay_whose_command_and_whose_service_are_killed_goes_on_by_itself(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        world = World(tmp_path, clock=TurnedClock(datetime.now(UTC)))
        world.store = FolderStore(system.data / "objects")
        names = die(world, *range(3))
        terms = ("--reason", "a bad night", "--rate", "1/s", "--canary", "1")
        words = [ROOT / "cutout", "dead-letters", "replay", *names, *terms, "--url", system.url]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as command:
            count, *said = [command.stdout.readline() for _ in range(3)]
            command.kill()
        os.kill(inner_pid(system.pids["api"]), signal.SIGKILL)
        assert count == "3 to be replayed, canary 1\n"
        assert said[0].startswith("3 selected for replay_")
        assert said[1].startswith("1 of 3, ")
        replay_url = f"{system.url}/v1/replays/{said[0].split()[3].rstrip(':')}"
        wait_for(lambda: _status(replay_url) == "done", within_s=40)
        for name in names:
            assert assert_delivered(system, name)["epoch"] == 1
        replay_id = replay_url.rsplit("/", 1)[1]
        steps = [world.store.stat(replays.step_name(replay_id, number)).updated for number in range(4)]
        assert min(later - sooner for sooner, later in pairwise(steps)) >= timedelta(seconds=1)


def _status(url: str) -> str | None:
    try:
        return loopback.get(url, timeout=5).json()["status"]
    except httpx.HTTPError:
        return None  # a connection that the dead process had taken
