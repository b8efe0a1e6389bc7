"""A service over Google's client and a fake bucket, its clock turned by hand; it can begin from a picture."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession

from shared.gcs_signing import IamSigning
from shared.ledger import Ledger
from shared.memory_queue import Published
from shared.pace import CLOUD
from tests.api_world import ApiWorld
from tests.chaos.straight import BUCKET, Straight
from tests.gcs_fake import GcsFake
from tests.gcs_fake_faults import SITES, Fault, Plan
from tests.gcs_fake_objects import Version
from tests.gcs_world import by_wire, turned_patience
from tests.promises import Promises
from tests.world import Process, World, photo_bytes

_SEEN = ("_terminals", "_seen", "_whole", "_decoded", "_found", "_signs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What there was at a moment, and what had been seen until then."""

    time: datetime
    live: dict[tuple[str, str], Version]
    last_generation: int
    most_a_page: int
    published: list[Published]
    noted: dict[str, Any]
    seen: dict[str, Any]
    inferences: int
    uploads: Iterator[int]


class Outage:
    """Every call of the store goes wrong, from its beginning and for so long by the turned clock."""

    def __init__(self, clock: Any, fault: Fault, span: timedelta) -> None:
        self.fault, self._clock, self._span = fault, clock, span
        self._began: datetime | None = None
        self.failed = 0  #: requests

    def begin(self) -> None:
        self._began = self._clock()

    @property
    def has_begun(self) -> bool:
        return self._began is not None

    @property
    def is_on(self) -> bool:
        return self._began is not None and self._clock() < self._began + self._span

    def __contains__(self, _number: object) -> bool:
        if not self.is_on:
            return False
        self.failed += 1
        return True


class Turned(ApiWorld):
    """Store, queue, ledger, worker and API; what is under test is done by ``process``."""

    fake: GcsFake
    process: Process

    def __post_init__(self) -> None:
        World.__post_init__(self)
        self.asleep: Callable[[], None] = lambda: None
        self.photo, self.process = photo_bytes(32), Process()
        self.noted: dict[str, Any] = {}  #: what whoever asks remembers from one step to the next
        self.outage: Outage | None = None
        self.longest_s = 0.0  #: that anybody waited for an answer

    @cached_property
    def client(self) -> Any:
        """The API of the process."""
        return self.api(self.process)

    @cached_property
    def straight(self) -> Straight:
        """The bucket, whatever is wrong with the way there."""
        return Straight(self.fake.objects)

    @cached_property
    def undisturbed(self) -> Any:
        """An API that nothing ever happens to; it must only be read from."""
        other = copy.copy(self)
        other.store = self.straight
        return other.api()

    @cached_property
    def promises(self) -> Promises:
        """What has been seen of every job since the beginning."""
        return Promises(Ledger(store=self.straight, queue=self.queue, clock=self.clock, pace=CLOUD))

    def tell(self, spy: Callable[[str], None]) -> None:
        """Begin another process, whose calls are told to a spy."""
        self.process = Process(spy)
        self.__dict__.pop("client", None)

    def ask(self, method: str, url: str, **request: Any) -> Any:
        """Ask the API of the process, and note how long it took by the turned clock."""
        began = self.clock.monotonic()
        answer = self.client.open(url, method=method, buffered=True, **request)
        self.longest_s = max(self.longest_s, self.clock.monotonic() - began)
        return answer

    def left(self, prefix: str) -> list[str]:
        """Return the names of what is there."""
        return [stat.name for stat in self.straight.list(prefix).objects]

    def lay(self, name: str, data: bytes, content_type: str = "application/json") -> None:
        """Put an object there that was not, whatever is wrong with the way there."""
        meta = {"name": name, "contentType": content_type}
        self.fake.objects.insert(BUCKET, meta, data, {"ifGenerationMatch": "0"})

    @contextmanager
    def damaged(self, name: str) -> Iterator[None]:
        """Let an object's bytes be others for a while, as no way there would make them."""
        live, key = self.fake.objects._live, (BUCKET, name)
        whole = live[key]
        live[key] = replace(whole, data=whole.data[:-1])
        try:
            yield
        finally:
            live[key] = whole

    def picture(self) -> Picture:
        objects = self.fake.objects
        return Picture(
            time=self.clock.time,
            live=dict(objects._live),
            last_generation=objects._last_generation,
            most_a_page=objects.most_a_page,
            published=list(self.queue.published),
            noted=copy.deepcopy(self.noted),
            seen={name: copy.deepcopy(getattr(self.promises, name)) for name in _SEEN},
            inferences=self.model.calls,
            uploads=copy.copy(self._uploads),
        )

    def put_back(self, picture: Picture) -> None:
        self.clock.time, objects = picture.time, self.fake.objects
        objects._live.update(picture.live)
        objects._last_generation, objects.most_a_page = picture.last_generation, picture.most_a_page
        self.queue.published += picture.published
        self.noted = copy.deepcopy(picture.noted)
        for name, value in picture.seen.items():
            setattr(self.promises, name, copy.deepcopy(value))
        self.model.calls = picture.inferences
        self._uploads = copy.copy(picture.uploads)

    def go_wrong(self, outage: Outage) -> None:
        self.outage = outage
        self.fake.faults._plans += [Plan(site, outage.fault, outage) for site in (*SITES, "sign")]

    def sign(self) -> None:
        """Let the store sign URLs, through a fake of IAM that goes wrong as the bucket does."""
        calls = self.store._calls
        credentials = AnonymousCredentials()
        credentials.service_account_email = "robot@project.iam.gserviceaccount.com"
        session = AuthorizedSession(credentials)
        calls._line.carry(session)
        session.trust_env = False
        self.store._signing = partial(IamSigning, session, iam=self.fake.url)


@contextmanager
def turned(folder: Path, picture: Picture | None = None, *, signs: bool = False) -> Iterator[Turned]:
    """Lend a world."""
    world = Turned(folder)
    world.fake = GcsFake(world.clock)
    world.store = by_wire(world.fake, turned_patience(world.clock))
    if signs:
        world.sign()
    if picture:
        world.put_back(picture)
    try:
        yield world
    finally:
        world.store._calls._client.close()
