"""The images hold what their services need and no more, and serve from a root that is read-only.

Every instruction is carried out but one: torch for CUDA is not installed. The base image is this machine.
"""

import hashlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from bench.dockerfiles import read
from bench.dry_build import Builder, BuildError, Image, context_files
from bench.sandbox import SandboxUnavailableError, require_sandbox
from shared import messages
from shared.checkpoints import CHECKPOINTS
from shared.push import Pusher
from shared.sqlite_queue import SqliteQueue
from shared.subscriptions import Subscription
from tests import loopback
from tests.containers import Container
from tests.system import in_ci

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parent.parent
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text()
PHOTO = ROOT / "tests" / "photos" / "cat.jpg"
WEIGHTS = b"weights"
REVISION = "0123abc"

#: Libraries of Debian's libc6, libgcc-s1, libstdc++6 and zlib1g, which every slim image has.
SLIM_HAS = (
    r"(/lib64/)?(ld-linux-x86-64|lib(c|dl|gcc_s|m|mvec|pthread|rt|stdc\+\+|util|z)|linux-vdso)\.so(\.\d+)*"
)


@pytest.fixture(scope="module", autouse=True)
def _sandbox() -> None:
    try:
        require_sandbox()
    except SandboxUnavailableError as error:
        if in_ci():
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Path:
    """The files that a build is sent, from a checkout that was made under umask 077."""
    folder = tmp_path_factory.mktemp("context")
    for name in [".dockerignore", *context_files(ROOT)]:
        (folder / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
        (folder / name).chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def layers(tmp_path_factory) -> Path:
    """What both images begin with, made once, as Docker does."""
    return tmp_path_factory.mktemp("layers")


def builder(
    service: str, context: Path, scratch: Path, layers: Path | None = None, **arguments: str
) -> Builder:
    """A builder that is told the revision and the digest of our weights, or what else is said."""
    (scratch / "fetched").write_bytes(WEIGHTS)
    return Builder(
        dockerfile=read(ROOT / f"Dockerfile.{service}"),
        context=context,
        scratch=scratch,
        arguments={"CUTOUT_REVISION": REVISION, "CHECKPOINT_MD5": md5(WEIGHTS), **arguments},
        fetched=scratch / "fetched",
        left_out={"torch"},
        layers=layers,
    )


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture(scope="module")
def api_image(context: Path, layers: Path, tmp_path_factory) -> Image:
    return builder("api", context, tmp_path_factory.mktemp("api"), layers).build()


@pytest.fixture(scope="module")
def worker_image(context: Path, layers: Path, tmp_path_factory) -> Image:
    return builder("worker", context, tmp_path_factory.mktemp("worker"), layers).build()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder that the images' user may write."""
    folder = tmp_path_factory.mktemp("data")
    folder.chmod(0o777)
    return folder


@pytest.fixture(scope="module")
def api(api_image: Image, data: Path):
    with Container(api_image, data) as container:
        yield container


@pytest.fixture(scope="module")
def worker(worker_image: Image, data: Path):
    with Container(worker_image, data, CUTOUT_ENGINE="grabcut", CUTOUT_DEVICE="cpu") as container:
        yield container


@pytest.fixture(params=["api", "worker"])
def service(request) -> str:
    return request.param


@pytest.fixture
def image(service: str, request) -> Image:
    return request.getfixturevalue(f"{service}_image")


@pytest.fixture
def container(service: str, request) -> Container:
    return request.getfixturevalue(service)


def files_of(image: Image, top: str) -> set[str]:
    paths = (path for path in (image.root / top).rglob("*") if "__pycache__" not in path.parts)
    return {str(path.relative_to(image.root / top)) for path in paths if path.is_file()}


def test_an_image_holds_its_service_and_what_it_shares_and_nothing_else(service: str, image: Image) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", service, "shared"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert files_of(image, "app") == set(listed.stdout.split())
    ours = {path.name for path in image.root.iterdir() if any(p.is_file() for p in path.rglob("*"))}
    assert ours == {"app", "venv"} | ({"checkpoint"} if service == "worker" else set())


def test_an_image_is_no_larger_than_was_last_measured(service: str, image: Image) -> None:
    """Field report 1: 41 to 97 s until a picture, from an image of 8 to 10 GB."""
    rows = json.loads((ROOT / "bench" / "results" / "image_sizes.json").read_text())["rows"]
    (measured_mb,) = [row["ours"] for row in rows if row["what"].startswith(f"{service}: packages")]
    assert image.size_bytes("venv") / 1e6 < 1.2 * measured_mb, "make bench-image-sizes, if that is meant"


def test_its_user_may_read_everything_and_change_nothing(image: Image) -> None:
    for path in image.root.rglob("*"):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode & 0o777
        needed = 0o005 if path.is_dir() else 0o004
        assert mode & 0o022 == 0, path
        assert mode & needed == needed, path
        assert path.stat().st_uid == 0, path


def test_a_container_is_ready_on_its_port_and_says_which_code_it_runs(container: Container) -> None:
    """Field report 9: the deployed code was not the code."""
    assert container.get("/ready").json()["status"] == "ready"
    assert container.get("/health").json()["revision"] == REVISION


def test_the_image_tells_its_revision_without_being_run(image: Image) -> None:
    """Field report 9."""
    assert image.labels == {"org.opencontainers.image.revision": REVISION}


def test_a_job_goes_from_one_image_to_the_other_and_carries_the_revision(
    api: Container, worker: Container, data: Path
) -> None:
    """Field report 9."""
    accepted = loopback.post(f"{api.url}/v1/jobs", files={"image": PHOTO.read_bytes()}, timeout=30)
    assert accepted.status_code == 202
    push = Subscription(name="push", topic=messages.JOBS, endpoint=f"{worker.url}/push", max_in_flight=1)
    pusher = Pusher(SqliteQueue(data / "queue.db"), [push])
    pusher.start()
    try:
        link = accepted.json()["links"]["self"]
        job = loopback.get(link, headers={"Prefer": "wait=20"}, timeout=30).json()
    finally:
        pusher.stop()
    assert job["status"] == "succeeded"
    assert loopback.get(job["results"]["color"]["url"]).content.startswith(b"\x89PNG")
    claim = data / "objects" / "jobs" / job["id"] / "e0" / "claims" / "1.json"
    assert json.loads(claim.read_text())["revision"] == REVISION


def test_a_container_writes_nowhere_but_where_it_may(container: Container) -> None:
    script = "id -u; echo ${HOME-none}; touch /app/x /venv/x /x; touch /tmp/x"
    done = container.run("sh", "-c", script)
    assert done.stdout.split() == ["10001", "none"]
    assert done.returncode == 0
    assert len(re.findall("Read-only file system", done.stderr)) == 3


@pytest.mark.parametrize(
    ("service", "absent"),
    [
        ("api", ("numpy", "cv2", "torch", "worker", "ops", "bench", "tests", "pip")),
        ("worker", ("api", "ops", "bench", "tests", "pip")),
    ],
    indirect=["service"],
)
def test_what_a_service_must_not_have_cannot_be_imported(container: Container, absent) -> None:
    script = f"import importlib.util as i; print([m for m in {absent} if i.find_spec(m)])"
    done = container.run(container.main.cmdline()[0], "-c", script)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_nothing_is_compiled_at_start(service: str, container: Container) -> None:
    """Field report 27: the first of everything in an instance was slow."""
    done = container.run("python", "-P", "-v", "-c", f"import {service}.app")
    assert done.returncode == 0
    loaded = re.findall(r"# code object from '?(/(?:app|venv)/\S+?)'?$", done.stderr, re.MULTILINE)
    assert len(loaded) > 100
    assert [path for path in loaded if not path.endswith(".pyc")] == []


def test_nothing_is_needed_of_the_base_that_the_slim_python_lacks(container: Container) -> None:
    done = container.run("sh", "-c", "find /venv -name '*.so*' -type f -exec ldd {} +")
    needed = re.findall(r"^\t(\S+)(?: => (.+?))?(?: \(0x.+)?$", done.stdout, re.MULTILINE)
    outside = {name for name, where in needed if name != "statically" and not where.startswith("/venv/")}
    assert "libc.so.6" in outside
    assert [name for name in outside if not re.fullmatch(SLIM_HAS, name)] == []


def test_sigterm_ends_process_1_in_order_and_in_time(image: Image, data: Path) -> None:
    with Container(image, data, CUTOUT_ENGINE="grabcut", CUTOUT_DEVICE="cpu") as container:
        assert "gunicorn" in " ".join(container.main.cmdline())
        began = time.monotonic()
        assert container.stop() == 0
        assert time.monotonic() - began < 8


def test_a_build_without_a_revision_says_how_to_give_one(service: str, context: Path, tmp_path) -> None:
    """Field report 9."""
    with pytest.raises(BuildError, match=r"--build-arg CUTOUT_REVISION=\$\(git rev-parse HEAD\)"):
        builder(service, context, tmp_path, CUTOUT_REVISION="").build()


def test_a_checkpoint_with_another_digest_ends_the_build(context: Path, tmp_path) -> None:
    with pytest.raises(BuildError, match=f"md5 is {md5(WEIGHTS)}, expected CHECKPOINT_MD5={'0' * 32}"):
        builder("worker", context, tmp_path, CHECKPOINT_MD5="0" * 32).build()


def test_the_digests_are_those_that_the_weights_were_published_with() -> None:
    (line,) = [
        line
        for line in read(ROOT / "Dockerfile.worker").instructions
        if line.text.startswith("ARG CHECKPOINT_MD5")
    ]
    assert line.pairs["CHECKPOINT_MD5"] == "d692e3dd5fa1b9658949d452bebf1cda"


def test_the_checkpoint_is_where_the_worker_looks_for_it(worker: Container) -> None:
    done = worker.run("sh", "-c", f"cat $CUTOUT_CHECKPOINT/{CHECKPOINTS['inspyrenet-base'].file}")
    assert done.stdout == WEIGHTS.decode()


@pytest.mark.parametrize("engine", CHECKPOINTS)
def test_a_checkpoint_may_be_what_convert_wrote(context: Path, tmp_path, engine: str) -> None:
    """It has the verdict in it without which a worker runs float32."""
    written = CHECKPOINTS[engine].converted
    image = image_with(context, tmp_path, f"models/{written}", b"converted and vouched for")
    found = CHECKPOINTS[engine].find(image.root / "checkpoint")
    assert found == image.root / "checkpoint" / written
    assert found.read_bytes() == b"converted and vouched for"


def test_a_checkpoint_may_be_a_file_beside_the_dockerfile(context: Path, tmp_path) -> None:
    image = image_with(context, tmp_path, "ckpt_fast.pth", b"own")
    found = CHECKPOINTS["inspyrenet-fast"].find(image.root / "checkpoint")
    assert found is not None
    assert found.read_bytes() == b"own"


def image_with(context: Path, tmp_path: Path, name: str, weights: bytes) -> Image:
    """Return the stage that has the checkpoint, built with a file of the context."""
    shutil.copytree(context, tmp_path / "context")
    file = tmp_path / "context" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(weights)
    (tmp_path / "scratch").mkdir()
    arguments = {"CHECKPOINT": name, "CHECKPOINT_MD5": md5(weights)}
    return builder("worker", tmp_path / "context", tmp_path / "scratch", **arguments).build("checkpoint")


def test_what_no_test_can_install_is_listed_for_the_first_real_build(context: Path, tmp_path) -> None:
    """torch for CUDA is a few gigabytes from an index of its own, and runs on a GPU alone."""
    (command,) = builder("worker", context, tmp_path).not_run()
    assert "--group torch" in command
    assert builder("api", context, tmp_path).not_run() == []
    assert "stage `torch`" in DEPLOYMENT
