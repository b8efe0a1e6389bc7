"""A store over a fake Cloud Storage, whose waiting between tries takes no time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.gcs import GcsStore, connect
from shared.gcs_patience import Patience
from tests.gcs_fake import GcsFake, running
from tests.gcs_wire import lay


def connected(fake: GcsFake, patience: Patience | None = None) -> GcsStore:
    """Connect to a fake as the services do, through the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        return connect("photos", patience=patience)


def by_wire(fake: GcsFake, patience: Patience) -> GcsStore:
    """Connect to a fake that is not started; whoever waits for it does so by the patience's sleep."""
    store = connected(fake, patience)
    # It would look through the environment for proxies at each request, which takes a third of the time.
    store._calls._client._http.trust_env = False
    lay(store._calls._line, fake, patience.sleep)
    return store


def turned_patience(clock: Any) -> Patience:
    """Return the services' patience, by a clock that is turned where anybody waits."""
    return Patience(sleep=lambda seconds: clock.turn(seconds=seconds), monotonic=clock.monotonic)


@dataclass
class Naps:
    """A clock that runs as the host's does, and jumps where somebody would sleep."""

    slept_s: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.slept_s)


@dataclass
class GcsWorld:
    """The store, what it talks to, and the time it has napped."""

    fake: GcsFake
    store: GcsStore
    naps: Naps

    def kept(self, name: str) -> list[bytes]:
        """Every version of a name that was ever written."""
        return [version.data for version in self.fake.objects.written if version.name == name]


@contextmanager
def gcs_world(**patience: float) -> Iterator[GcsWorld]:
    """Lend a world; its calls have ten seconds, naps included."""
    with running() as fake, _over(fake, connected, **patience) as world:
        yield world


@contextmanager
def wired_world(**patience: float) -> Iterator[GcsWorld]:
    """Lend a world without a network, in which nobody waits for silence but in naps."""
    with _over(GcsFake(), by_wire, **patience) as world:
        yield world


@contextmanager
def _over(fake: GcsFake, connect: Callable[..., GcsStore], **patience: float) -> Iterator[GcsWorld]:
    naps = Naps()
    store = connect(fake, Patience(**patience, sleep=naps.sleep, monotonic=naps.monotonic))
    try:
        yield GcsWorld(fake, store, naps)
    finally:
        fake.released.set()
        store._calls._client.close()
