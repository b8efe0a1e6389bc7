"""One side of the engine's benchmark, in a process of its own: our engine, or the published package.

    python -m bench.engine_side ours|theirs CHECKPOINT ENGINE

A JSON line says when torch had been imported and when the network was ready for its first forward, on the
machine's own clock.  Each photo's name that comes in is answered with what it took, and with the peak so far.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Whole = Callable[[Path], None]  #: from a photo's file to RGBA pixels


@dataclass
class Timed:
    """A network that adds up how long it takes."""

    network: Any
    seconds: list[float] = field(default_factory=list)

    def __call__(self, x: Any) -> Any:
        """Run the network."""
        began = time.perf_counter()
        found = self.network(x)
        self.seconds.append(time.perf_counter() - began)
        return found

    def __getattr__(self, name: str) -> Any:
        """Be the network in everything else."""
        return getattr(self.network, name)


def ours(checkpoint: Path, engine: str) -> tuple[Whole, Timed]:
    """Load our engine as a worker does."""
    from dataclasses import replace  # noqa: PLC0415 - as all below: what is imported is what is measured

    from worker.matting.digests import Digests  # noqa: PLC0415

    digests = Digests.begin(checkpoint)
    from worker.matting.inspyrenet_engine import load_inspyrenet  # noqa: PLC0415

    loaded = load_inspyrenet(engine, digests, "cpu")
    network = Timed(loaded.network)
    model = replace(loaded, network=network)  # type: ignore[arg-type]  # it is the network in every respect

    def whole(photo: Path) -> None:
        import numpy as np  # noqa: PLC0415

        from worker.decode import decode  # noqa: PLC0415
        from worker.foreground import estimate_foreground  # noqa: PLC0415

        rgb = decode(photo.read_bytes()).rgb
        alpha = model.alpha(rgb).alpha
        np.dstack((estimate_foreground(rgb, alpha), alpha))

    return whole, network


def theirs(checkpoint: Path, engine: str) -> tuple[Whole, Timed]:
    """Load the package by its own interface."""
    from PIL import Image  # noqa: PLC0415

    from worker.matting.transparent_background import package  # noqa: PLC0415

    remover = package().Remover(mode=engine.removeprefix("inspyrenet-"), device="cpu", ckpt=str(checkpoint))
    remover.model = network = Timed(remover.model)

    def whole(photo: Path) -> None:
        with Image.open(photo) as image:
            remover.process(image.convert("RGB"), type="rgba")

    return whole, network


def main(side: str, checkpoint: Path, engine: str) -> None:
    """Load, say so, and answer until nothing more is asked."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what the package prints must not stand among the answers
    import torch  # noqa: F401, PLC0415 - both sides need it, and it is told apart

    torch_at_s = time.monotonic()
    whole, network = (ours if side == "ours" else theirs)(checkpoint, engine)
    print(json.dumps({"torch_at_s": torch_at_s, "loaded_at_s": time.monotonic()}), file=answers, flush=True)
    for line in sys.stdin:
        network.seconds.clear()
        began = time.perf_counter()
        whole(Path(line.rstrip("\n")))
        seconds = time.perf_counter() - began
        fact = {"seconds": seconds, "network_s": sum(network.seconds), "peak_bytes": _peak_bytes()}
        print(json.dumps(fact), file=answers, flush=True)


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
