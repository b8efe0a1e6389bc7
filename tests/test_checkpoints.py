"""A checkpoint that is not what it should be is refused in a sentence, and nothing in it is ever run."""

import hashlib
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from shared.checkpoint_files import read_facts
from shared.checkpoints import CHECKPOINTS, Checkpoint, CheckpointError
from tests.checkpoints import vouched_for
from worker.matting.convert import convert
from worker.matting.digests import Digests
from worker.matting.folding import fold, folded_shapes
from worker.matting.inspyrenet_engine import load_inspyrenet
from worker.matting.published import shapes
from worker.matting.weights import Weights, read_verified, read_weights, verified_file, write_converted

ENGINE = "inspyrenet-fast"
#: Of a network that takes no 360 MB.
FOLDED = {"a": (50, 50), "b": (7,)}


def refusal(file: Path, engine: str = ENGINE) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_weights(Digests.begin(file), engine, FOLDED)
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


@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig"])
@pytest.mark.parametrize("end", ["", "\n", "  ckpt_fast.pth\r\n", " *ckpt_fast.pth\n"])
def test_a_digest_may_be_written_as_other_systems_do(encoding: str, end: str, tmp_path: Path) -> None:
    file = saved(tmp_path, {})
    digest = hashlib.sha256(file.read_bytes()).hexdigest().upper()
    file.with_name(f"{file.name}.sha256").write_text(f"{digest}{end}", encoding=encoding, newline="")
    Digests.begin(file).require_known(ENGINE)


@pytest.mark.parametrize(
    "written", [b"", b" \n", b"\xff\xfe5\x00", b"\x80" * 64, b"5" * 63, b"\xd9\xa5" * 64]
)
def test_what_is_no_digest_is_said_to_be_none(written: bytes, tmp_path: Path) -> None:
    file = saved(tmp_path, {})
    file.with_name(f"{file.name}.sha256").write_bytes(written)
    assert "ckpt_fast.pth.sha256 is not what `sha256sum` writes" in refusal(file)


def test_the_other_engines_checkpoint_is_named(tmp_path: Path) -> None:
    """Both have the same names and shapes: only the digest tells 384 from 1024."""
    file = saved(tmp_path, {})
    with pytest.raises(CheckpointError, match="is the checkpoint of inspyrenet-base, expected that of"):
        Digests.begin(file).require_known(ENGINE, published_as("inspyrenet-base", file))


@pytest.mark.parametrize("engine", ["inspyrenet-base", "inspyrenet-fast"])
def test_nobody_can_vouch_for_it_at_a_start_either(engine: str, tmp_path: Path) -> None:
    """A 384 checkpoint, fetched and given its sha256, was served as the engine of 1024; so was the other."""
    file, [other] = vouched_for(saved(tmp_path, {})), CHECKPOINTS.keys() - {engine}
    with pytest.raises(CheckpointError, match=f"is the checkpoint of {other}, expected that of {engine}"):
        Digests.begin(file).require_known(engine, published_as(other, file))
    Digests.begin(file).require_known(engine, published_as(engine, file))


def published_as(engine: str, file: Path) -> dict[str, Checkpoint]:
    md5 = hashlib.md5(file.read_bytes()).hexdigest()
    return {
        name: Checkpoint(engine=name, side_px=1, file=name, md5=md5 if name == engine else "0")
        for name in CHECKPOINTS
    }


def test_nobody_can_vouch_for_the_other_engines_checkpoint(tmp_path: Path) -> None:
    """At convert and verify time, when another digest may take its time."""
    file = vouched_for(saved(tmp_path, {}))
    with pytest.raises(CheckpointError, match="is the checkpoint of inspyrenet-base, expected that of"):
        Digests.begin(file).require_original(ENGINE, published_as("inspyrenet-base", file))
    Digests.begin(file).require_original(ENGINE, published_as(ENGINE, file))


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


@pytest.mark.parametrize("kept", [0, 1, 3, 14, 40, -1])
def test_a_file_whose_index_is_truncated_is_refused_even_if_somebody_vouches_for_it(
    kept: int, tmp_path: Path
) -> None:
    """What torch raises for it ranges from EOFError to struct.error."""
    file, names = saved(tmp_path, {"backbone": torch.rand(3)}), "ckpt_fast/data.pkl"
    with zipfile.ZipFile(file) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(file, "w") as cut:
        for name, data in parts.items():
            cut.writestr(name, data[:kept] if name == names else data)
    assert "does not hold tensors and nothing else" in refusal(vouched_for(file))


@pytest.mark.parametrize("kept", [1, 20, 200, -3])
def test_a_truncated_file_of_torchs_old_format_is_refused_even_if_somebody_vouches_for_it(
    kept: int, tmp_path: Path
) -> None:
    file = old_format(tmp_path, {"backbone": torch.rand(3)})
    file.write_bytes(file.read_bytes()[:kept])
    assert "does not hold tensors and nothing else" in refusal(vouched_for(file))


def old_format(folder: Path, content) -> Path:
    file = folder / "ckpt_fast.pth"
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file


def test_torchs_old_format_is_read_too(tmp_path: Path) -> None:
    """It was refused as if there were something else than tensors in it."""
    said = refusal(vouched_for(old_format(tmp_path, {"backbone": torch.rand(3)})))
    assert "does not hold the weights of InSPyReNet" in said


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
    return written(tmp_path / "inspyrenet-fast.safetensors")


def written(file: Path, precision: torch.dtype = torch.float32) -> Path:
    tensors = {name: torch.rand(shape) for name, shape in FOLDED.items()}
    write_converted(Weights(tensors=tensors, sha256="5" * 64), ENGINE, precision, file)
    return file


def test_a_converted_file_gives_back_what_was_converted(converted: Path) -> None:
    weights = read_weights(Digests.begin(converted), ENGINE, FOLDED)
    assert (weights.sha256, weights.tensors.keys(), weights.verified) == ("5" * 64, {"a", "b"}, {})
    assert weights.precision == "float32"


def test_a_converted_file_says_in_which_precision_its_weights_are(tmp_path: Path) -> None:
    file = written(tmp_path / "rounded.safetensors", torch.bfloat16)
    assert read_facts(file)["precision"] == "bfloat16"
    assert read_weights(Digests.begin(file), ENGINE, FOLDED).precision == "bfloat16"


def test_what_maps_contexts_is_never_rounded(tmp_path: Path) -> None:
    """In float16 it would be next to nothing: contexts are sums over a million pixels."""
    names = ("attention0.conv_key.0.weight", "attention0.conv_query.0.weight")
    tensors = {name: torch.full((2, 2), 1e-7) for name in names}
    file = tmp_path / "rounded.safetensors"
    write_converted(Weights(tensors=tensors, sha256="5" * 64), ENGINE, torch.float16, file)
    found = read_weights(Digests.begin(file), ENGINE, dict.fromkeys(names, (2, 2))).tensors
    assert [found[name].dtype for name in names] == [torch.float32, torch.float16]


def test_a_converted_file_is_for_one_engine(converted: Path) -> None:
    assert "is for inspyrenet-fast, expected one for inspyrenet-base" in refusal(converted, "inspyrenet-base")


def test_a_converted_file_of_another_network_is_refused_by_the_first_few_that_differ(converted: Path) -> None:
    """One that was converted by another version of the network, say."""
    with pytest.raises(CheckpointError) as caught:
        read_weights(Digests.begin(converted), ENGINE, {"a": (50, 51), "b": (7,), "c": (1,)})
    assert "2 tensors differ: a is (50, 50), expected (50, 51); c is None, expected (1,)" in str(caught.value)
    with pytest.raises(CheckpointError, match=f"{len(folded_shapes()) + 2} tensors differ"):
        read_weights(Digests.begin(converted), ENGINE)


def test_the_shapes_that_are_expected_are_those_that_folding_gives() -> None:
    folded = fold({name: torch.tensor(0.0).expand(shape) for name, shape in shapes()})
    assert folded_shapes() == {name: tuple(tensor.shape) for name, tensor in folded.items()}


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
    assert read_weights(Digests.begin(converted), ENGINE, FOLDED).verified == record["passed"]
    verified_file(converted).write_text(json.dumps(record | {"sha256": "6" * 64}))
    assert read_weights(Digests.begin(converted), ENGINE, FOLDED).verified == {}
    verified_file(converted).unlink()
    assert read_verified(Digests.begin(converted)) == {}


@pytest.mark.parametrize(
    "damaged", [b"", b'{"sha256": "5', b"[]", b"{}", b'{"sha256": "%b", "passed": 1}', b"\xff"]
)
def test_half_a_verdict_is_no_verdict_and_says_what_to_do(converted: Path, damaged: bytes) -> None:
    digests = Digests.begin(converted)
    verified_file(converted).write_bytes(damaged.replace(b"%b", digests.sha256.encode()))
    try:
        with pytest.raises(CheckpointError, match=r"is not what `./cutout model verify` writes.*run it"):
            read_verified(digests)
    finally:
        verified_file(converted).unlink()


@pytest.fixture(scope="module")
def zeros(tmp_path_factory) -> Path:
    """A checkpoint of the published shapes, which somebody vouches for and nobody has verified."""
    tensors = {name: torch.tensor(0.0).expand(shape) for name, shape in shapes()}
    return vouched_for(saved(tmp_path_factory.mktemp("zeros"), tensors))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_weights_are_not_rounded_before_that_has_passed(zeros: Path, precision: str, tmp_path: Path) -> None:
    """The worker would calculate in float32 with weights that nobody compared with anything."""
    target = tmp_path / "inspyrenet-fast.safetensors"
    verified_file(zeros).write_text(json.dumps({"sha256": "6" * 64, "passed": {precision: {}}}))
    with pytest.raises(
        CheckpointError, match=rf"has not passed in {precision}: run `\./cutout model verify`"
    ):
        convert(ENGINE, zeros, target, precision)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def rounded(zeros: Path) -> Path:
    """What is made of it once it has passed."""
    record = {"sha256": Digests.begin(zeros).sha256, "passed": {"float32": {}, "bfloat16": {}}}
    verified_file(zeros).write_text(json.dumps(record))
    target = zeros.with_name("inspyrenet-fast.safetensors")
    convert(ENGINE, zeros, target, "bfloat16")
    return target


def test_weights_are_rounded_in_a_precision_that_has_passed(zeros: Path, rounded: Path) -> None:
    weights = read_weights(Digests.begin(rounded), ENGINE)
    assert weights.precision == "bfloat16"
    assert weights.verified.keys() == {"float32", "bfloat16"}
    assert rounded.stat().st_size < 200_000_000
    with pytest.raises(CheckpointError, match="was converted already"):
        convert(ENGINE, rounded, zeros.with_name("again.safetensors"))


def test_an_engines_version_tells_rounded_weights_apart(rounded: Path) -> None:
    """The port's rule: it changes whenever the same photo may give other bytes."""
    version = load_inspyrenet(ENGINE, Digests.begin(rounded), "cpu").version
    assert version.endswith(", weights in bfloat16)")
