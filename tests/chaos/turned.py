"""A service over Google's client and a fake bucket, its clock turned by hand; it can begin from a picture."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from shared.gcs_patience import Patience
from shared.ledger import Ledger
from shared.memory_queue import Published
from shared.pace import CLOUD
from shared.ports import Blob, Listing, Stat
from tests.api_world import ApiWorld
from tests.gcs_fake import GcsFake, running
from tests.gcs_fake_faults import SITES, Fault, Plan
from tests.gcs_fake_objects import Objects, Version
from tests.gcs_world import connected
from tests.promises import Promises
from tests.world import Process, World, photo_bytes

#: What the client waits for real where nothing comes, and what it takes that for.
_SILENCE_S, _SILENCE_IS_S = 0.05, 5.0
_BUCKET = "photos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What there was at a moment."""

    time: datetime
    live: dict[tuple[str, str], Version]
    published: list[Published]


class Outage:
    """Every call of the store goes wrong, from its beginning and for so long by the turned clock."""

    def __init__(self, clock: Any, fault: Fault, span: timedelta) -> None:
        self.fault, self._clock, self._span = fault, clock, span
        self._began: datetime | None = None

    def begin(self) -> None:
        self._began = self._clock()

    @property
    def has_begun(self) -> bool:
        return self._began is not None

    def __contains__(self, _number: object) -> bool:
        is_on = self._began is not None and self._clock() < self._began + self._span
        if is_on and self.fault in {Fault.STALL, Fault.LATE}:
            self._clock.turn(seconds=_SILENCE_IS_S)  # the other side waits for so long before it gives up
        return is_on


class Turned(ApiWorld):
    """Store, queue, ledger, worker and API; what is under test is done by ``process``."""

    fake: GcsFake
    process: Process

    def __post_init__(self) -> None:
        World.__post_init__(self)
        self.asleep: Callable[[], None] = lambda: None
        self.photo, self.process = photo_bytes(32), Process()

    @cached_property
    def client(self) -> Any:
        """The API of the process."""
        return self.api(self.process)

    @cached_property
    def straight(self) -> "Straight":
        """The bucket, whatever is wrong with the way there."""
        return Straight(self.fake.objects)

    @cached_property
    def promises(self) -> Promises:
        """What has been seen of every job since the beginning."""
        return Promises(Ledger(store=self.straight, queue=self.queue, clock=self.clock, pace=CLOUD))

    def left(self, prefix: str) -> list[str]:
        """Return the names of what is there."""
        return [stat.name for stat in self.straight.list(prefix).objects]

    def picture(self) -> Picture:
        return Picture(
            time=self.clock.time, live=dict(self.fake.objects._live), published=list(self.queue.published)
        )

    def put_back(self, picture: Picture) -> None:
        self.clock.time = picture.time
        self.fake.objects._live.update(picture.live)
        self.queue.published += picture.published

    def go_wrong(self, outage: Outage) -> None:
        self.fake.faults._plans += [Plan(site, outage.fault, outage) for site in SITES]


class Straight:
    """Reads what is in the bucket, without asking anybody."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def list(self, prefix: str) -> Listing:
        found, more = self._objects.page(_BUCKET, prefix, "", 1000)
        assert more is None, "more than a page"
        return Listing(objects=tuple(map(self._stat, found)), now=self._objects.clock())

    def read(self, name: str) -> Blob:
        version = self._objects._live[_BUCKET, name]
        return Blob(stat=self._stat(version), data=version.data)

    def _stat(self, version: Version) -> Stat:
        return Stat(
            name=version.name,
            size=len(version.data),
            generation=version.generation,
            now=self._objects.clock(),
            updated=version.updated,
        )


@contextmanager
def turned(folder: Path, picture: Picture | None = None) -> Iterator[Turned]:
    """Lend a world."""
    world = Turned(folder)
    clock = world.clock
    patience = Patience(
        silence_s=_SILENCE_S, sleep=lambda s: clock.turn(seconds=s), monotonic=clock.monotonic
    )
    with running(clock) as world.fake:
        world.store = connected(world.fake, patience)
        if picture:
            world.put_back(picture)
        try:
            yield world
        finally:
            world.fake.released.set()
            world.store._calls._client.close()
