"""A store over a fake Cloud Storage, whose waiting between tries takes no time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from shared.gcs import GcsStore, connect
from shared.gcs_patience import Patience
from tests.gcs_fake import GcsFake, running


def connected(fake: GcsFake, patience: Patience | None = None) -> GcsStore:
    """Connect to a fake as the services do, through the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        return connect("photos", patience=patience)


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
    naps = Naps()
    with running() as fake:
        store = connected(fake, Patience(**patience, sleep=naps.sleep, monotonic=naps.monotonic))
        try:
            yield GcsWorld(fake, store, naps)
        finally:
            fake.released.set()
            store._calls._client.close()
