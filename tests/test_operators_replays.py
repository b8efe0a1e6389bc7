"""Operators clear dead letters over HTTP: count, replay, resolve, cancel; a bad order changes nothing."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from shared.errors import ImageCorruptError, PoisonError
from tests.api_world import ApiWorld, slug
from tests.dead import die, fail, job_name, opened, push_all
from tests.world import JOB, Process


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


def replay(world: ApiWorld, key: str | None = None, **order: Any) -> TestResponse:
    headers = {"Idempotency-Key": key} if key else {}
    order = {"reason": "the worker was down", "filters": {"slug": "dead-lettered"}} | order
    order = {name: value for name, value in order.items() if value is not None}
    return world.client.post("/v1/replays", json=order, headers=headers)


def everything(world: ApiWorld) -> dict[str, int]:
    return {stat.name: stat.generation for stat in world.store.list("").objects}


def drive(world: ApiWorld, replay_id: str) -> dict[str, Any]:
    for _ in range(100):
        answer = world.client.post(f"/v1/replays/{replay_id}/advance").json
        if answer["status"] != "running":
            return answer
        push_all(world)
        world.clock.turn(seconds=max(0.05, answer["wait_s"]))
    raise AssertionError(answer)


# --- dead letters -------------------------------------------------------------------------------


def test_dead_letters_are_listed_newest_first_with_what_is_known_of_them(world: ApiWorld) -> None:
    for number in range(5):
        die(
            world,
            number,
            error=PoisonError if number == 3 else ImageCorruptError if number == 4 else PoisonError,
        )
        world.clock.turn(hours=1)
    answer = world.client.get("/v1/dead-letters?limit=2").json
    assert (answer["count"], answer["truncated"]) == (4, True)
    assert [letter["id"] for letter in answer["dead_letters"]] == [job_name(3), job_name(2)]
    first = answer["dead_letters"][0]
    assert (first["epoch"], first["state"], first["slug"], first["settled_by"]) == (
        0,
        "open",
        "poison",
        "test",
    )
    since = (world.clock() - timedelta(hours=3)).isoformat()
    assert world.client.get("/v1/dead-letters", query_string={"since": since}).json["count"] == 2
    assert world.client.get("/v1/dead-letters?until=2026-01-01T01:00:00Z").json["count"] == 1
    assert world.client.get("/v1/dead-letters?since=2026-01-02").json == {
        "count": 0,
        "truncated": False,
        "dead_letters": [],
    }


@pytest.mark.parametrize(
    ("times", "is_meant"),
    [
        ({"since": "0001-01-01"}, True),
        ({"since": "0001-01-01T00:00+05:00"}, True),
        ({"since": "9999-12-31"}, False),
        ({"since": "9999-12-31T23:59:59-05:00"}, False),
        ({"until": "0001-01-01T00:00+05:00"}, False),
        ({"until": "9999-12-31T23:59:59-05:00"}, True),
        ({"since": "0001-01-01", "until": "0001-01-02"}, False),
        ({"since": "2026-01-01", "until": "9999-12-31"}, True),
        ({"since": "9999-12-30", "until": "9999-12-31T23:59:59-23:59"}, False),
        ({"since": "0001-01-01T00:00+23:59", "until": "9999-12-31T23:59-23:59"}, True),
    ],
)
def test_a_time_at_either_end_of_the_calendar_is_a_time(
    world: ApiWorld, times: dict[str, str], is_meant: bool
) -> None:
    die(world, 1)
    assert world.client.get("/v1/dead-letters", query_string=times).json["count"] == int(is_meant)
    answer = replay(world, filters=times)
    if is_meant:
        assert (answer.status_code, answer.json["count"]) == (201, 1)
        assert answer.json["filters"].keys() == times.keys()
    else:
        assert slug(answer) == (422, "nothing-selected")


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "until=",
        "since=2026-01-02&until=2026-01-01",
        "since=2026-01-02&until=2026-01-02",
        "slug=",
        f"tenant={'x' * 201}",
        "limit=0",
        "limit=1001",
        "limit=ten",
        "colour=red",
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_by_field(world: ApiWorld, query: str) -> None:
    answer = world.client.get(f"/v1/dead-letters?{query}")
    assert slug(answer)[0] == 422
    assert answer.json["errors"][0]["field"] in query


def test_a_dead_letter_is_shown_without_its_photo_being_opened(world: ApiWorld) -> None:
    (name,) = die(world, 1)
    opened_names = []
    photo = world.ledger().accepted(name).photo.name
    spied = world.api(Process(opened_names.append))
    answer = spied.get(f"/v1/dead-letters/{name}").json
    assert (answer["id"], answer["status"], answer["epoch"]) == (name, "failed", 0)
    assert answer["photo"]["bytes"] == len(world.photo)
    assert [letter["slug"] for letter in answer["dead_letters"]] == ["dead-lettered"]
    assert not [call for call in opened_names if photo in call]


def test_the_photo_is_opened_only_when_it_is_asked_for_and_that_is_logged(world: ApiWorld, caplog) -> None:
    (name,) = die(world, 1)
    answer = world.client.get(f"/v1/dead-letters/{name}/photo")
    assert answer.data == world.photo
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert [r.job_id for r in caplog.records if r.getMessage() == "dead_letter.photo_opened"] == [name]
    caplog.clear()
    done = world.done()
    assert slug(world.client.get(f"/v1/dead-letters/{done}/photo")) == (404, "dead-letter-not-found")
    world.clock.turn(days=401)
    assert slug(world.client.get(f"/v1/dead-letters/{name}/photo")) == (410, "expired")
    assert [r for r in caplog.records if r.getMessage() == "dead_letter.photo_opened"] == []


def test_what_is_resolved_is_listed_no_more_and_says_who_and_why(world: ApiWorld) -> None:
    first, second = die(world, 1, 2)
    order = {"jobs": [first, first], "reason": "refunded", "by": "ada"}
    assert world.client.post("/v1/dead-letters/resolve", json=order).json == {
        "resolved": [first],
        "already": [],
    }
    assert world.client.post("/v1/dead-letters/resolve", json=order).json == {
        "resolved": [],
        "already": [first],
    }
    listed = world.client.get("/v1/dead-letters").json["dead_letters"]
    assert [letter["id"] for letter in listed] == [second]
    records = {r["name"]: r["record"] for r in world.client.get(f"/v1/jobs/{first}/records").json["records"]}
    record = records[f"dead/2026-01-01/{first}.e0.resolved.json"]
    assert (record["by"], record["reason"]) == ("ada", "refunded")


@pytest.mark.parametrize("stranger", ["job_nobody", "SUCCEEDED", "OPEN"])
def test_all_are_resolved_or_none(world: ApiWorld, stranger: str) -> None:
    (name,) = die(world, 1)
    stranger = {"SUCCEEDED": world.done, "OPEN": world.submitted}.get(stranger, lambda: stranger)()
    before = everything(world)
    order = {"jobs": [name, stranger], "reason": "refunded"}
    assert slug(world.client.post("/v1/dead-letters/resolve", json=order))[0] == 404
    assert everything(world) == before


# --- replays ------------------------------------------------------------------------------------


def test_a_filter_is_counted_then_frozen_then_replayed(world: ApiWorld) -> None:
    names = die(world, *range(7))
    world.queue.published.clear()
    before = everything(world)
    dry = replay(world, dry_run=True)
    told = {"count": 7, "canary": 5, "jobs": names, "filters": {"slug": "dead-lettered"}}
    assert (dry.status_code, dry.json) == (200, told)
    assert everything(world) == before
    answer = replay(world)
    assert answer.status_code == 201
    plan = answer.json
    assert (plan["count"], plan["canary"], plan["opened"], plan["status"]) == (7, 5, 0, "running")
    assert plan["filters"] == {"slug": "dead-lettered"}
    assert (plan["by"], plan["reason"]) == ("operator", "the worker was down")
    assert answer.headers["Location"].endswith(f"/v1/replays/{plan['id']}")
    late = die(world, 8)
    world.queue.published.clear()
    done = drive(world, plan["id"])
    assert (done["status"], done["succeeded"]) == ("done", 7)
    assert opened(world) == names, "and not what failed after the selection was frozen"
    assert [letter["id"] for letter in world.client.get("/v1/dead-letters").json["dead_letters"]] == late
    assert world.client.get(f"/v1/replays/{plan['id']}").json == done


def test_a_client_that_polls_is_told_of_the_failure_and_then_of_the_replay(world: ApiWorld) -> None:
    (name,) = die(world, 1)
    world.queue.published.clear()
    url = f"/v1/jobs/{name}"
    failed = world.client.get(url)
    assert (failed.json["status"], failed.json["error"]["slug"]) == ("failed", "dead-lettered")
    plan = replay(world).json
    unchanged = {"If-None-Match": failed.headers["ETag"]}
    assert world.client.get(url, headers=unchanged).status_code == 304, "a plan alone is no news"
    world.client.post(f"/v1/replays/{plan['id']}/advance")
    news = world.client.get(url, headers=unchanged).json
    assert (news["status"], news["epoch"], news["error"], news["finished_at"]) == ("queued", 1, None, None)
    drive(world, plan["id"])
    done = world.client.get(url).json
    assert (done["id"], done["status"], done["epoch"]) == (name, "succeeded", 1)
    picture = world.client.get(f"{url}/results/color")
    assert len(picture.data) == done["results"]["color"]["bytes"]
    assert world.client.delete(url).status_code == 204
    assert world.names("results/") == world.names("inputs/") == []


def test_a_client_that_withdraws_a_replayed_job_has_its_answer(world: ApiWorld) -> None:
    (name,) = die(world, 1)
    world.queue.published.clear()
    plan = replay(world).json
    world.client.post(f"/v1/replays/{plan['id']}/advance")
    assert world.client.post(f"/v1/jobs/{name}/cancel").json["status"] == "cancelled"
    done = drive(world, plan["id"])
    assert (done["status"], done["other"], done["failed"]) == ("done", 1, 0)


def test_what_failed_first_is_replayed_first(world: ApiWorld) -> None:
    for number in (3, 1, 2):
        die(world, number)
        world.clock.turn(hours=30)
    assert replay(world, dry_run=True).json["jobs"] == [job_name(3), job_name(1), job_name(2)]


def test_jobs_can_be_named_whatever_they_failed_of(world: ApiWorld) -> None:
    """A decoder that was mended may open a photo that it could not."""
    first, second = die(world, 1, 2)
    fail_of_photo = job_name(3)
    world.accept(job_id=fail_of_photo)
    fail(world, fail_of_photo, error=ImageCorruptError)
    plan = replay(world, filters=None, jobs=[second, fail_of_photo, second]).json
    assert (plan["count"], plan["filters"]) == (2, {"jobs": [second, fail_of_photo]})
    world.queue.published.clear()
    assert drive(world, plan["id"])["succeeded"] == 2
    assert not [name for name in world.names("dead/") if fail_of_photo in name], "and it is no dead letter"
    assert world.client.get(f"/v1/jobs/{first}").json["epoch"] == 0


def test_a_retry_with_its_key_finds_the_same_replay_even_once_it_is_done(world: ApiWorld) -> None:
    names = die(world, 1, 2)
    first = replay(world, key="k")
    world.queue.published.clear()
    drive(world, first.json["id"])
    again = replay(world, key="k")
    assert (again.status_code, again.json["id"]) == (201, first.json["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json["status"] == "done"
    assert slug(replay(world, key="k", reason="another")) == (422, "idempotency-key-reused")
    assert opened(world) == names


@pytest.mark.parametrize(("reason", "status"), [("the worker was down", 201), ("another", 422)])
def test_of_two_orders_under_one_key_at_the_same_moment_one_is_planned(
    world: ApiWorld, reason: str, status: int
) -> None:
    die(world, 1, 2)
    faster: list[TestResponse] = []

    def order_too(call: str) -> None:
        if call.startswith("before store.create replaying/") and not faster:
            faster.append(replay(world, key="k"))

    order = {"reason": reason, "filters": {"slug": "dead-lettered"}}
    slower = world.api(Process(order_too)).post("/v1/replays", json=order, headers={"Idempotency-Key": "k"})
    assert (faster[0].status_code, slower.status_code) == (201, status)
    assert world.client.get("/v1/replays").json["count"] == 1


def test_a_damaged_replay_hides_no_other_from_the_list(world: ApiWorld) -> None:
    die(world, 1)
    whole = replay(world).json["id"]
    world.store.create("replays/replay_00000bad/plan.json", b"not json")
    listed = world.client.get("/v1/replays").json
    assert (listed["count"], [each["id"] for each in listed["replays"]]) == (2, [whole])


def test_asked_twice_without_a_key_no_job_is_opened_twice(world: ApiWorld) -> None:
    names = die(world, 1, 2, 3)
    first, second = replay(world).json, replay(world).json
    assert first["id"] != second["id"]
    world.queue.published.clear()
    assert drive(world, first["id"])["succeeded"] == 3
    assert drive(world, second["id"])["skipped"] == {"replayed already": 3}
    assert [world.job(name).epoch for name in names] == [1, 1, 1]
    assert slug(replay(world)) == (422, "nothing-selected")


def test_replays_are_listed_newest_first_and_can_be_cancelled(world: ApiWorld) -> None:
    die(world, *range(9))
    first = replay(world, rate_per_s=1).json
    world.clock.turn(minutes=1)
    second = replay(world).json
    world.client.post(f"/v1/replays/{first['id']}/advance")
    listed = world.client.get("/v1/replays?limit=1").json
    assert (listed["count"], listed["truncated"]) == (2, True)
    assert [each["id"] for each in listed["replays"]] == [second["id"]]
    order = {"reason": "wrong day", "by": "bob"}
    answer = world.client.post(f"/v1/replays/{first['id']}/cancel", json=order)
    assert answer.json["status"] == "cancelled"
    assert {k: answer.json["ended"][k] for k in ("by", "reason")} == {"by": "bob", "reason": "wrong day"}
    assert world.client.post(f"/v1/replays/{first['id']}/advance").json["opened"] == 1
    drive(world, second["id"])
    assert slug(world.client.post(f"/v1/replays/{second['id']}/cancel", json=order)) == (409, "replay-ended")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reason": None}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "two\nlines"}, "reason"),
        ({"rate_per_s": 0}, "rate_per_s"),
        ({"rate_per_s": -1}, "rate_per_s"),
        ({"rate_per_s": 1e-20}, "rate_per_s"),
        ({"rate_per_s": 101}, "rate_per_s"),
        ({"rate_per_s": True}, "rate_per_s"),
        ({"rate_per_s": "5/s"}, "rate_per_s"),
        ({"canary": 3}, "canary"),
        ({"canary": -1}, "canary"),
        ({"canary": 1.5}, "canary"),
        ({"stop_above": 20}, "stop_above"),
        ({"stop_above": -0.1}, "stop_above"),
        ({"filters": {}}, "jobs"),
        ({"filters": None}, "jobs"),
        ({"filters": {"slug": 1}}, "slug"),
        ({"filters": {"color": "red"}}, "color"),
        ({"filters": {"since": "2026-01-02", "until": "2026-01-01"}}, "until"),
        ({"filters": "all"}, "filters"),
        ({"jobs": [job_name(1)]}, "jobs"),
        ({"filters": None, "jobs": []}, "jobs"),
        ({"filters": None, "jobs": ["../secret"]}, "jobs"),
        ({"filters": None, "jobs": [job_name(n) for n in range(101)]}, "jobs"),
        ({"filters": None, "jobs": [7]}, "jobs"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"by": ""}, "by"),
        ({"speed": 5}, "speed"),
    ],
    ids=str,
)
def test_a_bad_order_names_its_field_and_changes_nothing(
    world: ApiWorld, changes: dict[str, Any], field: str
) -> None:
    die(world, 1, 2)
    before = everything(world)
    answer = replay(world, **changes)
    assert slug(answer) in {(422, "invalid-value"), (422, "unknown-field")}
    assert [fault["field"] for fault in answer.json["errors"]] == [field]
    assert everything(world) == before
    assert replay(world, dry_run=True).json["count"] == 2


def test_every_fault_of_an_order_is_reported_at_once(world: ApiWorld) -> None:
    answer = replay(world, reason=None, rate_per_s=0, canary=-1)
    assert [fault["field"] for fault in answer.json["errors"]] == ["rate_per_s", "canary", "reason"]


def test_a_key_of_300_characters_is_refused(world: ApiWorld) -> None:
    die(world, 1)
    before = everything(world)
    assert slug(replay(world, key="k" * 300)) == (422, "invalid-value")
    assert everything(world) == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b'{"reason": "' + b"x" * 131_072 + b'"}'])
def test_a_body_that_is_no_json_object_is_refused(world: ApiWorld, body: bytes) -> None:
    assert slug(world.client.post("/v1/replays", data=body)) == (400, "malformed-request")


def test_only_what_has_failed_is_replayed_and_a_mixture_changes_nothing(world: ApiWorld) -> None:
    (name,) = die(world, 1)
    succeeded, still_open, erased = world.done(), world.submitted(), world.done()
    world.client.delete(f"/v1/jobs/{erased}")
    before = everything(world)
    for stranger, expected in (
        ("job_nobody", (404, "job-not-found")),
        (succeeded, (409, "not-replayable")),
        (still_open, (409, "not-replayable")),
        (erased, (409, "not-replayable")),
    ):
        answer = replay(world, filters=None, jobs=[name, stranger])
        assert slug(answer) == expected
        assert stranger in answer.json["detail"]
    assert everything(world) == before


@pytest.mark.parametrize("replay_id", ["replay_20260101000000none", "replay_..", JOB, "x" * 200])
def test_a_replay_that_is_not_there_is_a_problem(world: ApiWorld, replay_id: str) -> None:
    path = f"/v1/replays/{replay_id}"
    assert slug(world.client.get(path)) == (404, "replay-not-found")
    assert slug(world.client.post(f"{path}/advance")) == (404, "replay-not-found")
    order = {"reason": "x"}
    assert slug(world.client.post(f"{path}/cancel", json=order)) == (404, "replay-not-found")
    assert everything(world) == {}


def test_all_of_it_is_for_operators_alone(world: ApiWorld) -> None:
    (name,) = die(world, 1)
    elsewhere = {"REMOTE_ADDR": "203.0.113.9"}
    for method, path in (
        ("GET", "/v1/dead-letters"),
        ("GET", f"/v1/dead-letters/{name}"),
        ("GET", f"/v1/dead-letters/{name}/photo"),
        ("POST", "/v1/dead-letters/resolve"),
        ("GET", "/v1/replays"),
        ("POST", "/v1/replays"),
        ("GET", "/v1/replays/replay_00000000"),
        ("POST", "/v1/replays/replay_00000000/advance"),
        ("POST", "/v1/replays/replay_00000000/cancel"),
    ):
        answer = world.client.open(path, method=method, json={}, environ_overrides=elsewhere)
        assert slug(answer) == (404, "not-found"), path
