"""The worker runs the engine that it was told to run, or says clearly why it does not."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from shared.checkpoints import CHECKPOINTS, CheckpointError
from shared.settings import Settings
from tests.checkpoints import vouched_for
from worker.engine import build_engine
from worker.matting import DeviceMissingError, transparent_background
from worker.matting.devices import choose_device, choose_precision, layers_for, precisions
from worker.matting.package_process import PackageMissingError
from worker.matting.weights import Weights, write_converted


def settings(engine: str, checkpoint: Path, device: str = "auto") -> Settings:
    return Settings(store=Path("/o"), queue=Path("/q"), engine=engine, checkpoint=checkpoint, device=device)


def test_auto_takes_grabcut_loudly_while_there_is_no_checkpoint(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert build_engine(settings("auto", tmp_path)).name == "grabcut"
    [record] = caplog.records
    assert record.message == "engine.fallback"
    assert record.reason == f"no checkpoint lies in the folder {tmp_path}"


@pytest.mark.parametrize("engine", ["auto", "inspyrenet-fast", "inspyrenet-base", "transparent-background"])
def test_a_damaged_checkpoint_is_never_passed_over(engine: str, tmp_path: Path) -> None:
    """Field report 33: what cannot be loaded ends the worker; it does not serve on something else."""
    for name in ("ckpt_fast.pth", "ckpt_base.pth"):
        (tmp_path / name).write_bytes(b"half a checkpoint")
    with pytest.raises(CheckpointError, match="it is damaged, or not what was published"):
        build_engine(settings(engine, tmp_path))


def test_an_engine_that_was_named_and_has_no_checkpoint_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"ckpt_base\.pth is not a file"):
        build_engine(settings("inspyrenet-base", tmp_path))


@pytest.mark.parametrize("name", ["ckpt_base.pth", "ckpt_fast.pth"])
def test_auto_takes_a_file_that_is_named_for_the_engine_of_its_name(name: str, tmp_path: Path) -> None:
    """Its digest is compared with that of the engine."""
    file = tmp_path / name
    file.write_bytes(b"half a checkpoint")
    [expected] = [checkpoint.md5 for checkpoint in CHECKPOINTS.values() if checkpoint.file == name]
    with pytest.raises(CheckpointError, match=f"expected {expected}: it is damaged"):
        build_engine(settings("auto", file))


def test_auto_takes_a_converted_file_for_the_engine_that_it_says(tmp_path: Path) -> None:
    file = converted(tmp_path / "of-our-shop.safetensors", "inspyrenet-fast")
    with pytest.raises(CheckpointError, match=rf"{file} does not hold the weights of InSPyReNet"):
        build_engine(settings("auto", file))


def converted(file: Path, engine: str) -> Path:
    write_converted(Weights(tensors={"a": torch.rand(4)}, sha256="5" * 64), engine, torch.float32, file)
    return file


def test_auto_does_not_guess_whose_a_file_is(tmp_path: Path) -> None:
    file = tmp_path / "of-our-shop.pth"
    file.write_bytes(b"weights")
    with pytest.raises(CheckpointError, match=f"auto cannot tell which engine {file} is for"):
        build_engine(settings("auto", file))
    file = file.with_suffix(".safetensors")
    file.write_bytes(b"weights")
    with pytest.raises(CheckpointError, match="is damaged"):
        build_engine(settings("auto", file))


def test_a_file_that_was_named_and_is_not_there_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"ckpt_fast\.pth is not a file"):
        build_engine(settings("auto", tmp_path / "ckpt_fast.pth"))


def test_the_package_is_given_the_published_file_beside_which_a_converted_one_lies(tmp_path: Path) -> None:
    (tmp_path / "ckpt_base.pth").write_bytes(b"half a checkpoint")
    converted(tmp_path / "inspyrenet-base.safetensors", "inspyrenet-base")
    with pytest.raises(CheckpointError, match=r"ckpt_base\.pth has the md5 .*: it is damaged"):
        build_engine(settings("transparent-background", tmp_path))


def test_the_package_is_not_given_what_holds_no_tensors(tmp_path: Path) -> None:
    (tmp_path / "ckpt_base.pth").write_bytes(b"weights")
    vouched_for(tmp_path / "ckpt_base.pth")
    with pytest.raises(CheckpointError, match="does not hold tensors and nothing else"):
        build_engine(settings("transparent-background", tmp_path))


@pytest.mark.parametrize("named", ["", "inspyrenet-base.safetensors"])
def test_the_package_does_not_take_a_converted_file(named: str, tmp_path: Path) -> None:
    file = converted(tmp_path / "inspyrenet-base.safetensors", "inspyrenet-base")
    with pytest.raises(CheckpointError, match=f"{file} was converted, .* takes ckpt_base.pth as published"):
        build_engine(settings("transparent-background", tmp_path / named))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_gpu_that_was_asked_for_and_is_not_there_is_not_replaced_by_the_cpu() -> None:
    """Field report 33: GPU failure fell back to CPU in silence."""
    with pytest.raises(DeviceMissingError, match="never falls back"):
        choose_device("cuda")


@pytest.mark.parametrize("engine", ["grabcut", "auto"])
def test_a_gpu_that_was_asked_for_is_not_left_aside_by_an_engine_that_cannot_use_it(
    engine: str, tmp_path: Path
) -> None:
    """Field report 33: GPU failure fell back to CPU in silence."""
    with pytest.raises(DeviceMissingError, match=r"CUTOUT_DEVICE is cuda.* grabcut, .*on the CPU") as caught:
        build_engine(settings(engine, tmp_path, "cuda"))
    assert ("no checkpoint lies in the folder" in str(caught.value)) is (engine == "auto")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_grabcut_runs_where_no_gpu_was_asked_for(device: str, tmp_path: Path) -> None:
    assert build_engine(settings("grabcut", tmp_path, device)).name == "grabcut"


@pytest.fixture
def with_cuda(monkeypatch) -> Iterator[None]:
    """A machine with a GPU, as far as is asked here; torch's own flags are put back."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda *, including_emulation: not including_emulation
    )
    flags = [(b, b.allow_tf32) for b in (torch.backends.cudnn, torch.backends.cuda.matmul)]
    for backend, _ in flags:
        backend.allow_tf32 = True
    yield
    for backend, was_allowed in flags:
        backend.allow_tf32 = was_allowed


@pytest.mark.parametrize("asked", ["cuda", "auto"])
@pytest.mark.usefixtures("with_cuda")
def test_float32_on_cuda_is_float32(asked: str) -> None:
    """CuDNN would round it to 10 bits, TF32, before it multiplies."""
    assert choose_device("cpu").type == "cpu"
    assert torch.backends.cudnn.allow_tf32, "the CPU has no say in what CUDA does"
    assert choose_device(asked).type == "cuda"
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert layers_for(torch.device("cuda"), torch.float32).dtype is torch.float32


CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def found_on(device: str, **seconds: float | None) -> dict[str, dict[str, object]]:
    """What ``model verify`` keeps, where these precisions have passed; ``None`` for no time."""
    return {name: {"device": device} | ({"median_s": s} if s else {}) for name, s in seconds.items()}


@pytest.mark.usefixtures("with_cuda")
def test_until_a_checkpoint_is_verified_it_runs_in_float32_and_that_is_said(caplog) -> None:
    elsewhere = found_on("cpu", bfloat16=1.0, float32=2.0)
    for verified in ({}, {"bfloat16": {}}, elsewhere):
        with caplog.at_level(logging.WARNING):
            assert choose_precision(CUDA, verified) is torch.float32
        [record] = caplog.records
        assert (record.message, record.wanted) == ("engine.unverified", "bfloat16")
        caplog.clear()


@pytest.mark.usefixtures("with_cuda")
def test_of_what_has_passed_the_fastest_that_was_measured_is_run(caplog) -> None:
    assert choose_precision(CUDA, found_on("cuda", bfloat16=0.03, float16=0.02, float32=0.1)) is torch.float16
    assert (
        choose_precision(CUDA, found_on("cuda", bfloat16=0.02, float16=0.03, float32=0.1)) is torch.bfloat16
    )
    assert choose_precision(CUDA, found_on("cuda", bfloat16=0.2, float32=0.1)) is torch.float32
    assert choose_precision(CUDA, found_on("cuda", float16=0.02, float32=0.1)) is torch.float16
    assert choose_precision(CUDA, found_on("cuda", float32=0.1)) is torch.float32
    assert not caplog.records, "all of these were verified"


@pytest.mark.usefixtures("with_cuda")
def test_where_no_time_was_taken_the_order_of_the_precisions_stands() -> None:
    assert precisions(CUDA) == (torch.bfloat16, torch.float16, torch.float32)
    passed = found_on("cuda", float32=None, float16=None, bfloat16=None)
    assert choose_precision(CUDA, passed) is torch.bfloat16
    del passed["bfloat16"]
    assert choose_precision(CUDA, passed) is torch.float16


def test_a_gpu_that_only_emulates_bfloat16_is_not_asked_to(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: including_emulation)
    assert precisions(CUDA) == (torch.float16, torch.float32)


@pytest.mark.parametrize(
    ("capability", "has_bfloat16", "has_amx"),
    [
        ("AVX2", False, False),
        ("AVX2", True, True),  # torch was told to keep to AVX2
        ("AVX512", False, False),  # oneDNN says that it can, and converts
        ("AVX512", True, False),
        ("AVX512", False, True),
    ],
)
def test_a_cpu_that_does_not_multiply_bfloat16_is_not_asked_to(
    monkeypatch, caplog, capability, has_bfloat16, has_amx
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bfloat16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_amx)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    best = torch.bfloat16 if capability == "AVX512" and (has_bfloat16 or has_amx) else torch.float32
    assert precisions(CPU)[0] is best
    assert choose_precision(CPU, found_on("cpu", bfloat16=1.0, float32=2.0)) is best
    assert not caplog.records, "there is nothing to verify"


BUILD = """import sys
from pathlib import Path
from shared.settings import Settings
from worker.engine import build_engine
def build(engine, checkpoint=None):
    return build_engine(Settings(store=Path("/o"), queue=Path("/q"), engine=engine, checkpoint=checkpoint))
"""


def elsewhere(code: str) -> str:
    """What another process prints."""
    done = subprocess.run([sys.executable, "-c", BUILD + code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_grabcut_does_not_import_torch() -> None:
    assert elsewhere("build('grabcut')\nprint('torch' in sys.modules)") == "False"


@pytest.mark.parametrize("engine", ["auto", "inspyrenet-fast", "inspyrenet-base", "transparent-background"])
def test_without_torch_it_is_said_how_to_install_it(engine: str, tmp_path: Path) -> None:
    file = tmp_path / "ckpt_base.pth"
    file.write_bytes(b"weights")
    said = elsewhere(
        "sys.modules['torch'] = None  # it cannot be imported\n"
        f"try: build({engine!r}, Path({str(file)!r}))\nexcept Exception as error: print(error)"
    )
    assert said == "torch is not installed; `pip install --group torch -c constraints.txt` does it"


@pytest.mark.skipif(find_spec("transparent_background") is not None, reason="the package is installed here")
def test_without_the_package_it_is_said_how_to_install_it() -> None:
    with pytest.raises(
        PackageMissingError, match=r"No module named 'transparent_background'.*pip install --group"
    ):
        transparent_background.package()
