"""``./cutout model convert`` writes over nothing but what it wrote itself, and what it writes can be read."""

import json
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from shared.checkpoint_files import read_facts
from shared.checkpoints import CheckpointError
from worker.matting.convert import convert, write
from worker.matting.weights import Weights, write_converted

ENGINE = "inspyrenet-fast"
WEIGHTS = Weights(tensors={"a": torch.rand(4)}, sha256="5" * 64)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Weights that nobody vouches for: converting them ends at the latest when they are read."""
    file = tmp_path / "own.pth"
    file.write_bytes(b"weights of their own")
    return file


def linked(name: Path, file: Path) -> Path:
    name.symlink_to(file)
    return name


def hard_linked(name: Path, file: Path) -> Path:
    name.hardlink_to(file)
    return name


@pytest.mark.parametrize(
    "named",
    [
        lambda source: source,
        lambda source: source.parent / ".." / source.parent.name / source.name,
        lambda source: linked(source.with_name("link.safetensors"), source),
        lambda source: hard_linked(source.with_name("link.safetensors"), source),
    ],
    ids=["itself", "by another way", "a link", "a hard link"],
)
def test_a_checkpoint_is_never_written_over_by_what_is_made_of_it(source: Path, named) -> None:
    target = named(source)
    with pytest.raises(CheckpointError, match=f"{target} is {source} itself.*Nothing was written"):
        convert(ENGINE, source, target)
    assert source.read_bytes() == b"weights of their own"


def somebodys_safetensors(file: Path) -> None:
    save_file({"a": torch.rand(4)}, file, {"format": "pt"})


@pytest.mark.parametrize(
    "lies_there",
    [lambda file: file.write_bytes(b"a photo"), lambda file: file.touch(), somebodys_safetensors],
    ids=["something else", "an empty file", "somebody's safetensors"],
)
def test_a_file_that_convert_did_not_write_is_left_where_it_is(source: Path, lies_there) -> None:
    target = source.with_name("own.safetensors")
    lies_there(target)
    before = target.read_bytes()
    with pytest.raises(CheckpointError, match=f"{target} is not what `./cutout model convert` writes"):
        convert(ENGINE, source, target)
    assert target.read_bytes() == before


@pytest.mark.parametrize("layout", ["cutout-inspyrenet-2", "cutout-inspyrenet-1"])
def test_what_convert_wrote_in_any_version_may_be_written_again(source: Path, layout: str) -> None:
    target = source.with_name("own.safetensors")
    write_converted(WEIGHTS, ENGINE, torch.float32, target)
    target.write_bytes(target.read_bytes().replace(b"cutout-inspyrenet-2", layout.encode()))
    with pytest.raises(CheckpointError, match="has the md5"):  # the target was taken, the source is refused
        convert(ENGINE, source, target)
    write(WEIGHTS, ENGINE, torch.float32, target)
    assert read_facts(target)["engine"] == ENGINE


@pytest.mark.parametrize("name", ["own", "own.pt", "own.safetensors.bak"])
def test_a_name_by_which_nobody_would_load_it_is_refused(source: Path, name: str) -> None:
    target = source.with_name(name)
    with pytest.raises(CheckpointError, match=rf"{target} does not end in \.safetensors"):
        convert(ENGINE, source, target)
    assert list(source.parent.iterdir()) == [source]


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    target = tmp_path / "of" / "our-shop" / "own.safetensors"
    write(WEIGHTS, ENGINE, torch.float32, target)
    assert read_facts(target)["engine"] == ENGINE


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(source: Path) -> None:
    target = source / "own.safetensors"
    with pytest.raises(CheckpointError, match=f"{target} cannot be written: .*"):
        write(WEIGHTS, ENGINE, torch.float32, target)
    assert source.read_bytes() == b"weights of their own"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_whoever_the_umask_lets_read_may_read_it(tmp_path: Path, umask: int, mode: int) -> None:
    """The worker runs under another user than the operator who converted."""
    target, before = tmp_path / "own.safetensors", os.umask(umask)
    try:
        write(WEIGHTS, ENGINE, torch.float32, target)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert list(tmp_path.iterdir()) == [target], "nothing half made lies beside it"


def test_a_neighbour_that_is_named_like_a_half_made_file_is_left_alone(tmp_path: Path) -> None:
    neighbour = tmp_path / "own.part.safetensors"
    neighbour.write_bytes(b"weights of their own")
    write(WEIGHTS, ENGINE, torch.float32, tmp_path / "own.safetensors")
    assert neighbour.read_bytes() == b"weights of their own"


@pytest.mark.parametrize(
    "header", [{"__metadata__": None}, {"__metadata__": []}, {"__metadata__": "x"}, [], None, "[" * 100_000]
)
def test_a_header_that_is_no_table_is_a_damaged_file(tmp_path: Path, header) -> None:
    with pytest.raises(CheckpointError, match="is damaged: its header cannot be read"):
        read_facts(with_header(tmp_path / "a.safetensors", header))


@pytest.mark.parametrize("missing", ["digest", "engine", "sha256", "precision", "verified"])
def test_a_header_that_does_not_say_everything_is_a_damaged_file(tmp_path: Path, missing: str) -> None:
    file = tmp_path / "a.safetensors"
    write_converted(WEIGHTS, ENGINE, torch.float32, file)
    facts = dict(read_facts(file))
    for damaged in (facts.items() - {(missing, facts[missing])}, (facts | {missing: None}).items()):
        with pytest.raises(CheckpointError, match=f"is damaged: its header does not say its {missing}"):
            read_facts(with_header(file, {"__metadata__": dict(damaged)}))


def with_header(file: Path, header) -> Path:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    return file
