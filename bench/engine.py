"""Our InSPyReNet beside the published package: start and forward; foreground, whole photos, memory.

Both have the same weights, random ones: the published cannot be had everywhere, and numbers take as long.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from PIL import Image

from bench import foreground
from bench.effort import Effort
from bench.engine_process import Photo, started
from bench.images import matte_of
from bench.load import Drive
from bench.machine import ROOT
from bench.photo import PHOTO
from bench.progress import track
from bench.rows import Row
from bench.timings import in_turns, timed
from worker.decode import decode
from worker.matting.devices import precisions
from worker.matting.digests import Digests
from worker.matting.folding import fold
from worker.matting.inspyrenet import build_inspyrenet
from worker.matting.layers import OneDnnLayers
from worker.matting.package_process import Package, package_python
from worker.matting.saliency import square
from worker.matting.weights import Weights, name_of, read_published, write_converted

ENGINES = {384: "inspyrenet-fast", 1024: "inspyrenet-base"}
_SIZES_PX = {"0.3 MP": (640, 480), "3 MP": (2016, 1512), "12 MP": (4032, 3024), "48 MP": (8064, 6048)}
_RIM_SHARE = 90 / 3024  #: of the height: 7 % of the frame is mixed

_LOADED_MS = 700.0
_WARM, _COLD, _WITHOUT_NETWORK, _PEAK = 1 / 6, 1 / 20, 1 / 6, 0.6
_FORWARD = {torch.float32: 1 / 1.4, torch.bfloat16: 1 / 2.6}


def measure(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Measure the start and the network; some figures take minutes on both sides together."""
    del drive  # nothing is served
    published, converted = _checkpoints(data)
    photo, rounds = _photo(data, "0.3 MP"), effort.pictures
    return [
        *_starts(published, converted, photo, rounds),
        *(row for side_px in ENGINES for row in _forwards(published, side_px, rounds)),
    ]


def measure_photos(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Measure whole photos: with the network, and what there is to do besides."""
    del drive  # nothing is served
    published, converted = _checkpoints(data)
    return _wholes(published, converted, _photos(data), effort.pictures)


def measure_foregrounds(data: Path, drive: Drive, effort: Effort) -> list[Row]:
    """Measure the subject's own colour alone."""
    del drive  # nothing is served
    return list(_foregrounds(_photos(data), effort.pictures))


def _photos(data: Path) -> dict[str, Path]:
    return {name: _photo(data, name) for name in _SIZES_PX}


def _checkpoints(data: Path) -> tuple[Path, Path]:
    """Return one file of random weights as it was published, and as we convert it."""
    published, converted = random_published(data), data / "inspyrenet-base.safetensors"
    weights = Weights(tensors=fold(read_published(published)), sha256=Digests.begin(published).sha256)
    write_converted(weights, ENGINES[1024], torch.float32, converted)
    return published, converted


def random_published(data: Path) -> Path:
    """Return a file of random weights as the package publishes its own."""
    published = data / "ckpt_base.pth"
    command = [str(package_python()), "-m", "bench.random_checkpoint", "0", "1024", str(published)]
    subprocess.run(command, cwd=ROOT, check=True)
    return published


def _photo(data: Path, name: str) -> Path:
    path = data / f"{name}.jpg"
    with Image.open(PHOTO) as image:
        image.resize(_SIZES_PX[name], Image.Resampling.BICUBIC).save(path, "JPEG", quality=88)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """How long a process took."""

    torch_s: float
    loaded_s: float
    ready_s: float


def _start(side: str, checkpoint: Path, photo: Path, settings: Mapping[str, str] = {}) -> _Start:
    with started(side, checkpoint, settings=settings) as process:
        process.photo(photo)
        return _Start(
            torch_s=process.torch_s,
            loaded_s=process.loaded_s,
            ready_s=time.monotonic() - process.began_s,
        )


def _starts(published: Path, converted: Path, photo: Path, rounds: int) -> list[Row]:
    """Start each side from exec, in turns; then theirs as in a fresh container."""
    ours, theirs = [], []
    for _ in track(range(rounds), "engine, starts"):
        ours.append(_start("ours", converted, photo))
        theirs.append(_start("theirs", published, photo))
    with tempfile.TemporaryDirectory(dir=published.parent) as empty:
        cold = [_start("theirs", published, photo, {"NUMBA_CACHE_DIR": empty})]
    torch_s = _of(theirs, "torch_s")  # by itself: ours reads its file meanwhile, which may hold it up
    beyond = _of(ours, "loaded_s") - torch_s, _of(theirs, "loaded_s") - torch_s
    return [
        _ms("loaded, beyond import torch", *beyond, _WARM, _LOADED_MS),
        _ms("exec to loaded, caches warm", _of(ours, "loaded_s"), _of(theirs, "loaded_s")),
        _ms("exec to loaded, Numba's cache absent", _of(ours, "loaded_s"), _of(cold, "loaded_s"), _COLD),
        _ms("exec to one real photo, caches warm", _of(ours, "ready_s"), _of(theirs, "ready_s")),
        _ms("exec to one real photo, Numba's cache absent", _of(ours, "ready_s"), _of(cold, "ready_s")),
    ]


def _of(starts: Sequence[_Start], name: str) -> float:
    return median(float(getattr(start, name)) for start in starts)


def _ms(
    what: str, ours_s: float, theirs_s: float, ratio: float | None = None, most_ms: float | None = None
) -> Row:
    ours_ms, theirs_ms = ours_s * 1000, theirs_s * 1000
    return Row(what=what, unit="ms", ours=ours_ms, theirs=theirs_ms, ratio_at_most=ratio, at_most=most_ms)


def _forwards(published: Path, side_px: int, rounds: int) -> Iterator[Row]:
    """Measure the network alone in what this CPU multiplies in; theirs is as published, float32."""
    tensors = fold(read_published(published))
    small = square(decode(PHOTO.read_bytes()).rgb, side_px)
    with Package() as package:
        package.load(published, side_px)
        for precision in reversed(precisions(torch.device("cpu"))):
            network = build_inspyrenet(tensors, OneDnnLayers(precision), side_px)
            what = f"forward at {side_px}, {name_of(precision)}"
            ours = timed(partial(network, small))
            turns = in_turns(what, rounds, ours, lambda: [package.saliency(small.numpy())[1]])
            yield _ms(what, median(turns.ours), median(turns.theirs), _FORWARD[precision])


def _foregrounds(photos: Mapping[str, Path], rounds: int) -> Iterator[Row]:
    for name, path in photos.items():
        rgb = decode(path.read_bytes()).rgb
        furry = matte_of(*rgb.shape[:2], rim_px=_RIM_SHARE * rgb.shape[0])
        yield from foreground.measure(rgb, [furry], rounds, f"foreground, {name}")


def _wholes(published: Path, converted: Path, photos: Mapping[str, Path], rounds: int) -> list[Row]:
    """Make RGBA pixels of a photo's file on both sides, in turns; the smallest photo warms them."""
    rows = []
    with started("ours", converted) as ours, started("theirs", published) as theirs:
        for name, path in photos.items():
            pairs = [(ours.photo(path), theirs.photo(path)) for _ in track(range(rounds + 1), name)][1:]
            our, their = zip(*pairs, strict=True)
            rows.append(_ms(f"whole photo, {name}", _whole(our), _whole(their)))
            ratio = _WITHOUT_NETWORK if name == "12 MP" else None
            rows.append(_ms(f"whole photo without the network, {name}", _rest(our), _rest(their), ratio))
            rows.append(_peak(name, our[-1], their[-1]))
    return rows


def _whole(photos: Sequence[Photo]) -> float:
    return median(photo.seconds for photo in photos)


def _rest(photos: Sequence[Photo]) -> float:
    return median(photo.seconds - photo.network_s for photo in photos)


def _peak(name: str, ours: Photo, theirs: Photo) -> Row:
    """Return the most that the processes have held, torch included, up to this photo."""
    ours_mb, theirs_mb = ours.peak_bytes / 1e6, theirs.peak_bytes / 1e6
    return Row(what=f"peak memory, {name}", unit="MB", ours=ours_mb, theirs=theirs_mb, ratio_at_most=_PEAK)
