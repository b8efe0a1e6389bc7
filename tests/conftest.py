"""What more than one file of tests needs: a Pub/Sub emulator for each process, a world at an address."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from ops.emulator import MISSING, is_installed
from tests.api_world import ApiWorld
from tests.emulator import running
from tests.served import Served, serving
from tests.system import in_ci

#: Markers whose tests make runs apart, and from the files alone in which they are written.
STAGES = ("system", "parity", "exhaustive")
#: The files that take longest, to be begun first: a stage is over when its last file is.
LONGEST = ("test_protocols", "test_images", "test_chaos", "test_system", "test_parity_at_1024", "test_parity")
UNSEEN = pytest.StashKey[list[str]]()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that has us run in the background says so; the commands that tests interrupt would not notice.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note whose marker stands elsewhere, before other stages' tests are left out; put long files first."""
    text = {path: path.read_text() for path in {item.path for item in items}}
    config.stash[UNSEEN] = [
        f"{item.nodeid}: {stage}"
        for item in items
        for stage in STAGES
        if item.get_closest_marker(stage) and f"mark.{stage}" not in text[item.path]
    ]
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(LONGEST)))


@pytest.fixture
def unseen(request: pytest.FixtureRequest) -> list[str]:
    """The tests, of all that were collected here, that make does not find for their stage."""
    return request.config.stash[UNSEEN]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs an emulator where there is none, with one line for all; in CI it is an error."""
    if item.get_closest_marker("emulator") and not in_ci() and not is_installed():
        pytest.skip(MISSING)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory) -> Iterator[str]:
    """The host and port of an emulator that this process's tests share, each in a project of its own."""
    with running(tmp_path_factory.mktemp("emulator")) as address:
        yield address


@pytest.fixture(scope="session")
def package() -> Iterator[Any]:
    """The published package, which takes seconds to start: this process's tests share it."""
    from tests.package_side import SharedPackage  # noqa: PLC0415 - arrays, which most tests do without

    with SharedPackage() as package:
        yield package


@pytest.fixture
def served(world: ApiWorld) -> Iterator[Served]:
    """A file's own ``world``, at an address."""
    with serving(world) as served:
        yield served
