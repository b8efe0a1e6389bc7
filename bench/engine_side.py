"""One side of the engine's benchmark, in a process of its own: our engine, or the published package.

    python -m bench.engine_side ours|theirs CHECKPOINT ENGINE [DEVICE]

A JSON line says when torch had been imported and when the network was ready for its first forward, on the
machine's own clock.  Each photo's name that comes in is answered with what it took, and with the peak so far.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.machine import peak_bytes

Whole = Callable[[Path], None]  #: from a photo's file to RGBA pixels


#: Of the disc that is shown for what the network found: its area, and how much of the frame is mixed.
_AREA, _MIXED = 0.4, 0.07


@dataclass
class Timed:
    """A network that adds up how long it takes, and then shows a disc: random weights find fog everywhere."""

    network: Any
    show: Callable[[Any], Any]  #: a disc, as this network would give it; (side, side) in [0, 1]
    seconds: list[float] = field(default_factory=list)

    def __call__(self, x: Any) -> Any:
        """Run the network."""
        began = time.perf_counter()
        found = self.network(x)
        if found.is_cuda:
            found.sum().item()  # waits for what has only been asked for
        self.seconds.append(time.perf_counter() - began)
        return self.show(disc(found.shape[-1]).to(found.device)).reshape(found.shape)

    def __getattr__(self, name: str) -> Any:
        """Be the network in everything else."""
        return getattr(self.network, name)


def disc(side_px: int) -> Any:
    """Return the opacity of a disc with a soft rim, (side, side) in [0, 1]."""
    import torch  # noqa: PLC0415 - as all below: what is imported is what is measured

    radius = math.sqrt(_AREA / math.pi)
    rim = _MIXED / (2 * math.pi * radius)
    at = (torch.arange(side_px) + 0.5) / side_px - 0.5
    return ((radius - torch.hypot(at[:, None], at)) / rim + 0.5).clamp(0, 1)


def ours(checkpoint: Path, engine: str, device: str) -> tuple[float, Whole, Timed]:
    """Load our engine as a worker does: the file is read for its digest while torch is imported."""
    from dataclasses import replace  # noqa: PLC0415

    from worker.matting.digests import Digests  # noqa: PLC0415

    digests = Digests.begin(checkpoint)
    import torch  # noqa: PLC0415

    torch_at_s = time.monotonic()
    from worker.matting.inspyrenet_engine import load_inspyrenet  # noqa: PLC0415

    loaded = load_inspyrenet(engine, digests, device)
    network = Timed(loaded.network, partial(torch.logit, eps=1e-6))
    model = replace(loaded, network=network)  # type: ignore[arg-type]  # it is the network in every respect

    def whole(photo: Path) -> None:
        import cv2  # noqa: PLC0415
        import numpy as np  # noqa: PLC0415

        from worker.decode import decode  # noqa: PLC0415
        from worker.foreground import estimate_foreground  # noqa: PLC0415
        from worker.matting import Unmixing  # noqa: PLC0415

        rgb = decode(photo.read_bytes()).rgb
        alpha = model.alpha(rgb).alpha
        unmix = model.foreground if isinstance(model, Unmixing) else estimate_foreground
        rgba = np.empty((*alpha.shape, 4), np.uint8)
        cv2.mixChannels([unmix(rgb, alpha), alpha], [rgba], [0, 0, 1, 1, 2, 2, 3, 3])

    return torch_at_s, whole, network


def theirs(checkpoint: Path, engine: str, device: str) -> tuple[float, Whole, Timed]:
    """Load the package by its own interface."""
    import torch  # noqa: F401, PLC0415

    torch_at_s = time.monotonic()
    from PIL import Image  # noqa: PLC0415

    from worker.matting.transparent_background import package  # noqa: PLC0415

    mode = engine.removeprefix("inspyrenet-")
    remover = package().Remover(mode=mode, device=device, ckpt=str(checkpoint))
    remover.model = network = Timed(remover.model, lambda found: found)

    def whole(photo: Path) -> None:
        with Image.open(photo) as image:
            remover.process(image.convert("RGB"), type="rgba")

    return torch_at_s, whole, network


def main(side: str, checkpoint: Path, engine: str, device: str = "cpu") -> None:
    """Load, say so, and answer until nothing more is asked."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what the package prints must not stand among the answers
    torch_at_s, whole, network = (ours if side == "ours" else theirs)(checkpoint, engine, device)
    print(json.dumps({"torch_at_s": torch_at_s, "loaded_at_s": time.monotonic()}), file=answers, flush=True)
    import torch  # noqa: PLC0415

    for line in sys.stdin:
        network.seconds.clear()
        began = time.perf_counter()
        whole(Path(line.rstrip("\n")))
        seconds = time.perf_counter() - began
        fact = {"seconds": seconds, "network_s": sum(network.seconds), "peak_bytes": peak_bytes()}
        fact["device_peak_bytes"] = torch.cuda.max_memory_allocated() if device == "cuda" else 0
        print(json.dumps(fact), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
