"""The published package in one process for all tests of a run, with what only tests ask it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.matting.package_process import Package, Server


@dataclass
class SharedPackage(Package):
    """The client's side; a network stays loaded until another is wanted."""

    side: str = __name__
    _loaded: tuple[Path, int] | None = None

    def load(self, checkpoint: Path, side_px: int) -> float:
        if self._loaded == (checkpoint, side_px):
            return 0.0
        self._loaded = (checkpoint, side_px)
        return super().load(checkpoint, side_px)

    def opacity(self, rgb: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
        """Return the opacity that the engine transparent-background finds with the network that is loaded."""
        return self._ask_arrays("opacity", rgb, side_px=side_px)[0]

    def enlarged(self, saliency: NDArray[np.float32], photo: Path) -> NDArray[np.uint8]:
        """Return the opacity that the package's own ``Remover.process`` makes of a map for a photo."""
        return self._ask_arrays("enlarged", saliency, photo=str(photo))[0]


class TestingServer(Server):
    """The package's side."""

    def calls(self) -> dict[str, Callable[..., float]]:
        return super().calls() | {"opacity": self._opacity, "enlarged": self._enlarged}

    def _opacity(self, given: str, to: str, side_px: int) -> float:
        from worker.matting.transparent_background import TransparentBackground  # noqa: PLC0415 - as there

        began = time.perf_counter()
        model = TransparentBackground(
            network=self.network, side_px=side_px, device="cpu", checkpoint_sha256=None
        )
        found = model.alpha(np.load(given))
        assert found.has_subject
        np.save(to, found.alpha)
        return time.perf_counter() - began

    def _enlarged(self, given: str, to: str, photo: str) -> float:
        """Run the package's own method on an object whose constructor, which fetches weights, never ran."""
        import torch  # noqa: PLC0415 - as there

        from worker.matting.transparent_background import package  # noqa: PLC0415 - as there

        began = time.perf_counter()
        remover: Any = object.__new__(package().Remover)
        remover.device, remover.matting_fn = "cpu", None
        remover.transform = lambda _: torch.zeros(3, 1, 1)
        remover.model = lambda _: torch.from_numpy(np.load(given))[None, None]
        rgba = remover.process(Image.open(photo).convert("RGB"), type="rgba")
        np.save(to, np.asarray(rgba)[..., 3])
        return time.perf_counter() - began


if __name__ == "__main__":
    TestingServer().serve()
