"""What the Dockerfiles say: bases that stay what they are, a numeric user, no secrets, all documented."""

import re
import tomllib
from pathlib import Path

import pytest

from bench.dockerfiles import Dockerfile, NotUnderstoodError, fill_in, read
from bench.dry_build import Builder, BuildError, context_files
from ops.data_folder import DataFolder
from ops.places import QueuePlace
from ops.up import GIVE_MEMORY_BACK, Wanted, child_environ
from shared.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text()
PYTHON = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["python_version"]


@pytest.fixture(params=["api", "worker"])
def service(request) -> str:
    return request.param


@pytest.fixture
def file(service: str) -> Dockerfile:
    return read(ROOT / f"Dockerfile.{service}")


def environ_of(file: Dockerfile) -> dict[str, str]:
    """What the last stage sets, with a revision filled in."""
    lines = [line for line in file.stages[-1].instructions if line.name == "ENV"]
    return {
        name: fill_in(word, {"CUTOUT_REVISION": "r"}) for line in lines for name, word in line.pairs.items()
    }


def test_every_stage_starts_from_one_pinned_python_or_from_an_earlier_stage(file: Dockerfile) -> None:
    earlier: set[str] = set()
    for stage in file.stages:
        assert stage.base == "${PYTHON_IMAGE}" or stage.base in earlier
        earlier.add(stage.alias)
    assert file.arguments.keys() == {"PYTHON_IMAGE"}
    pinned = rf"python:{re.escape(PYTHON)}\.\d+-slim-bookworm(@sha256:[0-9a-f]{{64}})?"
    assert re.fullmatch(pinned, file.arguments["PYTHON_IMAGE"])


def test_both_services_have_the_same_base_and_the_same_pip() -> None:
    api, worker = (read(ROOT / f"Dockerfile.{service}") for service in ("api", "worker"))
    assert api.arguments == worker.arguments
    installed = [
        [line.text for line in file.instructions if line.text.startswith("ARG PIP_VERSION")]
        for file in (api, worker)
    ]
    assert installed[0] == installed[1] != []


def test_the_base_can_be_given_by_its_digest(file: Dockerfile) -> None:
    digest = f"{file.arguments['PYTHON_IMAGE']}@sha256:{'0' * 64}"
    assert {fill_in(stage.base, {"PYTHON_IMAGE": digest}) for stage in file.stages if "$" in stage.base} == {
        digest
    }


def test_the_image_runs_as_a_numeric_user_who_is_nobody(file: Dockerfile) -> None:
    (user,) = [line.words for line in file.stages[-1].instructions if line.name == "USER"]
    uid, gid = map(int, user[0].split(":"))
    assert uid >= 10_000
    assert gid >= 10_000


def test_no_secret_is_built_in(file: Dockerfile) -> None:
    names = {
        name for line in file.instructions if line.name in {"ARG", "ENV", "LABEL"} for name in line.pairs
    }
    assert [name for name in names if re.search(r"KEY|SECRET|TOKEN|PASS|CREDENTIAL", name.upper())] == []


def test_what_the_image_sets_are_settings(file: Dockerfile) -> None:
    """Field report 36: 17 of 44 settings did anything."""
    given = {"CUTOUT_STORE": "file:///o", "CUTOUT_QUEUE": "sqlite:///q", "CUTOUT_SECRET_KEY": "s" * 32}
    assert Settings.from_environ({**given, **environ_of(file)}).revision == "r"


def test_a_worker_whose_gpu_is_not_there_does_not_serve_on_the_cpu() -> None:
    """Field report 33: its image has torch for CUDA, and asks for what it was built for."""
    assert environ_of(read(ROOT / "Dockerfile.worker"))["CUTOUT_DEVICE"] == "cuda"


def test_memory_is_handled_as_on_one_machine(service: str, file: Dockerfile, tmp_path) -> None:
    folder = DataFolder(tmp_path)
    folder.prepare()
    wanted = Wanted(port=0, data=tmp_path, engine="auto", slots=1, queue=QueuePlace(), store=None)
    tuned = child_environ(folder, wanted) | (GIVE_MEMORY_BACK if service == "api" else {})
    ours, theirs = (
        {name: value for name, value in environ.items() if name.startswith("MALLOC_")}
        for environ in (environ_of(file), tuned)
    )
    assert ours == theirs


def test_torch_comes_from_the_index_of_cuda_12_and_from_no_other() -> None:
    """Wheels for CUDA 13 do not run on Cloud Run's driver, and PyPI has those under the same version."""
    (stage,) = [stage for stage in read(ROOT / "Dockerfile.worker").stages if stage.alias == "torch"]
    index, install = stage.instructions
    assert index.pairs["TORCH_INDEX"].endswith("/cu126")
    first = install.words[0].split(" && ")[0]
    assert '--no-deps --index-url "${TORCH_INDEX}"' in first
    assert "--group torch" in first
    assert "extra-index" not in install.text
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert groups["torch"] == ["torch"]
    assert "torch" not in str(groups["worker"] + groups["api"])


def test_a_build_is_sent_nothing_but_what_is_copied() -> None:
    sent = context_files(ROOT)
    tops = {name.split("/")[0] for name in sent if not name.endswith((".pth", ".safetensors"))}
    # Docker itself needs .dockerignore, whatever it says.
    assert tops == {"api", "shared", "worker", "constraints.txt", "pyproject.toml", ".dockerignore"}
    assert [name for name in sent if "__pycache__" in name] == []


def test_every_build_argument_is_documented(file: Dockerfile) -> None:
    names = {name for line in file.instructions if line.name == "ARG" for name in line.pairs}
    assert [name for name in names | file.arguments.keys() if f"`{name}`" not in DEPLOYMENT] == []


@pytest.mark.parametrize(
    "text",
    [
        "RUN true",
        "FROM a b c",
        "FROM a\nRUN <<E\ntrue\nE\n",
        "FROM a\nRUN --mount=type=cache,target=/c true",
        "FROM a\nVOLUME /v",
        "FROM a\nUSER ${NOBODY}",
        "FROM a\nCOPY --chown=1 x /x",
    ],
)
def test_what_is_not_understood_is_never_guessed(text: str, tmp_path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(text)
    with pytest.raises(NotUnderstoodError):
        Builder(dockerfile=read(path), context=ROOT, scratch=tmp_path).build()


@pytest.mark.parametrize(
    "line", ["COPY nowhere /x", "COPY api shared /x", "COPY --from=b /x /x", "COPY tests /t"]
)
def test_what_a_copy_asks_for_must_be_there(line: str, tmp_path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(f"FROM a\n{line}")
    with pytest.raises(BuildError, match=line):
        Builder(dockerfile=read(path), context=ROOT, scratch=tmp_path).build()
