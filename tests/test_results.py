"""A picture's URL gives its bytes whatever the client asks around them, or says when and why it cannot."""

from pathlib import Path

import pytest

from tests.api_world import ApiWorld, slug
from tests.world import Process


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


def test_an_open_job_says_when_to_ask_again(world: ApiWorld) -> None:
    job_id = world.submitted()
    for answer in (
        world.client.get(f"/v1/jobs/{job_id}/results/color"),
        world.client.delete(f"/v1/jobs/{job_id}"),
    ):
        assert slug(answer) == (409, "job-not-settled")
        assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(("kind", "extension"), [("png", ".png"), ("webp", ".webp"), ("jpeg", ".jpg")])
def test_every_kind_is_saved_under_a_name_with_its_extension(
    world: ApiWorld, kind: str, extension: str
) -> None:
    job_id = world.done(format=kind, background="#ffffff")
    answer = world.client.get(f"/v1/jobs/{job_id}/results/color")
    assert answer.content_type == f"image/{kind}"
    assert answer.headers["Content-Disposition"] == f'inline; filename="{job_id}-color{extension}"'
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("given", ["bytes=9999999-", "bytes=5-2", "lines=1-2", "bytes=x"])
def test_a_range_that_cannot_be_had_gives_the_whole_picture(world: ApiWorld, given: str) -> None:
    url = f"/v1/jobs/{world.done()}/results/color"
    whole = world.client.get(url)
    answer = world.client.get(url, headers={"Range": given})
    assert (answer.status_code, answer.data) == (200, whole.data)
    assert answer.content_length == len(whole.data)


def test_the_last_bytes_are_a_range_too(world: ApiWorld) -> None:
    url = f"/v1/jobs/{world.done()}/results/color"
    whole = world.client.get(url).data
    answer = world.client.get(url, headers={"Range": "bytes=-4"})
    assert (answer.status_code, answer.data) == (206, whole[-4:])
    assert answer.headers["Content-Range"] == f"bytes {len(whole) - 4}-{len(whole) - 1}/{len(whole)}"


def test_a_picture_that_was_promised_and_is_gone_is_our_fault_and_logged(world: ApiWorld, caplog) -> None:
    job_id = world.done()
    for name in world.names("results/"):
        world.store.delete(name)
    assert slug(world.client.get(f"/v1/jobs/{job_id}/results/color")) == (500, "internal-error")
    assert "request.crashed" in caplog.messages


def test_a_picture_that_is_erased_while_it_is_asked_for_has_expired(world: ApiWorld) -> None:
    job_id = world.done()

    def spy(call: str) -> None:
        if call.startswith("before store.open"):
            world.client.application.test_client().delete(f"/v1/jobs/{job_id}")

    answer = world.api(Process(spy)).get(f"/v1/jobs/{job_id}/results/color")
    assert slug(answer) == (410, "expired")


def test_what_is_gone_says_whether_it_was_asked_for_or_was_its_time(world: ApiWorld) -> None:
    job_id, other = world.done(), world.done()
    world.client.delete(f"/v1/jobs/{job_id}")
    answer = world.client.get(f"/v1/jobs/{job_id}/results/color")
    assert slug(answer) == (410, "expired")
    assert answer.json["detail"] == "The job's pictures were deleted, as was asked for."
    until = world.ledger().accepted(other).expires_at
    world.clock.turn(days=401)
    told = world.client.get(f"/v1/jobs/{other}/results/color").json["detail"]
    assert told == f"The job's pictures were kept until {until.isoformat()}."
