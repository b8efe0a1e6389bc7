"""The published package ``transparent-background``, wrapped: what our own inference is tested against.

It is in a dependency group of its own and is imported only when it is asked for.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shared.checkpoints import CHECKPOINTS
from worker.arrays import Alpha, Rgb
from worker.matting import Matting
from worker.matting.devices import choose_device
from worker.matting.digests import Digests
from worker.matting.network_faults import once_more_without_memory, require_finite
from worker.matting.package_process import PackageMissingError
from worker.matting.saliency import enlarged, shows_subject, square, stretched
from worker.matting.weights import read_published

#: What importing torchvision registers its own code for.  Beside a torch for the CPU its library of kernels
#: does not load, and it then fails over names that nobody has defined.
_TORCHVISION = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[torch.library.Library] = []


def package() -> Any:
    """Import the package, beside whichever torch there is.

    Raises
    ------
    PackageMissingError
        If it, or something that it needs, is not installed.
    """
    try:
        return _imported()
    except ModuleNotFoundError as error:
        raise PackageMissingError(
            f"{error}: the engine transparent-background needs "
            "`pip install --group transparent-background -c constraints.txt`."
        ) from error


def _imported() -> Any:
    try:
        import transparent_background  # noqa: PLC0415 - heavy, and absent in most installations
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for operator in _TORCHVISION:
            library.define(operator)
        _kept.append(library)
        import transparent_background  # noqa: PLC0415
    return transparent_background


def network(checkpoint: Path, side_px: int, device: str) -> torch.nn.Module:
    """Build the package's own network and load a checkpoint of the published shape."""
    package()
    from transparent_background.InSPyReNet import InSPyReNet_SwinB  # noqa: PLC0415 - see package()

    built: torch.nn.Module = InSPyReNet_SwinB(
        depth=64, pretrained=False, threshold=None, base_size=[side_px, side_px]
    )
    built.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    return built.eval().to(device)


def normalised(rgb: Rgb) -> Tensor:
    """Return a square photo as the package hands it to its network; (side, side, 3) to (1, 3, side, side)."""
    image = np.array(rgb, dtype=np.float32) / 255
    image = (image - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    return torch.from_numpy(image.transpose(2, 0, 1)).float()[None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransparentBackground:
    """The package's network behind our port."""

    network: Any
    side_px: int
    device: str
    checkpoint_sha256: str | None
    name: str = "transparent-background"
    version: str = "1.3.4"

    def alpha(self, rgb: Rgb) -> Matting:
        """Implement ``MattingModel``."""
        small = normalised(square(rgb, self.side_px)[0].numpy())
        return once_more_without_memory(partial(self._see, small, *rgb.shape[:2]))

    @torch.inference_mode()
    def _see(self, small: Tensor, height: int, width: int) -> Matting:
        logits = self.network.forward_inspyre(small.to(self.device))["saliency"][-1][:, 0].float()
        require_finite(logits)
        alpha: Alpha = enlarged(stretched(logits)[0], height, width).cpu().numpy()
        return Matting(alpha=alpha, has_subject=bool(shows_subject(logits)[0]), seen_px=self.side_px)


def load_package(digests: Digests, device: str) -> TransparentBackground:
    """Build the engine from the published checkpoint of ``inspyrenet-base``.

    Raises
    ------
    CheckpointError
        If the file cannot be used.
    DeviceMissingError
        If the device is not there.
    PackageMissingError
        If the package is not installed.
    """
    where = choose_device(device)
    digests.require_known("inspyrenet-base")
    read_published(digests.file)  # says in a sentence what torch would say in pages
    side_px = CHECKPOINTS["inspyrenet-base"].side_px
    return TransparentBackground(
        network=network(digests.file, side_px, str(where)),
        side_px=side_px,
        device=str(where),
        checkpoint_sha256=digests.sha256,
    )
