"""Versions work side by side: what one has promised, another neither denies nor spoils."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.messages import JOBS, decode
from shared.recipes import EffectRequest, Recipe
from tests.api_world import ApiWorld
from tests.world import JOB, World
from worker.handler import Outcome

FORM = {"effects": "color,halftone", "print_width_mm": "40", "print_height_mm": "40"}


def as_another_version(world: ApiWorld, job_id: str, change: Any) -> None:
    """Rewrite a promise as another version would have written it, digest included."""
    name = f"jobs/{job_id}/accepted.json"
    blob = world.store.read(name)
    document = json.loads(blob.data) | {"request_digest": "made of other members"}
    change(document["recipe"])
    world.store.replace(name, json.dumps(document).encode(), generation=blob.stat.generation)


def forget(recipe: dict[str, Any]) -> None:
    for name in ("edges", "margin", "max_side"):
        del recipe[name]
    del recipe["effects"][1]["angle_deg"]


def learn(recipe: dict[str, Any]) -> None:
    recipe["paper"] = "plain"


@pytest.mark.parametrize("change", [forget, learn])
@pytest.mark.parametrize("metadata", [None, '{"order": 7}'])
def test_who_comes_back_with_a_key_is_given_the_job_that_another_version_has_promised(
    tmp_path: Path, change: Any, metadata: str | None
) -> None:
    world, headers = ApiWorld(tmp_path), {"Idempotency-Key": "k"}
    job_id = world.submitted(headers=headers, metadata=metadata, **FORM)
    as_another_version(world, job_id, change)
    again = world.submit(headers=headers, metadata=metadata, **FORM)
    assert (again.status_code, again.json["id"]) == (202, job_id)
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("other", [{"format": "webp"}, {"effects": "color"}, {"metadata": '{"order": 8}'}])
def test_another_request_is_refused_whoever_has_promised_the_first(tmp_path: Path, other: Any) -> None:
    world, headers = ApiWorld(tmp_path), {"Idempotency-Key": "k"}
    job_id = world.submitted(headers=headers, **FORM)
    as_another_version(world, job_id, forget)
    again = world.submit(headers=headers, **{**FORM, **other})
    assert (again.status_code, again.json["slug"]) == (422, "idempotency-key-reused")


@pytest.mark.parametrize("is_same", [True, False])
def test_an_upload_that_another_version_has_promised_leads_to_its_job(
    tmp_path: Path, *, is_same: bool
) -> None:
    world, headers = ApiWorld(tmp_path), {"Idempotency-Key": "k"}

    def upload() -> str:
        wanted = {"content_type": "image/jpeg", "bytes": len(world.photo)}
        upload_id = world.client.post("/v1/uploads", json=wanted).json["upload_id"]
        assert world.client.put(f"/v1/uploads/{upload_id}", data=world.photo).status_code == 204
        return upload_id

    asked = {"upload_id": upload()}
    job_id = world.client.post("/v1/jobs", json=asked, headers=headers).json["id"]
    as_another_version(world, job_id, learn)
    asked = asked if is_same else {"upload_id": upload()}
    again = world.client.post("/v1/jobs", json=asked, headers=headers)
    assert (again.status_code, again.json.get("id")) == ((202, job_id) if is_same else (422, None))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(effects=(EffectRequest(name="hologram"),)),
        Recipe(format="avif"),
        Recipe(crop="face"),
        Recipe(edges="hair"),
    ],
    ids=lambda recipe: str(recipe.document())[:60],
)
def test_a_worker_leaves_what_it_does_not_know_to_one_of_the_next_version(
    tmp_path: Path, recipe: Any
) -> None:
    """The API may be of the next version already; no attempt of an old worker uses its job up."""
    world = World(tmp_path)
    world.accept(recipe=recipe)
    for _ in range(5):
        assert world.deliver() is Outcome.REFUSE
    assert (world.job().status, world.ends_of_claims()) == ("processing", ["version"] * 5)
    assert world.model.calls == 0
    assert {decode(found.data).job_id for found in world.queue.published if found.topic == JOBS} == {JOB}
