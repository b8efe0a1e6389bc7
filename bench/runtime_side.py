"""One runtime of two, in a process of its own: our engine on torch, or the same network under OpenVINO.

    python -m bench.runtime_side torch|openvino MODEL ENGINE PHOTO MAP

PHOTO is a NumPy file of (1, side, side, 3) uint8.  A JSON line says when the network was ready for its first
forward, on the machine's own clock.  Each line that comes in is answered with what a forward took and with
the peak so far; MAP is the stretched map of the last.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import peak_bytes

Forward = Callable[[Any], Any]  #: from (1, side, side, 3) uint8 to logits (1, side, side), as arrays


def on_torch(model: Path, engine: str) -> Forward:
    """Load a converted file as a worker does."""
    from worker.matting.digests import Digests  # noqa: PLC0415 - what is imported is what is measured

    digests = Digests.begin(model)
    import torch  # noqa: PLC0415

    from worker.matting.inspyrenet_engine import load_inspyrenet  # noqa: PLC0415

    network = load_inspyrenet(engine, digests, "cpu").network
    return lambda photo: network(torch.from_numpy(photo)).numpy()


def on_openvino(model: Path, engine: str) -> Forward:
    """Compile OpenVINO's file of the network; with a folder beside it, keep there what was compiled."""
    del engine  # one file is one engine's
    import openvino  # noqa: PLC0415

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if (cache := model.with_suffix(".cache")).is_dir():
        settings["CACHE_DIR"] = str(cache)
    request = core.compile_model(str(model), "CPU", settings).create_infer_request()
    return lambda photo: next(iter(request.infer([photo]).values()))


def stretched(logits: Any) -> Any:
    """Return a map in [0, 1], as ``worker.matting.saliency.stretched`` does without torch."""
    saliency = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return (saliency - saliency.min()) / (saliency.max() - saliency.min())


def main(runtime: str, model: Path, engine: str, photo: Path, found: Path) -> None:
    """Load, say so, and answer until nothing more is asked."""
    forward = (on_torch if runtime == "torch" else on_openvino)(model, engine)
    print(json.dumps({"loaded_at_s": time.monotonic()}), flush=True)
    square = np.load(photo)
    for _ in sys.stdin:
        began = time.perf_counter()
        logits = forward(square)
        seconds = time.perf_counter() - began
        np.save(found, stretched(logits))
        print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), Path(sys.argv[5]))
