"""Deliveries of one process overlap: while one's photo is in the network, others decode and encode theirs.

The network itself sees one photo at a time.  Nothing here waits for time to pass, only for the other
delivery; without the overlap it would wait in vain.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import torch

from shared.recipes import Recipe
from tests.pictures import photo
from worker.matting.inspyrenet_engine import InspyrenetEngine
from worker.pipeline import Artifact, render

SIDE_PX = 32
WITHIN_S = 30.0


@dataclass
class Network:
    """Sees a square in the middle, does something at each call, and counts who is in it at once."""

    meanwhile: list[Callable[[], None]]
    side_px: int = SIDE_PX
    inside: list[int] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    _now: int = 0

    def __call__(self, _rgb: torch.Tensor) -> torch.Tensor:
        self._now += 1
        self.inside.append(self._now)
        self.entered.set()
        self.meanwhile.pop(0)()
        self._now -= 1
        logits = torch.full((1, SIDE_PX, SIDE_PX), -9.0)
        logits[:, 8:24, 8:24] = 9.0
        return logits


@dataclass
class Delivery:
    """A photo on its way, and how far it is."""

    reached: dict[str, threading.Event] = field(
        default_factory=lambda: {name: threading.Event() for name in ("matte", "foreground", "end")}
    )
    kept: list[str] = field(default_factory=list)

    def run(self, engine: InspyrenetEngine) -> None:
        render(photo("cat"), Recipe(), engine, checkpoint=self.enter, keep=self.keep)
        self.reached["end"].set()

    def enter(self, stage: str) -> None:
        if stage in self.reached:
            self.reached[stage].set()

    def keep(self, artifact: Artifact) -> None:
        self.kept.append(artifact.name)

    def wait_for(self, stage: str) -> None:
        assert self.reached[stage].wait(WITHIN_S), f"nobody reached {stage} while the network was at work"


@pytest.fixture
def engine_with():
    queue = ThreadPoolExecutor(1, "network")

    def make(network: Network) -> InspyrenetEngine:
        return InspyrenetEngine(
            name="inspyrenet-fast",
            version="1",
            checkpoint_sha256="0" * 64,
            network=network,
            device_queue=queue,
        )

    yield make
    queue.shutdown()


def test_one_decodes_and_the_other_encodes_while_the_network_is_at_work(engine_with) -> None:
    first, second = Delivery(), Delivery()
    # The first photo stays in the network until the second has been decoded, the second until the first one's
    # files are all there.
    network = Network([lambda: second.wait_for("matte"), lambda: first.wait_for("end")])
    engine = engine_with(network)
    with ThreadPoolExecutor(2) as deliveries:
        running = deliveries.submit(first.run, engine)
        assert network.entered.wait(WITHIN_S)
        other = deliveries.submit(second.run, engine)
        running.result(WITHIN_S)
        other.result(WITHIN_S)
    assert first.kept == second.kept == ["color", "matte", "preview"]
    assert network.inside == [1, 1]


def test_however_many_deliveries_there_are_the_network_sees_one_photo_at_a_time(engine_with) -> None:
    deliveries = [Delivery() for _ in range(4)]
    rest = [lambda: None] * 3
    # All are decoded and wait for the device before the first of them has left it.
    network = Network([lambda: [d.wait_for("matte") for d in deliveries] and None, *rest])
    engine = engine_with(network)
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(d.run, engine) for d in deliveries]:
            done.result(WITHIN_S)
    assert network.inside == [1, 1, 1, 1]


def test_a_photo_that_fails_in_the_network_leaves_it_to_the_next(engine_with) -> None:
    def fail() -> None:
        raise RuntimeError("the device said no")

    network = Network([fail, lambda: None])
    engine, second = engine_with(network), Delivery()
    with pytest.raises(RuntimeError, match="the device said no"):
        Delivery().run(engine)
    second.run(engine)
    assert second.kept == ["color", "matte", "preview"]
