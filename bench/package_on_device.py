"""The published package's network on any device, in a process of its own, on the device's own clock.

Torch's settings stay as it finds them, as in a program that uses the package: convolutions may use TF32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.matting.package_process import Package, Server


@dataclass
class PackageOnDevice(Package):
    """The client's side."""

    side: str = __name__

    def load_on(self, device: str, checkpoint: Path, side_px: int) -> float:
        """Build the network on a device; return the seconds that it took."""
        return self._ask("load_on", device=device, checkpoint=str(checkpoint), side_px=side_px)

    def forward(self, squares: NDArray[np.uint8]) -> float:
        """Have photos seen one after the other, (N, side, side, 3); return the device's seconds."""
        return self._ask_arrays("forward", squares)[1]


@dataclass
class DeviceServer(Server):
    """The package's side."""

    device: str = "cpu"

    def calls(self) -> dict[str, Callable[..., float]]:
        """Add what is asked here."""
        return super().calls() | {"load_on": self._load_on, "forward": self._forward}

    def _load_on(self, device: str, checkpoint: str, side_px: int) -> float:
        from bench.device_clock import WallClock  # noqa: PLC0415 - all below: torch takes seconds
        from worker.matting.transparent_background import network  # noqa: PLC0415

        clock = WallClock()
        began = clock.mark()
        self.device, self.network = device, network(Path(checkpoint), side_px, device)
        return clock.seconds(began, clock.mark())

    def _forward(self, given: str, to: str) -> float:
        import torch  # noqa: PLC0415

        from bench.device_clock import clock_of  # noqa: PLC0415
        from worker.matting.transparent_background import normalised  # noqa: PLC0415

        clock, seconds = clock_of(torch.device(self.device)), 0.0
        maps: list[Any] = []
        for image in map(normalised, np.load(given)):
            first = clock.mark()
            with torch.no_grad():
                found = self.network(image.to(self.device))
            seconds += clock.seconds(first, clock.mark())
            maps.append(found[0, 0].cpu().numpy())
        np.save(to, np.stack(maps))
        return seconds


if __name__ == "__main__":
    DeviceServer().serve()
