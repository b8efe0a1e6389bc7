"""A checkpoint of the published names and shapes whose every number is random: for parity, and for speed.

The published weights cannot be had everywhere.  A freshly made network will not do: its attention is switched
off and its map is the same everywhere.  This one is random and then calibrated, layer by layer on one photo,
so that its map has spread on every photo.  It runs under the interpreter that has the package:

    .venv-reference/bin/python -m bench.random_checkpoint SEED SIDE FILE [STATISTICS]

To calibrate is a forward pass of the package, a minute at 1024: where a file of STATISTICS is named, what it
was calibrated to is read from there, and written there if it does not exist yet.
"""

import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from worker.matting.transparent_background import normalised, package

_PHOTOS = Path(__file__).resolve().parent.parent / "tests" / "photos"
_CALIBRATED_ON = "cat"

#: What is calibrated to a mean square of 1 over all channels instead of mean 0 and variance 1 in each: there
#: are only five contexts, and another photo's may be large where this one's happen to be small.
_BY_SQUARE = re.compile(r"conv_(key|value)\.|conv_out1")
#: Scores of attention stay small, so that no softmax picks one and forgets the rest; contexts stay small
#: beside what a pixel itself says.
_CONTEXT = re.compile(r"conv_out1\.bn\.weight")
_SCORES = re.compile(r"(query|key)_conv\.bn\.weight|conv_(query|key)\.1\.bn\.weight")


def random_state(published: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """Return random numbers of the right size for every tensor; the same on every machine."""
    return {
        name: torch.from_numpy(_random(name, tensor, seed)).to(tensor.dtype).reshape(tensor.shape)
        for name, tensor in published.items()
    }


def _random(name: str, tensor: torch.Tensor, seed: int) -> Any:
    leaf = name.rpartition(".")[2]
    if leaf == "relative_position_index":
        return tensor.numpy()  # a constant
    random = np.random.default_rng([seed, *name.encode()])
    normal = random.standard_normal(tuple(tensor.shape), dtype=np.float32)
    if leaf == "num_batches_tracked":
        return np.array(random.integers(1, 100_000))
    mean, deviation = _distribution(name, tensor)
    return np.float32(mean) + np.float32(deviation) * normal


#: Mean and deviation of what is neither of the above, by the end of its name.
_DISTRIBUTIONS = {
    "gamma": (0.4, 0.1),
    "threshold": (0.5, 0.05),
    "relative_position_bias_table": (0.0, 0.5),
    "running_var": (1.0, 0.05),
    "running_mean": (0.0, 0.1),
    "bias": (0.0, 0.1),
}
_GAINS = {"patch_embed.proj": 2.0, "mlp.fc2": 0.5, "attn.proj": 0.5}


def _distribution(name: str, tensor: torch.Tensor) -> tuple[float, float]:
    for end, distribution in _DISTRIBUTIONS.items():
        if name.endswith(end):
            return distribution
    if tensor.ndim == 1:
        small = (0.3, 0.06) if _SCORES.search(name) else (0.15, 0.03) if _CONTEXT.search(name) else None
        return small or (1.0, 0.2)
    factor = next((gain for part, gain in _GAINS.items() if part in name), 1.0)
    return 0.0, factor / tensor[0].numel() ** 0.5


def _calibrate(name: str, norm: torch.nn.BatchNorm2d, given: tuple[torch.Tensor, ...], *, seed: int) -> None:
    """Set a batch norm's statistics to those of what it is given now, a little off."""
    x = given[0]
    by_square = _BY_SQUARE.search(name) is not None
    random = np.random.default_rng([seed, *name.encode(), 1])
    mean = x.mean((0, 2, 3))
    if by_square:
        mean = x.square().mean().sqrt() * torch.from_numpy(random.normal(0, 0.1, x.shape[1])).float()
    variance = ((x - mean.view(1, -1, 1, 1)) ** 2).mean((0, 2, 3))
    if by_square:
        variance = variance.mean().expand_as(variance)
    off = torch.from_numpy(random.uniform(0.9, 1.1, len(variance)).astype(np.float32))
    norm.running_mean = mean
    norm.running_var = variance * off + 1e-3 * variance.mean()


def make(seed: int, side_px: int, file: Path, statistics: Path | None = None) -> None:
    """Write a random checkpoint, calibrated at the size at which it will be used."""
    package()
    from transparent_background.InSPyReNet import InSPyReNet_SwinB  # noqa: PLC0415 - see package()

    network = InSPyReNet_SwinB(depth=64, pretrained=False, threshold=None, base_size=[side_px] * 2).eval()
    network.load_state_dict(random_state(network.state_dict(), seed))
    norms = {name: m for name, m in network.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    if statistics and statistics.exists():
        _give(norms, statistics)
    else:
        for name, norm in norms.items():
            norm.register_forward_pre_hook(partial(_hook, name, seed))
        with torch.no_grad():
            network(_photo(_CALIBRATED_ON, side_px))
        if statistics:
            _keep(norms, statistics)
    torch.save(network.state_dict(), file)


def _give(norms: dict[str, torch.nn.BatchNorm2d], statistics: Path) -> None:
    with np.load(statistics) as kept:
        for name, norm in norms.items():
            norm.running_mean, norm.running_var = torch.from_numpy(kept[name])


def _keep(norms: dict[str, torch.nn.BatchNorm2d], statistics: Path) -> None:
    states = {name: norm.state_dict() for name, norm in norms.items()}
    kept: dict[str, Any] = {n: np.stack([s["running_mean"], s["running_var"]]) for n, s in states.items()}
    np.savez_compressed(statistics, **kept)


def _hook(name: str, seed: int, norm: torch.nn.BatchNorm2d, given: tuple[torch.Tensor, ...]) -> None:
    _calibrate(name, norm, given, seed=seed)


def _photo(name: str, side_px: int) -> torch.Tensor:
    with Image.open(_PHOTOS / f"{name}.jpg") as photo:
        small = photo.convert("RGB").resize((side_px, side_px), Image.Resampling.BILINEAR)
    return normalised(np.asarray(small))


if __name__ == "__main__":
    make(int(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:]))
