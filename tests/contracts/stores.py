"""Object stores under test: each adapter with a time that can be turned, and a second opening."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

from shared.folder_store import FolderStore
from shared.memory_store import MemoryStore
from shared.ports import ObjectStore
from tests.gcs_fake import running
from tests.gcs_world import connected


@dataclass
class Turned:
    """The time of the store's host, which a test may turn."""

    by: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by

    def now_ns(self) -> int:
        return time.time_ns() + self.by // timedelta(microseconds=1) * 1000


@dataclass
class StoreUnderTest:
    """A store whose time can be turned; another process would open it ``again``."""

    store: ObjectStore
    time: Turned
    again: Callable[[], ObjectStore]
    #: How coarse the time is that an answer carries; an age is short by this much at most.
    tick: timedelta = timedelta(0)


@contextmanager
def memory(_empty: Path) -> Iterator[StoreUnderTest]:
    turned = Turned()
    store = MemoryStore(turned.now)
    yield StoreUnderTest(store, turned, lambda: store)


@contextmanager
def folder(empty: Path) -> Iterator[StoreUnderTest]:
    turned = Turned()

    def again() -> ObjectStore:
        return FolderStore(empty / "objects", clock_ns=turned.now_ns)

    yield StoreUnderTest(again(), turned, again)


@contextmanager
def folder_of_names(empty: Path) -> Iterator[StoreUnderTest]:
    """A folder on a file system where every file has a name."""
    with folder(empty) as tested:

        def again() -> ObjectStore:
            store = tested.again()
            store._drafts._has_unnamed = False
            return store

        yield StoreUnderTest(again(), tested.time, again)


@contextmanager
def gcs(_empty: Path) -> Iterator[StoreUnderTest]:
    turned = Turned()
    with running(turned.now) as fake, ExitStack() as closing:

        def again() -> ObjectStore:
            store = connected(fake)
            closing.callback(store._calls._client.close)
            return store

        yield StoreUnderTest(again(), turned, again, tick=timedelta(seconds=1))


#: Each adapter, made anew in an empty folder.  A new one is a line here.
STORES: dict[str, Callable[[Path], AbstractContextManager[StoreUnderTest]]] = {
    "memory": memory,
    "folder": folder,
    "folder-of-names": folder_of_names,
    "gcs": gcs,
}


def names(store: ObjectStore, prefix: str = "") -> list[str]:
    return [stat.name for stat in store.list(prefix).objects]


def at_once(count: int, do: Callable[[int], object]) -> list[object]:
    """Do something in so many threads at the same moment; return what each returned."""
    barrier = Barrier(count)

    def wait_and_do(number: int) -> object:
        barrier.wait()
        return do(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(wait_and_do, range(count)))
