"""Each effect has a thumbnail that shows what it renders today, served with an ETag."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.catalogue import EFFECTS
from tests.api_world import ApiWorld, slug
from tests.photos.make_thumbnails import FOLDER, SIDE_PX, make_thumbnails
from tests.pictures import opened

#: Mean error in levels that WebP may make; the nearest two effects, cut-out and shadow, differ by more.
SAME = 5.0


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path, public_url="https://cutout.example")


@cache
def rendered() -> dict[str, Image.Image]:
    return make_thumbnails()


def on_grey(rgba) -> np.ndarray:
    alpha = rgba[..., 3:].astype(float) / 255
    return rgba[..., :3] * alpha + 128 * (1 - alpha)


def difference(name: str, other: str) -> float:
    """Return how far a committed thumbnail is from what an effect renders now."""
    kept, new = opened((FOLDER / f"{name}.webp").read_bytes()), np.asarray(rendered()[other])
    if kept.shape != new.shape:
        return np.inf
    return float(np.abs(on_grey(kept) - on_grey(new)).mean())


def test_there_is_one_for_each_effect_and_no_other() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {f"{name}.webp" for name in EFFECTS}


@pytest.mark.parametrize("name", EFFECTS)
def test_it_shows_what_the_effect_renders_today_or_make_thumbnails_has_to_be_run(name: str) -> None:
    assert difference(name, name) <= SAME


@pytest.mark.parametrize("name", EFFECTS)
def test_any_other_effects_thumbnail_would_be_found_out(name: str) -> None:
    assert min(difference(name, other) for other in EFFECTS if other != name) > SAME


@pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS)
def test_its_url_stands_in_the_list_and_serves_a_small_webp(world: ApiWorld, effect) -> None:
    listed = {e["name"]: e["thumbnail"] for e in world.client.get("/v1/effects").json["effects"]}
    url = listed[effect.name]
    assert url.startswith("https://cutout.example/")
    answer = world.client.get(url.removeprefix("https://cutout.example"))
    assert (answer.status_code, answer.content_type) == (200, "image/webp")
    assert max(opened(answer.data).shape[:2]) == SIDE_PX
    assert len(answer.data) <= 30_000
    for alias in effect.aliases:
        assert world.client.get(f"/v1/effects/{alias}/thumbnail").data == answer.data


def test_who_has_it_is_told_so(world: ApiWorld) -> None:
    first = world.client.get("/v1/effects/popart/thumbnail")
    assert "public" in first.headers["Cache-Control"]
    again = world.client.get("/v1/effects/popart/thumbnail", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    other = world.client.get("/v1/effects/bw/thumbnail", headers={"If-None-Match": first.headers["ETag"]})
    assert other.status_code == 200
    head = world.client.head("/v1/effects/popart/thumbnail")
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["ETag"] == first.headers["ETag"]


def test_an_effect_that_does_not_exist_has_none(world: ApiWorld) -> None:
    assert slug(world.client.get("/v1/effects/sepia/thumbnail")) == (404, "not-found")
