"""The broom deletes what is over, expired bytes and photos without a job, and never a record that is kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from shared import records, settling
from shared.broom import LEAST_RETENTION, PARTS, Broom, part_at
from shared.errors import StoreUnavailableError
from shared.memory_store import MemoryStore
from shared.sweep import Sweep
from tests.api_world import ApiWorld, slug
from tests.beside import ORDERS
from tests.world import JOB, Killed, Process, World, kill_at, once_at
from worker.handler import Outcome

RETENTION = timedelta(days=400)
PART = JOB.removeprefix("job_")[:2]


@pytest.fixture(params=ORDERS)
def world(request, tmp_path: Path) -> World:
    world = World(tmp_path, order=request.param)
    world.accept()
    return world


def sweep(world: World, process: Process | None = None) -> dict[str, int]:
    """One turn of the broom over the part that the job is in."""
    ledger = world.ledger(process)
    return Broom(ledger=ledger, retention=RETENTION, monotonic=world.clock.monotonic).sweep(PART)


def left(world: World) -> list[str]:
    """Everything but what the broom remembers for itself."""
    return [name for name in world.names() if name != LEAST_RETENTION]


def kept(world: World) -> list[str]:
    return [name for name in world.names("jobs/") if "/e1/" not in name]


# --- warm-ups -----------------------------------------------------------------------------------


def test_a_warm_up_is_forgotten_after_a_day_and_not_before(world: World) -> None:
    """Until then it is what keeps another from being published in the same five minutes."""
    world.put("warmups/1.json", window="1")
    world.clock.turn(hours=23)
    world.put("warmups/2.json", window="2")
    assert sweep(world) == {}
    world.clock.turn(hours=2)
    assert sweep(world) == {"forgotten": 1}
    assert world.names("warmups/") == ["warmups/2.json"]


# --- expiry -------------------------------------------------------------------------------------


def test_a_jobs_bytes_go_when_its_time_is_over_and_its_records_stay(world: World) -> None:
    """Field report 22: orders whose pictures were deleted after a week."""
    world.deliver()
    before = kept(world)
    world.clock.turn(days=399, hours=23)
    assert sweep(world) == {}
    world.assert_succeeded()
    world.clock.turn(hours=2)
    assert sweep(world) == {"expired": 1}
    assert world.names("inputs/") == world.names("results/") == world.names("open/") == []
    assert kept(world) == before
    opened = json.loads(world.store.read(f"jobs/{JOB}/e1/opened.json").data)
    assert (opened["kind"], opened["by"]) == ("expiry", "broom")
    job = world.job()
    assert (job.status, job.epoch, job.is_closed) == ("succeeded", 1, True)


def test_what_has_expired_is_not_looked_at_again(world: World) -> None:
    world.deliver()
    world.clock.turn(days=401)
    sweep(world)
    before, calls = world.names(), []
    assert sweep(world, Process(calls.append)) == {}
    made = [call.split(" ")[1] for call in calls if call.startswith("before")]
    lists = ["store.list"] * 3
    assert made == ["store.list", "store.list", "store.read", *lists], "no job's is read"
    assert world.names() == before


@pytest.mark.parametrize("standing", ["queued", "claimed", "settled and not announced"])
def test_what_is_not_settled_and_announced_never_expires(world: World, standing: str) -> None:
    if standing == "claimed":
        world.claim(1)
    if standing == "settled and not announced":
        world.deliver()
        world.store.delete(records.epoch_name(JOB, 0, "announced.json"))
    world.clock.turn(days=401)
    before = left(world)
    assert sweep(world) == {}
    assert left(world) == before


def test_a_job_that_was_promised_a_longer_time_keeps_it(world: World) -> None:
    world.deliver()
    world.clock.turn(days=100)
    ledger = world.ledger()
    assert Broom(ledger=ledger, retention=timedelta(days=30)).sweep(PART) == {"kept": 1}
    world.assert_succeeded()


def test_a_job_that_was_promised_a_shorter_time_expires_then_whatever_was_set_since(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path)
    app = world.client.application
    services = app.extensions["cutout"]

    def retain(days: int) -> None:
        settings = replace(services.settings, retention_days=days)
        app.extensions["cutout"] = replace(services, settings=settings)

    def broom_of(job_id: str) -> None:
        while part_at(world.clock()) != job_id.removeprefix("job_")[:2]:
            world.clock.turn(minutes=1)
        assert world.client.post("/internal/broom").status_code == 200

    world.client.post("/internal/broom")
    retain(30)
    job_id = world.done()
    world.client.post("/internal/broom")
    retain(400)
    longer = world.done()
    world.clock.turn(days=29)
    broom_of(job_id)
    assert world.names(f"results/{job_id}/") != []
    world.clock.turn(days=1)
    broom_of(job_id)
    broom_of(longer)
    assert world.names(f"results/{job_id}/") == world.names(f"inputs/{job_id}.") == []
    assert world.names(f"results/{longer}/") != []


def test_a_replay_that_is_faster_keeps_the_bytes(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.accept()
    settling.settle(
        world.ledger(), JOB, 0, settling.failed(StoreUnavailableError("x"), world.ledger(), by="t")
    )
    world.clock.turn(days=401)

    def replay(call: str) -> None:
        if call == "before store.create open/JOB.e1":
            world.ledger().open(JOB, 1, {"kind": "replay", "by": "operator"})

    assert sweep(world, Process(replay)) == {"waiting": 1}
    assert world.names("inputs/") != []
    assert world.deliver(epoch=1) is Outcome.ACK
    world.assert_succeeded(epoch=1)


def test_an_erased_job_is_left_alone(world: World) -> None:
    world.deliver()
    settling.erase(world.ledger(), JOB, kind="erasure", by="client")
    world.clock.turn(days=401)
    assert sweep(world) == {}
    assert world.job().epoch == 1


def test_what_an_attempt_stores_after_its_job_was_erased_goes_within_the_day(world: World) -> None:
    world.deliver()
    settling.erase(world.ledger(), JOB, kind="erasure", by="client")
    world.store.create(f"results/{JOB}/e0/2/matte", b"of one that was killed before it could delete it")
    assert sweep(world) == {"late": 1}
    assert world.names("results/") == []


def test_an_expiry_that_died_midway_is_finished(tmp_path: Path) -> None:
    def expired(process: Process) -> World:
        world = World(tmp_path)
        world.accept()
        world.deliver()
        world.clock.turn(days=401)
        try:
            sweep(world, process)
        except Killed:
            world.clock.turn(minutes=2)
        return world

    seen: list[str] = []
    expired(Process(seen.append))
    assert len(seen) > 20
    for moment, call in enumerate(seen):
        world = expired(Process(kill_at(moment)))
        sweep(world)
        for _ in range(12):
            world.clock.turn(minutes=6)
            world.sweep()
        assert world.names("inputs/") == world.names("results/") == world.names("open/") == [], call
        assert world.job().is_closed, call
        assert kept(world), call


def test_a_client_is_told_that_the_pictures_are_gone(tmp_path: Path) -> None:
    world = ApiWorld(tmp_path)
    job_id = world.done()
    world.clock.turn(days=401)
    while part_at(world.clock()) != job_id.removeprefix("job_")[:2]:
        world.clock.turn(minutes=1)
    assert world.client.post("/internal/broom").json == {"expired": 1}
    assert world.names("inputs/") == world.names("results/") == []
    job = world.client.get(f"/v1/jobs/{job_id}").json
    assert (job["status"], job["results"], job["epoch"]) == ("succeeded", {}, 1)
    assert slug(world.client.get(f"/v1/jobs/{job_id}/results/color")) == (410, "expired")


def test_every_part_has_its_turn_within_a_day(tmp_path: Path) -> None:
    world = World(tmp_path)
    parts = {part_at(world.clock() + timedelta(minutes=minute)) for minute in range(24 * 60)}
    assert parts == set(PARTS)
    assert parts >= {f"{a}{b}" for a in "az27" for b in "az27"}, "what ids are made of"


# --- photos without a job -----------------------------------------------------------------------


def interrupted(tmp_path: Path, spy: Callable[[str], None]) -> World:
    world = World(tmp_path)
    with pytest.raises(Killed):
        world.accept(Process(spy))
    return world


def test_a_photo_whose_job_was_never_promised_goes_after_its_hour(tmp_path: Path) -> None:
    """Fault A1 and A2, whether or not there is a marker that the sweep would find."""
    seen: list[str] = []
    World(tmp_path).accept(Process(seen.append))
    for moment in range(len(seen)):
        world = interrupted(tmp_path, kill_at(moment))
        is_promised = records.accepted_name(JOB) in world.names()
        before = world.names("inputs/")
        world.clock.turn(minutes=59)
        assert sweep(world) == {}
        assert world.names("inputs/") == before
        world.clock.turn(minutes=2)
        sweep(world)
        assert world.names("inputs/") == (before if is_promised else []), seen[moment]


def test_the_sweep_takes_the_photo_with_the_marker(tmp_path: Path) -> None:
    world = interrupted(tmp_path, _kill_before("store.create jobs/JOB/accepted.json"))
    assert world.names("inputs/") != []
    for _ in range(12):
        world.clock.turn(minutes=6)
        world.sweep()
    assert world.names() == []


def test_a_photo_of_an_earlier_try_goes_and_the_promised_one_stays(tmp_path: Path) -> None:
    world = interrupted(tmp_path, _kill_before("store.create jobs/JOB/accepted.json"))
    (orphan,) = world.names("inputs/")
    world.clock.turn(minutes=30)
    world.accept()
    assert len(world.names("inputs/")) == 2
    world.clock.turn(minutes=61)
    assert sweep(world) == {"orphans": 1}
    assert world.names("inputs/") == [world.job().accepted.photo.name] != [orphan]
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()
    assert sweep(world) == {}


def test_a_photo_that_comes_with_a_retry_after_its_job_was_erased_goes_after_its_hour(world: World) -> None:
    world.deliver()
    settling.erase(world.ledger(), JOB, kind="erasure", by="client")
    world.store.create(f"inputs/{JOB}.retry", world.photo)
    world.clock.turn(minutes=59)
    assert sweep(world) == {}
    world.clock.turn(minutes=2)
    assert sweep(world) == {"orphans": 1}
    assert world.names("inputs/") == []


def test_a_client_that_comes_back_as_the_marker_goes_keeps_its_photo(tmp_path: Path) -> None:
    world = interrupted(tmp_path, _kill_before("store.create jobs/JOB/accepted.json"))
    world.clock.turn(minutes=65)

    def come_back(call: str) -> None:
        if call.startswith("after store.delete open/"):
            world.accept()

    (marker,) = world.store.list("open/").objects
    Sweep(ledger=world.ledger(Process(come_back)), monotonic=world.clock.monotonic).visit(marker)
    assert len(world.names("inputs/")) == 1
    assert world.deliver() is Outcome.ACK
    world.assert_succeeded()


def _kill_before(what: str) -> Callable[[str], None]:
    def spy(call: str) -> None:
        if call == f"before {what}":
            raise Killed(call)

    return spy


# --- uploads ------------------------------------------------------------------------------------


class Uploader:
    """A client of an API that uploads first."""

    def __init__(self, tmp: Path) -> None:
        self.world = ApiWorld(tmp)
        self.client = self.world.client

    def begin(self) -> str:
        asked = {"content_type": "image/jpeg", "bytes": 100}
        return self.client.post("/v1/uploads", json=asked).json["upload_id"]

    def uploaded(self) -> str:
        upload_id = self.begin()
        assert self.client.put(f"/v1/uploads/{upload_id}", data=self.world.photo).status_code == 204
        return upload_id

    def submit(self, upload_id: str, client: object = None) -> object:
        return (client or self.client).post("/v1/jobs", json={"upload_id": upload_id})

    def turn(self, **span: float) -> dict[str, int]:
        self.world.clock.turn(**span)
        return sweep(self.world)


@pytest.fixture
def shop(tmp_path: Path) -> Uploader:
    return Uploader(tmp_path)


def test_an_upload_that_became_no_job_is_forgotten_after_its_hour(shop: Uploader) -> None:
    upload_id, empty = shop.uploaded(), shop.begin()
    assert shop.turn(minutes=59) == {}
    assert shop.turn(minutes=7) == {"swept": 2}
    assert shop.world.names("inputs/") == []
    assert slug(shop.submit(upload_id)) == (410, "upload-expired")
    assert shop.turn(minutes=66) == {"swept": 2}
    assert left(shop.world) == []
    assert slug(shop.submit(upload_id)) == slug(shop.submit(empty)) == (404, "upload-not-found")


def test_a_photo_that_comes_after_the_hour_is_swept_too(shop: Uploader) -> None:
    """A signed URL is good for an upload that begins in time, however long it takes."""
    upload_id = shop.begin()
    shop.turn(minutes=66)
    shop.world.store.create(f"inputs/{upload_id}", b"late")
    shop.turn(minutes=66)
    assert left(shop.world) == []


def test_an_upload_that_became_a_job_keeps_its_photo(shop: Uploader) -> None:
    upload_id = shop.uploaded()
    shop.world.clock.turn(minutes=50)
    job_id = shop.submit(upload_id).json["id"]
    assert shop.turn(minutes=16) == {}
    assert shop.turn(minutes=50) == {"promised": 1}
    assert shop.world.names("uploads/") == []
    assert shop.world.deliver(job_id=job_id) is Outcome.ACK
    shop.world.assert_succeeded(job_id)
    assert slug(shop.submit(upload_id)) == (404, "upload-not-found")


def test_an_upload_that_was_sent_again_after_its_job_was_erased_goes_too(shop: Uploader) -> None:
    """A signed URL is good for its hour, whatever becomes of the job."""
    upload_id = shop.uploaded()
    job_id = shop.submit(upload_id).json["id"]
    shop.world.deliver(job_id=job_id)
    assert shop.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    shop.world.store.create(f"inputs/{upload_id}", shop.world.photo)
    assert shop.turn(minutes=66) == {"promised": 1}
    assert shop.world.names("inputs/") == shop.world.names("uploads/") == []


def test_an_upload_whose_job_was_never_promised_is_swept(shop: Uploader) -> None:
    upload_id = shop.uploaded()
    kill = kill_at(len(calls_until_the_promise(shop)))
    with pytest.raises(Killed):
        shop.submit(upload_id, shop.world.api(Process(kill)))
    assert shop.turn(minutes=66) == {"swept": 1}
    assert shop.world.names("inputs/") == shop.world.names("jobs/") == []
    assert slug(shop.submit(upload_id)) == (410, "upload-expired")


def calls_until_the_promise(shop: Uploader) -> list[str]:
    seen: list[str] = []
    other = Uploader(shop.world.tmp)
    other.submit(other.uploaded(), other.world.api(Process(seen.append)))
    return seen[: next(i for i, call in enumerate(seen) if "before store.create jobs/" in call)]


def test_a_job_and_the_broom_that_want_an_upload_at_once_never_both_get_it(tmp_path: Path) -> None:
    """Whoever changes the record first has it: a job keeps its photo, or is refused."""
    seen: list[str] = []
    shop = Uploader(tmp_path)
    shop.uploaded()
    shop.world.clock.turn(minutes=66)
    sweep(shop.world, Process(seen.append))
    for moment in range(len(seen)):
        shop, answers = Uploader(tmp_path), []
        upload_id = shop.uploaded()
        # The API's clock is an hour behind the store's: it takes the upload for young.
        shop.world.store = AnHourAhead(shop.world.store)
        shop.client = shop.world.api()
        submit = partial(shop.submit, upload_id)
        sweep(shop.world, Process(once_at(moment, lambda s=submit, a=answers: a.append(s()))))
        (answer,) = answers
        if answer.status_code == 202:
            assert shop.world.deliver(job_id=answer.json["id"]) is Outcome.ACK
            shop.world.assert_succeeded(answer.json["id"])
        else:
            assert slug(answer) == (410, "upload-expired"), seen[moment]
            assert shop.world.names("jobs/") == []


class AnHourAhead:
    """A store whose listings are from an hour and more later than its hosts' clocks."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def list(self, prefix: str) -> object:
        listing = self._store.list(prefix)
        later = listing.now + timedelta(minutes=66)
        stats = tuple(replace(stat, now=later) for stat in listing.objects)
        return replace(listing, objects=stats, now=later)


# --- what goes wrong ----------------------------------------------------------------------------


def test_one_unreadable_job_does_not_keep_the_broom_from_others(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.accept()
    world.deliver()
    world.store.create("jobs/job_01broken/accepted.json", b"not json")
    for record in ("terminal", "announced"):
        world.store.create(f"jobs/job_01broken/e0/{record}.json", b"not json")
    world.store.create("uploads/not-an-upload", b"{}")
    world.store.create(LEAST_RETENTION, b"not json")
    world.clock.turn(days=401)
    assert sweep(world) == {"expired": 1, "crashed": 1, "unknown": 1}


def test_a_store_that_is_away_leaves_it_to_the_next_turn(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.accept()
    world.deliver()
    world.clock.turn(days=401)

    def away(call: str) -> None:
        if call.startswith("before store.delete results/"):
            raise StoreUnavailableError("away")

    assert sweep(world, Process(away)) == {"deferred": 1}
    assert sweep(world) == {"expired": 1}
    assert world.names("results/") == []


def test_a_turn_stops_at_its_budget(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.accept()
    world.deliver()
    world.clock.turn(days=401)
    ticks = iter([0.0, 51.0])
    assert Broom(ledger=world.ledger(), retention=RETENTION, monotonic=lambda: next(ticks)).sweep(PART) == {
        "left": 1
    }
