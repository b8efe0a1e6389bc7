"""A precision is run only where every photo came out as the package's, and float32's first."""

import json
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.checkpoints import vouched_for
from worker.matting.digests import Digests
from worker.matting.package_process import ROOT, Package, PackageEndedError
from worker.matting.published import shapes
from worker.matting.saliency import stretched
from worker.matting.verify import Comparison, PhotoError, _compared, keep, main, seen
from worker.matting.weights import read_verified, verified_file

CPU = torch.device("cpu")
LEVEL = 1 / 255


def compared(off: np.ndarray, precision: torch.dtype = torch.float32, ours_s: float = 1.0) -> Comparison:
    """Compare a map with one that is so far off."""
    expected = np.full(off.shape, 0.5)
    return _compared("cat.jpg", precision, CPU, (expected + off, expected), (ours_s, 2.0))


def far(pixels: int) -> np.ndarray:
    """A thousand pixels, of which so many are off by a little more than four levels."""
    off = np.zeros(1000)
    off[:pixels] = 4.01 * LEVEL
    return off


@pytest.mark.parametrize(
    ("off", "has_passed"),
    [
        (np.full(1000, 0.99 * LEVEL), True),
        (np.full(1000, -0.99 * LEVEL), True),
        (np.full(1000, 1.01 * LEVEL), False),
        (far(5), True),
        (far(6), False),  # though on average it is as good as the package
        (np.full(1000, np.nan), False),
        (np.where(np.arange(1000) == 7, np.nan, 0.0), False),
    ],
)
def test_a_photo_passes_by_its_mean_and_by_how_much_of_it_is_far_off(off, has_passed: bool) -> None:
    assert compared(off).has_passed is has_passed


GOOD, BAD = np.zeros(1000), far(6)


def kept(tmp_path: Path, comparisons: Sequence[Comparison]) -> tuple[Digests, dict[str, object]]:
    file = tmp_path / "ckpt_base.pth"
    file.write_bytes(b"weights")
    digests = Digests.begin(file)
    keep(digests, comparisons)
    return digests, json.loads(verified_file(file).read_text())


def test_a_precision_that_fails_on_one_photo_of_three_has_not_passed(tmp_path: Path) -> None:
    comparisons = [compared(GOOD)] * 3 + [compared(off, torch.bfloat16) for off in (GOOD, BAD, GOOD)]
    _, record = kept(tmp_path, comparisons)
    assert record["passed"].keys() == {"float32"}


def test_nothing_passes_where_float32_does_not(tmp_path: Path) -> None:
    comparisons = [compared(BAD), compared(GOOD, torch.bfloat16), compared(GOOD, torch.float16)]
    digests, record = kept(tmp_path, comparisons)
    assert record["passed"] == {}
    assert read_verified(digests) == {}


def test_the_record_says_of_which_file_on_what_device_how_near_and_how_fast(tmp_path: Path) -> None:
    times = 9.0, 2.0, 3.0
    comparisons = [compared(np.full(1000, s * LEVEL / 10), ours_s=s) for s in times]
    comparisons += [compared(GOOD, torch.bfloat16, ours_s=s / 2) for s in times]
    digests, record = kept(tmp_path, comparisons)
    assert (record["sha256"], record["torch"]) == (digests.sha256, torch.__version__)
    exact, rounded = record["passed"]["float32"], record["passed"]["bfloat16"]
    assert exact.pop("mean") == pytest.approx(0.9 * LEVEL), "the worst photo's"
    assert exact == {"photos": 3, "median_s": 3.0, "device": "cpu"}
    assert rounded == {"photos": 3, "mean": 0.0, "median_s": 1.5, "device": "cpu"}
    assert read_verified(digests) == json.loads(verified_file(digests.file).read_text())["passed"]


def test_every_map_is_stretched_by_itself_and_never_over_a_batch() -> None:
    faint, strong = torch.linspace(-1, 0, 64).view(1, 8, 8), torch.linspace(-9, 9, 64).view(1, 8, 8)
    together = stretched(torch.cat([faint, strong]))
    assert torch.equal(together, torch.cat([stretched(faint), stretched(strong)]))
    assert together.amin((1, 2)).tolist() == [0, 0]
    assert together.amax((1, 2)).tolist() == pytest.approx([1, 1])


COLOURS = np.repeat(np.repeat(np.uint8([[[200, 30, 30], [30, 30, 200]]]), 64, axis=0), 64, axis=1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_of_every_kind_that_the_product_takes_is_seen(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "photo"
    Image.fromarray(COLOURS).save(file, kind, quality=95)
    found = seen(file, 128).numpy()
    assert found.shape == (1, 128, 128, 3)
    assert np.abs(found[0, ::2].astype(int) - COLOURS)[:, [10, 50, 80, 120]].max() < 8


def test_heic_is_read_by_a_process_that_never_wrote_it(tmp_path: Path) -> None:
    import pillow_heif  # noqa: PLC0415 - only to write the one case

    file = tmp_path / "photo.heic"
    pillow_heif.from_pillow(Image.fromarray(COLOURS)).save(file)
    script = f"from worker.matting.verify import *; print(seen(Path({str(file)!r}), 128).shape)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "torch.Size([1, 128, 128, 3])\n", done.stderr


@pytest.mark.parametrize("damaged", [None, b"", b"no photo", b"\xff\xd8\xff\xe0 half a photo"])
def test_a_photo_that_cannot_be_opened_is_named_before_the_package_is_started(
    damaged: bytes | None, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("worker.matting.package_process._ENVIRONMENT", tmp_path / "no package is needed")
    (checkpoint := tmp_path / "own.pth").write_bytes(b"half a checkpoint")
    good, bad = tmp_path / "good.png", tmp_path / "bad.jpg"
    Image.fromarray(COLOURS).save(good)
    if damaged is not None:
        bad.write_bytes(damaged)
    with pytest.raises(PhotoError, match=f"{bad} cannot be compared: "):
        main("inspyrenet-fast", checkpoint, [good, bad])


def test_a_package_whose_process_has_ended_says_over_what(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("worker.matting.package_process._ENVIRONMENT", Path(sys.executable))
    with Package(side="keyword") as package:  # a module that ends at once
        for _ in range(2):  # the second asks a pipe that is broken
            with pytest.raises(PackageEndedError, match="ended over load; its last words are above"):
                package.load(tmp_path / "own.pth", 384)


def test_a_package_that_cannot_be_imported_is_a_sentence(monkeypatch, tmp_path: Path, capfd) -> None:
    monkeypatch.setattr("worker.matting.package_process._ENVIRONMENT", Path(sys.executable))
    torch.save({name: torch.tensor(0.0).expand(shape) for name, shape in shapes()}, tmp_path / "zeros.pth")
    checkpoint = vouched_for(tmp_path / "zeros.pth")
    Image.fromarray(COLOURS).save(tmp_path / "good.png")
    arguments = ["verify", "inspyrenet-fast", str(checkpoint), str(tmp_path / "good.png")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended, pytest.warns(RuntimeWarning, match="found in sys.modules"):
        runpy.run_module("worker.matting.verify", run_name="__main__")
    assert ended.value.code == "The package's process ended over load; its last words are above."
    assert "No module named 'transparent_background'" in capfd.readouterr().err
    assert not verified_file(checkpoint).exists()
