"""InSPyReNet behind the port: one photo in, its opacity out, one network for every job of the process."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from shared.checkpoints import CHECKPOINTS
from worker.arrays import Alpha, Rgb
from worker.matting import Matting
from worker.matting.device_foreground import estimate_foreground_on
from worker.matting.devices import choose_device, choose_precision, layers_for
from worker.matting.digests import Digests
from worker.matting.inspyrenet import InSPyReNet, build_inspyrenet
from worker.matting.network_faults import once_more_without_memory, require_finite
from worker.matting.saliency import enlarged, shows_subject, square, stretched
from worker.matting.weights import Weights, name_of, read_weights

log = logging.getLogger(__name__)

_VERSION = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class InspyrenetEngine:
    """Runs the network in one thread, whoever asks: the device has one queue."""

    name: str
    version: str
    checkpoint_sha256: str
    network: InSPyReNet
    device_queue: ThreadPoolExecutor
    exact: Callable[[], InSPyReNet] | None = None  #: builds the network in float32, if it runs in less

    def alpha(self, rgb: Rgb) -> Matting:
        """Implement ``MattingModel``."""
        small = square(rgb, self.network.side_px)
        seen = partial(self._see, small, *rgb.shape[:2])
        return self.device_queue.submit(once_more_without_memory, seen).result()

    @torch.inference_mode()
    def _see(self, small: Tensor, height: int, width: int) -> Matting:
        logits = self._logits(small)
        alpha: Alpha = enlarged(stretched(logits)[0], height, width).cpu().numpy()
        has_subject = bool(shows_subject(logits)[0])
        return Matting(alpha=alpha, has_subject=has_subject, seen_px=self.network.side_px)

    def _logits(self, small: Tensor) -> Tensor:
        logits = self.network(small)
        if self.exact and not logits.isfinite().all():
            log.warning("engine.overflowed")
            # Built for this photo: kept, it would take a second network's memory.
            logits = self.exact()(small)
        require_finite(logits)
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class InspyrenetOnCuda(InspyrenetEngine):
    """Also finds the subject's own colour where the network runs."""

    device: torch.device

    def foreground(self, rgb: Rgb, alpha: Alpha) -> Rgb:
        """Implement ``Unmixing``."""
        found = partial(estimate_foreground_on, self.device, rgb, alpha)
        return self.device_queue.submit(once_more_without_memory, found).result()


def load_inspyrenet(engine: str, digests: Digests, device: str) -> InspyrenetEngine:
    """Build an engine from a checkpoint file.

    Raises
    ------
    CheckpointError
        If the file cannot be used.
    DeviceMissingError
        If the device is not there.
    """
    where = choose_device(device)
    weights = read_weights(digests, engine)
    precision = choose_precision(where, weights.verified)
    facts = {"precision": name_of(precision), "weights": weights.precision}
    log.info("engine.precision", extra={"device": str(where), **facts})
    network = _built(engine, weights, where, precision)
    kind = partial(InspyrenetOnCuda, device=where) if where.type == "cuda" else InspyrenetEngine
    return kind(
        name=engine,
        version=_version(where, precision, weights),
        checkpoint_sha256=weights.sha256,
        network=network,
        device_queue=ThreadPoolExecutor(1, "network"),
        exact=None if precision == torch.float32 else partial(in_float32, engine, digests.file, where),
    )


def in_float32(engine: str, file: Path, where: torch.device) -> InSPyReNet:
    """Read a checkpoint again, and build its network in float32."""
    return _built(engine, read_weights(Digests.begin(file), engine), where, torch.float32)


def _built(engine: str, weights: Weights, where: torch.device, precision: torch.dtype) -> InSPyReNet:
    return build_inspyrenet(weights.tensors, layers_for(where, precision), CHECKPOINTS[engine].side_px)


def _version(where: torch.device, precision: torch.dtype, weights: Weights) -> str:
    rounded = "" if weights.precision == "float32" else f", weights in {weights.precision}"
    return f"{_VERSION} (torch {torch.__version__}, {where.type}, {name_of(precision)}{rounded})"
