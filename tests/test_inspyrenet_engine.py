"""The engine answers every photo that the gate takes, in the same way from either kind of file."""

import logging
import threading
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from shared.checkpoints import CheckpointError
from shared.errors import InternalError, NoSubjectError, OutOfMemoryError
from shared.recipes import Recipe
from tests.checkpoints import random_checkpoint, vouched_for
from tests.package_side import SharedPackage
from tests.pictures import opened, photo
from worker.matting import Matting, Unmixing
from worker.matting.convert import convert
from worker.matting.devices import precisions
from worker.matting.digests import Digests
from worker.matting.inspyrenet import InSPyReNet, build_inspyrenet
from worker.matting.inspyrenet_engine import InspyrenetEngine, InspyrenetOnCuda, in_float32, load_inspyrenet
from worker.matting.layers import OneDnnLayers, TorchLayers
from worker.matting.weights import read_weights
from worker.pipeline import render

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]

ENGINE, SIDE_PX, CPU = "inspyrenet-fast", 384, torch.device("cpu")
#: A quarter of the work, where what is said has nothing to do with how large the network's picture is.
SIDES_PX = [SIDE_PX // 2, pytest.param(SIDE_PX, marks=pytest.mark.exhaustive)]


def load(file: Path) -> InspyrenetEngine:
    return load_inspyrenet(ENGINE, Digests.begin(file), "cpu")


@pytest.fixture(scope="module")
def published() -> Path:
    return vouched_for(random_checkpoint(0, SIDE_PX))


@pytest.fixture(scope="module")
def converted(published: Path, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("models") / "inspyrenet-fast.safetensors"
    convert(ENGINE, published, file)
    return file


@pytest.fixture(scope="module")
def engine(converted: Path) -> InspyrenetEngine:
    return load(converted)


@pytest.fixture(scope="module")
def cat(engine: InspyrenetEngine) -> Matting:
    """What the engine finds in the cat."""
    return engine.alpha(opened(photo("cat")))


@pytest.fixture(scope="module", params=SIDES_PX)
def network(request, converted: Path) -> InSPyReNet:
    """The engine's network, and in ``make test`` at half its side."""
    weights = read_weights(Digests.begin(converted), ENGINE).tensors
    return build_inspyrenet(weights, OneDnnLayers(torch.float32), request.param)


@pytest.fixture(scope="module")
def quick(engine: InspyrenetEngine, network: InSPyReNet) -> InspyrenetEngine:
    """The engine, with the network of either side; a photo that it has seen it does not calculate again."""
    return replace(engine, network=_Remembering(network))


class _Remembering:
    """A network that calculates each photo once."""

    def __init__(self, network: InSPyReNet) -> None:
        self.network, self.side_px, self.seen = network, network.side_px, {}

    def __call__(self, rgb: torch.Tensor) -> torch.Tensor:
        key = rgb.numpy().tobytes()
        if key not in self.seen:
            self.seen[key] = self.network(rgb)
        return self.seen[key].clone()


def test_both_kinds_of_file_give_the_same_bytes_under_the_same_digest(engine, cat, published: Path) -> None:
    from_published = load(published)
    assert from_published.checkpoint_sha256 == engine.checkpoint_sha256
    assert np.array_equal(from_published.alpha(opened(photo("cat"))).alpha, cat.alpha)


def test_the_opacity_at_the_photos_size_is_what_the_wrapped_package_gives(
    engine, published: Path, package: SharedPackage
) -> None:
    """The engine transparent-background, under the interpreter that has the package."""
    coffee = opened(photo("coffee"))
    package.load(published, SIDE_PX)
    theirs = package.opacity(coffee, SIDE_PX)
    assert np.abs(engine.alpha(coffee).alpha.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("kind", ["published", "converted"])
def test_no_file_stays_in_memory_beside_what_was_made_of_it(kind: str, request) -> None:
    """One bias that still lay in the mapped file kept 363 MB of it resident, in every photo's peak."""
    file = request.getfixturevalue(kind)
    engine = load(file)
    assert file.name not in Path("/proc/self/maps").read_text()
    assert engine.network.side_px == SIDE_PX


@pytest.mark.parametrize("shape", [(32, 32), (33, 5000), (6000, 10_000)])
def test_every_size_that_the_gate_takes_is_answered_at_its_size(quick, shape) -> None:
    rgb = cv2.resize(opened(photo("cat")), shape[::-1])
    found = quick.alpha(rgb)
    assert (found.alpha.shape, found.alpha.dtype) == (shape, np.uint8)
    assert found.alpha.std() > 30
    assert found.seen_px == quick.network.side_px  # so that edges can be refined


@pytest.mark.parametrize("bias", [-12.0, 12.0])
def test_a_subject_is_decided_before_the_map_is_stretched(quick, bias: float) -> None:
    """Stretching makes the likeliest pixel of an empty sheet as opaque as a cat."""
    shifted = replace(quick, network=_Shifted(quick.network, bias))
    found = shifted.alpha(opened(photo("cat")))
    assert found.has_subject is (bias > 0)
    assert found.alpha.max() > 200


class _Shifted:
    """A network that is sure everywhere that there is a subject, or none."""

    def __init__(self, network, bias: float) -> None:
        self.network, self.bias, self.side_px = network, bias, network.side_px

    def __call__(self, rgb):
        return self.network(rgb) / 4 + self.bias


@pytest.mark.parametrize("level", [0, 255])
def test_a_sheet_of_one_colour_is_answered(quick, level: int) -> None:
    """Whether it shows a subject is for real weights to say; it must not divide by nothing."""
    found = quick.alpha(np.full((90, 120, 3), level, np.uint8))
    assert found.alpha.shape == (90, 120)


def test_a_photo_without_a_subject_fails_with_its_slug(quick) -> None:
    blind = replace(quick, network=_Shifted(quick.network, -12.0))
    with pytest.raises(NoSubjectError):
        render(photo("cat"), Recipe(), blind, checkpoint=lambda _: None, keep=lambda _: None)


class _Broken:
    """A network that gives what it is told to, or raises it."""

    side_px = SIDE_PX

    def __init__(self, *answers) -> None:
        self.answers = list(answers)

    def __call__(self, _rgb):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_numbers_that_are_none_are_a_bug_and_not_a_picture(engine) -> None:
    broken = replace(engine, network=_Broken(torch.full((1, SIDE_PX, SIDE_PX), torch.nan)))
    with pytest.raises(InternalError, match="numbers that are none"):
        broken.alpha(opened(photo("cat")))


def test_a_photo_that_overflows_is_seen_once_more_in_float32(engine, cat, converted: Path, caplog) -> None:
    """It was tried three times in the precision that it overflows in, and then failed."""
    nan, again = torch.full((1, SIDE_PX, SIDE_PX), torch.nan), partial(in_float32, ENGINE, converted, CPU)
    overflowing = replace(engine, network=_Broken(nan), exact=again)
    found = overflowing.alpha(opened(photo("cat")))
    assert np.array_equal(found.alpha, cat.alpha)
    assert [record.message for record in caplog.records] == ["engine.overflowed"]


def test_numbers_that_are_none_in_float32_too_are_a_bug(engine) -> None:
    nan = torch.full((1, SIDE_PX, SIDE_PX), torch.nan)
    broken = replace(engine, network=_Broken(nan), exact=lambda: _Broken(nan))
    with pytest.raises(InternalError, match="numbers that are none"):
        broken.alpha(opened(photo("cat")))


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_what_runs_in_less_than_float32_can_fall_back_on_it(precision: str, converted, monkeypatch) -> None:
    chosen = getattr(torch, precision)
    monkeypatch.setattr("worker.matting.inspyrenet_engine.choose_precision", lambda *_asked: chosen)
    exact = load(converted).exact
    assert (exact is None) is (precision == "float32")
    assert exact is None or exact().layers.dtype is torch.float32


def test_a_device_that_is_out_of_memory_is_tried_once_more_and_stays_usable(engine) -> None:
    full, map_ = torch.OutOfMemoryError("CUDA out of memory"), torch.rand(1, SIDE_PX, SIDE_PX)
    rgb = opened(photo("cat"))
    recovering = replace(engine, network=_Broken(full, map_))
    assert recovering.alpha(rgb).has_subject
    hopeless = replace(engine, network=_Broken(full, full, map_))
    with pytest.raises(OutOfMemoryError):
        hopeless.alpha(rgb)
    assert hopeless.alpha(rgb).has_subject


def test_cuda_finds_the_subjects_colour_in_the_devices_queue_and_once_more_without_memory(
    engine, monkeypatch
) -> None:
    parts = {field.name: getattr(engine, field.name) for field in fields(engine)}
    on_device = InspyrenetOnCuda(**parts, device=torch.device("cpu"))
    rgb, threads = opened(photo("cat")), []
    alpha = np.full(rgb.shape[:2], 128, np.uint8)
    answers = [torch.OutOfMemoryError("CUDA out of memory"), rgb, *[torch.OutOfMemoryError()] * 2]

    def estimate(*_asked):
        threads.append(threading.current_thread().name)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("worker.matting.inspyrenet_engine.estimate_foreground_on", estimate)
    assert on_device.foreground(rgb, alpha) is rgb
    with pytest.raises(OutOfMemoryError):
        on_device.foreground(rgb, alpha)
    assert {name.split("_")[0] for name in threads} == {"network"}
    assert isinstance(on_device, Unmixing)
    assert not isinstance(engine, Unmixing)


def test_a_batch_gives_what_its_photos_give_alone(network: InSPyReNet) -> None:
    size_px = (network.side_px, network.side_px)
    photos = torch.from_numpy(np.stack([cv2.resize(opened(photo(n)), size_px) for n in ("cat", "raccoon")]))
    alone = torch.cat([network(p[None]) for p in photos])
    assert (network.together(photos).sigmoid() - alone.sigmoid()).abs().max() <= 1 / 255
    assert network(photos).equal(alone)


@pytest.mark.parametrize("layers", [*map(OneDnnLayers, precisions(CPU)), TorchLayers(torch.bfloat16, CPU)])
def test_a_batch_gives_to_the_bit_what_its_photos_give_alone_in_every_precision(
    converted: Path, layers
) -> None:
    """In bfloat16 they were up to 2 of 255 off together: what is rounded depends on the shapes of kernels."""
    side_px = SIDE_PX // 4
    network = build_inspyrenet(read_weights(Digests.begin(converted), ENGINE).tensors, layers, side_px)
    cats = [cv2.resize(opened(photo(n)), (side_px, side_px)) for n in ("cat", "raccoon")]
    photos = torch.from_numpy(np.stack(cats))
    assert network(photos).equal(torch.cat([network(p[None]) for p in photos]))


def test_the_same_photo_gives_the_same_bytes(engine, cat) -> None:
    assert np.array_equal(engine.alpha(opened(photo("cat"))).alpha, cat.alpha)


def test_one_changed_byte_of_367_mb_is_noticed(published: Path, tmp_path: Path) -> None:
    copy = tmp_path / published.name
    copy.write_bytes(published.read_bytes())
    own = published.with_name(f"{published.name}.sha256")
    copy.with_name(own.name).write_text(own.read_text())
    with copy.open("r+b") as file:
        file.seek(200_000_000)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(CheckpointError, match="is not what stands there"):
        load(copy)


def test_it_says_which_precision_it_runs_in(converted: Path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        assert "float32" in load(converted).version
    [record] = [r for r in caplog.records if r.message == "engine.precision"]
    assert (record.device, record.precision) == ("cpu", "float32")
