"""A photo in which nothing stands out fails with its own slug, whichever engine says so."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tests.pictures import opened, photo, saved, scene
from tests.world import World
from worker.handler import Outcome
from worker.matting import MattingModel
from worker.matting.grabcut import GrabCut
from worker.matting.inspyrenet_engine import InspyrenetEngine
from worker.matting.saliency import shows_subject, stretched
from worker.matting.transparent_background import TransparentBackground
from worker.model_gate import ModelGate

SIDE_PX = 64


def a_map(likeliest: float, share: float = 0.1) -> torch.Tensor:
    """Return logits that rise from nothing to a likeliest saliency, which a share of them has."""
    saliency = torch.linspace(0.001, likeliest / 2, SIDE_PX**2)
    saliency[: max(1, round(share * SIDE_PX**2))] = likeliest
    return saliency.logit().reshape(1, SIDE_PX, SIDE_PX)


class Network:
    """A network that sees the same map in every photo."""

    side_px = SIDE_PX

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits

    def __call__(self, _rgb: torch.Tensor) -> torch.Tensor:
        return self.logits

    def forward_inspyre(self, _rgb: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        return {"saliency": [self.logits[:, None]]}


def ours(logits: torch.Tensor) -> MattingModel:
    return InspyrenetEngine(
        name="inspyrenet-fast",
        version="1",
        checkpoint_sha256="0" * 64,
        network=Network(logits),
        device_queue=ThreadPoolExecutor(1),
    )


def packaged(logits: torch.Tensor) -> MattingModel:
    return TransparentBackground(
        network=Network(logits), side_px=SIDE_PX, device="cpu", checkpoint_sha256=None
    )


NETWORKS = pytest.mark.parametrize("engine", [ours, packaged])


@NETWORKS
@pytest.mark.parametrize(("likeliest", "is_one"), [(0.05, False), (0.45, False), (0.55, True), (0.99, True)])
def test_how_likely_a_subject_is_counts_before_the_map_is_stretched(
    engine: Callable[[torch.Tensor], MattingModel], likeliest: float, is_one: bool
) -> None:
    """Stretched, all four maps are alike: the likeliest pixel is opaque."""
    logits = a_map(likeliest)
    assert stretched(logits).max() == pytest.approx(1, abs=1e-6)
    found = engine(logits).alpha(scene().rgb)
    assert found.alpha.max() >= 254
    assert found.has_subject is is_one


@pytest.mark.parametrize(("pixels", "is_one"), [(9, False), (11, True)])
def test_a_speck_is_no_subject(pixels: int, is_one: bool) -> None:
    logits = torch.full((1, 320, 320), -9.0)
    logits.view(-1)[:pixels] = 9.0  # of 102,400
    assert bool(shows_subject(logits)[0]) is is_one


def deliver(tmp_path: Path, model: MattingModel, rgb: np.ndarray | None = None) -> World:
    world = World(tmp_path)
    if rgb is not None:
        world.photo = saved(Image.fromarray(rgb), "PNG")
    world.accept()
    gate = ModelGate()
    gate.open(model)
    assert world.deliver(world.services(gate=gate)) is Outcome.ACK
    return world


def assert_no_subject(world: World) -> None:
    """Assert that the job says so, is not tried again, and keeps no picture."""
    job = world.job()
    assert (job.status, job.terminal.error["slug"]) == ("failed", "no-subject")
    assert "upload a photo in which one stands out" in job.terminal.error["detail"]
    assert world.names("results/") == world.names("dead/") == world.names("open/") == []


@NETWORKS
def test_a_job_whose_network_sees_nothing_fails_with_no_subject(
    engine: Callable[[torch.Tensor], MattingModel], tmp_path: Path
) -> None:
    assert_no_subject(deliver(tmp_path, engine(a_map(0.3))))


@NETWORKS
def test_the_same_job_succeeds_if_the_network_is_surer(
    engine: Callable[[torch.Tensor], MattingModel], tmp_path: Path
) -> None:
    deliver(tmp_path, engine(a_map(0.9))).assert_succeeded()


def noisy(levels, sigma: float):
    noise = np.random.default_rng(1).normal(0, sigma, (480, 640, 3))
    return np.clip(levels + noise, 0, 255).round().astype(np.uint8)


def shading(darker_by: float):
    """Return the light of a window that falls along a wall."""
    return 220 - darker_by * np.linspace(0, 1, 640)[np.newaxis, :, np.newaxis]


def vignette(darker_by: float):
    y, x = np.mgrid[-1:1:480j, -1:1:640j]
    return (220 - darker_by * (x**2 + y**2) / 2)[..., np.newaxis]


NOTHING = {
    "black": noisy(0, 0),
    "grey": noisy(128, 0),
    "white": noisy(255, 0),
    "a wall at night": noisy(128, 16),
    "a wall by a window": noisy(shading(120), 4),
    "a sheet under a lamp": noisy(vignette(100), 4),
}


@pytest.mark.parametrize("rgb", NOTHING.values(), ids=NOTHING.keys())
def test_a_job_with_a_photo_of_nothing_fails_with_no_subject(tmp_path: Path, rgb) -> None:
    """A camera's picture of nothing is not of one colour, and GrabCut divides whatever it is given."""
    assert_no_subject(deliver(tmp_path, GrabCut(), rgb))


@pytest.mark.parametrize(
    "name",
    ["cat", "coffee", *(pytest.param(n, marks=pytest.mark.exhaustive) for n in ("raccoon", "astronaut"))],
)
def test_a_photo_of_something_has_a_subject_out_of_focus_or_in_the_dark(name: str) -> None:
    rgb = opened(photo(name))
    for seen in (rgb, cv2.GaussianBlur(rgb, (0, 0), 12), (rgb * 0.2).astype(np.uint8)):
        assert GrabCut().alpha(seen).has_subject


def test_a_subject_that_fills_the_photo_is_one() -> None:
    fur = opened(photo("raccoon"))[300:500, 350:600]
    assert GrabCut().alpha(fur).has_subject
