"""Of jobs of two shops, failed on two engines, those that are meant are found and replayed, and no other.

Every record is the system's own: photos are submitted with the shops' keys, and a worker fails them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.pace import ONE_MACHINE
from tests.api_world import ApiWorld, slug
from tests.dead import fail, opened, push_all
from tests.gcs_fake import running
from tests.gcs_world import connected
from tests.scripted import runner
from tests.served import REPLAY, Served, lines
from tests.world import ScriptedModel


@pytest.fixture(params=["records are read", "labels tell"])
def world(request, tmp_path: Path) -> Iterator[ApiWorld]:
    """A world whose store tells nothing but names, or labels with them."""
    world = ApiWorld(tmp_path, pace=replace(ONE_MACHINE, beat=timedelta(milliseconds=20)))
    if request.param == "records are read":
        yield world
        return
    with running(world.clock) as fake:
        world.store = connected(fake)
        world.client = world.api()
        yield world
        world.store._calls._client.close()


@dataclass
class Failures:
    """What has failed, by a name that says of whom and on what."""

    world: ApiWorld
    ids: dict[str, str]
    noon: str
    tenants: dict[str, str]

    def named(self, ids: list[str]) -> set[str]:
        """The names of some of them; each id once."""
        assert len(ids) == len(set(ids))
        return {name for name, job_id in self.ids.items() if job_id in ids}

    def filters(self, wanted: dict[str, str]) -> dict[str, str]:
        """Fill in what is known only by now: whose the jobs are, and when it was noon."""
        known = {**self.tenants, "noon": self.noon}
        return {name: known.get(value, value) for name, value in wanted.items()}


@pytest.fixture
def failures(world: ApiWorld) -> Failures:
    ids = {
        "a disc": worked_on(world, "disc", MemoryError(), shop="a"),
        "b disc": worked_on(world, "disc", MemoryError(), shop="b"),
        "a other": worked_on(world, "other", MemoryError(), shop="a"),
    }
    world.clock.turn(hours=6)
    noon = world.clock().isoformat()
    ids |= {
        "a disc late": worked_on(world, "disc", MemoryError(), shop="a"),
        "b other late": worked_on(world, "other", ValueError("a bug"), shop="b"),
        "nobody's, untried": world.submitted(),
    }
    fail(world, ids["nobody's, untried"])
    world.gate.open(ScriptedModel())
    world.queue.published.clear()
    tenants = {shop: world.ledger().accepted(ids[f"{shop} disc"]).owner for shop in "ab"}
    return Failures(world, ids, noon, tenants)


def worked_on(world: ApiWorld, engine: str, fault: Exception, shop: str) -> str:
    """Have a shop submit a photo, and an engine fail with it as often as there are attempts."""
    world.gate.open(ScriptedModel(name=engine, fail_with=fault))
    job_id = world.submitted(headers={"Authorization": f"Bearer the key of {shop}"})
    while world.job(job_id).status != "failed":
        world.deliver(job_id=job_id)
    return job_id


MEANT = [
    ({"tenant": "a"}, {"a disc", "a other", "a disc late"}),
    ({"tenant": "b"}, {"b disc", "b other late"}),
    ({"engine": "disc"}, {"a disc", "b disc", "a disc late"}),
    ({"engine": "other"}, {"a other", "b other late"}),
    ({"tenant": "a", "engine": "disc"}, {"a disc", "a disc late"}),
    ({"tenant": "a", "engine": "disc", "since": "noon"}, {"a disc late"}),
    ({"engine": "disc", "until": "noon"}, {"a disc", "b disc"}),
    ({"tenant": "b", "slug": "internal-error"}, {"b other late"}),
    ({"engine": "other", "slug": "out-of-memory"}, {"a other"}),
]
#: Filters that each mean something, and together nothing.
NOTHING = {"tenant": "b", "engine": "other", "until": "noon"}


def words(filters: dict[str, str]) -> list[str]:
    return [word for name, value in filters.items() for word in (f"--{name}", value)]


# --- finding ------------------------------------------------------------------------------------


def test_those_that_are_meant_are_listed(failures: Failures, served: Served) -> None:
    client, run = failures.world.client, runner(served)
    for wanted, names in [*MEANT, (NOTHING, set())]:
        filters = failures.filters(wanted)
        told = client.get("/v1/dead-letters", query_string=filters).json
        assert failures.named([letter["id"] for letter in told["dead_letters"]]) == names, wanted
        assert told["count"] == len(names)
        said = json.loads(run("dead-letters", "list", "--json", *words(filters)).stdout)
        assert said == told, wanted


def test_whose_job_it_was_and_on_which_engine_is_told(failures: Failures, served: Served) -> None:
    said = lines(runner(served)("dead-letters", "list"))
    (of_a,) = (line for line in said if line.startswith(failures.ids["a other"]))
    assert f"e0  other  tenant {failures.tenants['a']}  attempt 3  " in of_a
    (of_nobody,) = (line for line in said if line.startswith(failures.ids["nobody's, untried"]))
    assert "e0  no attempt  " in of_nobody
    assert len(set(failures.tenants.values())) == 2
    assert "the key of" not in "".join(said)


# --- replaying ----------------------------------------------------------------------------------


@pytest.mark.parametrize("world", ["records are read"], indirect=True)
@pytest.mark.parametrize(("wanted", "names"), MEANT, ids=lambda each: " ".join(sorted(each)))
@pytest.mark.parametrize("is_by_command", [False, True], ids=["http", "command"])
def test_those_that_are_meant_are_replayed_and_no_other(
    failures: Failures, served: Served, wanted: dict[str, str], names: set[str], is_by_command: bool
) -> None:
    world, filters = failures.world, failures.filters(wanted)
    if is_by_command:
        result = runner(served)(*REPLAY, *words(filters))
        assert (result.exit_code, lines(result)[-1]) == (0, "done"), result.output
    else:
        assert replayed(world, filters)["succeeded"] == len(names)
    assert failures.named(opened(world)) == names
    for name, job_id in failures.ids.items():
        expected = (1, "succeeded") if name in names else (0, "failed")
        assert (world.job(job_id).epoch, world.job(job_id).status) == expected
    assert world.client.get("/v1/dead-letters").json["count"] == len(failures.ids) - len(names)


def replayed(world: ApiWorld, filters: dict[str, Any]) -> dict[str, Any]:
    """Replay over HTTP to the end, counted first."""
    order = {"reason": "mended", "filters": filters, "rate_per_s": 100}
    counted = world.client.post("/v1/replays", json=order | {"dry_run": True}).json
    now = world.client.post("/v1/replays", json=order).json
    assert now["count"] == counted["count"]
    while now["status"] == "running":
        now = world.client.post(f"/v1/replays/{now['id']}/advance").json
        push_all(world)
        world.clock.turn(seconds=1)
    return now


def test_filters_that_together_mean_nothing_begin_nothing(failures: Failures, served: Served) -> None:
    filters = failures.filters(NOTHING)
    order = {"reason": "mended", "filters": filters}
    assert slug(failures.world.client.post("/v1/replays", json=order)) == (422, "nothing-selected")
    result = runner(served)(*REPLAY, *words(filters))
    assert (result.exit_code, "[nothing-selected]" in result.stderr) == (1, True)
    assert failures.world.names("repla") == []
