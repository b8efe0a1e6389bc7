"""A checkpoint that is not what it should be is refused in a sentence, and nothing in it is ever run."""

import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from shared.checkpoints import CHECKPOINTS, Checkpoint, CheckpointError
from tests.checkpoints import vouched_for
from worker.matting.digests import Digests
from worker.matting.published import shapes
from worker.matting.weights import Weights, read_verified, read_weights, verified_file, write_converted

ENGINE = "inspyrenet-fast"


def refusal(file: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_weights(Digests.begin(file), ENGINE)
    return str(caught.value)


def saved(folder: Path, content) -> Path:
    file = folder / "ckpt_fast.pth"
    torch.save(content, file)
    return file


def test_a_file_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    assert "cutout model fetch" in refusal(tmp_path / "ckpt_fast.pth")


def test_a_file_that_nobody_vouches_for_is_not_opened(tmp_path: Path) -> None:
    assert "expected 9efdbfbcc49b79ef0f7891c83d2fd52f" in refusal(saved(tmp_path, {}))


def test_a_file_is_not_what_stands_beside_it(tmp_path: Path) -> None:
    file = vouched_for(saved(tmp_path, {}))
    file.write_bytes(file.read_bytes()[:-1])
    assert "is not what stands there" in refusal(file)


def test_the_other_engines_checkpoint_is_named(tmp_path: Path) -> None:
    """Both have the same names and shapes: only the digest tells 384 from 1024."""
    file = saved(tmp_path, {})
    md5 = hashlib.md5(file.read_bytes()).hexdigest()
    published = {
        name: Checkpoint(engine=name, side_px=1, file=name, md5=md5 if name == "inspyrenet-base" else "0")
        for name in CHECKPOINTS
    }
    with pytest.raises(CheckpointError, match="is the checkpoint of inspyrenet-base, expected that of"):
        Digests.begin(file).require_known(ENGINE, published)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return Path.mkdir, (self.folder,)


@pytest.mark.parametrize("write", [torch.save, lambda trap, file: file.write_bytes(pickle.dumps(trap))])
def test_a_pickle_that_wants_to_run_code_is_refused_even_if_somebody_vouches_for_it(
    write, tmp_path: Path
) -> None:
    file = tmp_path / "ckpt_fast.pth"
    write({"backbone": Trap(tmp_path / "ran")}, file)
    assert "does not hold tensors and nothing else" in refusal(vouched_for(file))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused_even_if_somebody_vouches_for_it(kept: float, tmp_path: Path) -> None:
    file = saved(tmp_path, {"backbone": torch.rand(100, 100)})
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])
    assert "does not hold tensors and nothing else" in refusal(vouched_for(file))


@pytest.mark.parametrize("content", [[], {"a": 1}, torch.zeros(3)])
def test_what_holds_no_tensors_by_name_is_refused(content, tmp_path: Path) -> None:
    assert "does not hold tensors by their names" in refusal(vouched_for(saved(tmp_path, content)))


def test_weights_of_another_network_are_refused_by_the_first_few_that_differ(tmp_path: Path) -> None:
    tensors = {name: torch.tensor(0.0).expand(shape) for name, shape in shapes()}
    del tensors["attention0.threshold"]
    tensors["decoder.conv5.conv.weight"] = torch.zeros(2, 64, 3, 3)
    tensors["head.weight"] = torch.zeros(2)
    said = refusal(vouched_for(saved(tmp_path, tensors)))
    assert "3 tensors differ" in said
    assert "decoder.conv5.conv.weight is (2, 64, 3, 3), expected (1, 64, 3, 3)" in said


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    file = tmp_path / "inspyrenet-fast.safetensors"
    weights = Weights(tensors={"a": torch.rand(50, 50), "b": torch.rand(7)}, sha256="5" * 64)
    write_converted(weights, ENGINE, torch.float32, file)
    return file


def test_a_converted_file_gives_back_what_was_converted(converted: Path) -> None:
    weights = read_weights(Digests.begin(converted), ENGINE)
    assert (weights.sha256, weights.tensors.keys(), weights.verified) == ("5" * 64, {"a", "b"}, {})


def test_a_converted_file_is_for_one_engine(converted: Path) -> None:
    with pytest.raises(CheckpointError, match="is for inspyrenet-fast, expected one for inspyrenet-base"):
        read_weights(Digests.begin(converted), "inspyrenet-base")


@pytest.mark.parametrize("place", [-1, -5000, 30, 60, 90, 120])
def test_a_converted_file_with_one_byte_changed_is_refused(converted: Path, place: int) -> None:
    data = bytearray(converted.read_bytes())
    data[place] ^= 1
    converted.write_bytes(data)
    assert "damaged" in refusal(converted) or "not written by this version" in refusal(converted)


@pytest.mark.parametrize("kept", [0, 5, 100, 5000])
def test_a_truncated_converted_file_is_refused(converted: Path, kept: int) -> None:
    converted.write_bytes(converted.read_bytes()[:kept])
    assert "damaged" in refusal(converted)


def test_a_file_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, file)
    assert "was not written by this version" in refusal(file)


def test_what_was_verified_counts_for_that_file_alone(converted: Path) -> None:
    record = {"sha256": "5" * 64, "passed": {"float32": {}, "bfloat16": {}}}
    verified_file(converted).write_text(json.dumps(record))
    assert read_weights(Digests.begin(converted), ENGINE).verified == record["passed"]
    verified_file(converted).write_text(json.dumps(record | {"sha256": "6" * 64}))
    assert read_weights(Digests.begin(converted), ENGINE).verified == {}
    verified_file(converted).unlink()
    assert read_verified(Digests.begin(converted)) == {}
