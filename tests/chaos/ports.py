"""Faults that a scenario orders, met by real processes at the calls of their ports.

An order is a file in a folder that the process was given when it was started: whose call it is about, the
how-many-th, and what is to happen there.  It is carried out once, by whoever comes to it first.
"""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from shared.errors import (
    GenerationMismatchError,
    NameTakenError,
    QueueUnavailableError,
    StoreUnavailableError,
)
from shared.logs import bound_fields
from tests.call_sites import sites_of_this_call

#: Names the places in the code that a moment's call comes from; to be asked only if somebody wants to know.
Sites = Callable[[], tuple[str, ...]]
#: Frames from ``sites_of_this_call`` to whoever called the port, by way of ``_meet``, ``meet`` and ``call``.
_DEPTH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to happen at one moment; moments are counted from 0, two a call: before and after it."""

    act: str  #: kill, stop, hold, fail, lose or trace
    who: str | None = None  #: the job or request that is being worked on; anybody's if none
    only: str = "*"  #: count such moments only, such as ``before queue.publish *``
    site: str | None = None  #: count calls from this place in the code only
    moment: int = 0
    seconds: float = 0.0

    def leave(self, folder: Path, name: str) -> None:
        """Write the order down, whole at once."""
        draft = folder.with_suffix(f".{name}")
        draft.write_text(json.dumps(asdict(self)))
        draft.rename(folder / name)


class Orders:
    """The orders of one service, as one process sees them."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._seen = folder, Counter()

    def watch(self, port: object, label: str) -> Any:
        return _Ordered(port, label, self.meet)

    def meet(self, what: str, sites: Sites = tuple) -> None:
        """Do what is ordered for this moment, if anything is."""
        with os.scandir(self._folder) as found:
            names = [entry.name for entry in found]
        for name in names:
            self._meet(name, what, sites)

    def _meet(self, name: str, what: str, sites: Sites) -> None:
        try:
            order = Order(**json.loads((self._folder / name).read_text()))
        except FileNotFoundError:
            return
        mine = bound_fields()
        if order.who not in {None, mine.get("job_id"), mine.get("request_id")}:
            return
        if not fnmatchcase(what, order.only):
            return
        if order.site and order.site not in sites():
            return
        if order.act == "trace":
            with (self._folder.parent / name).open("a") as file:
                file.write(json.dumps([what, *sites()]) + "\n")
            return
        self._seen[name] += 1
        if self._seen[name] == order.moment + 1 and self._is_first(name):
            _ACTS[order.act](order, what)

    def _is_first(self, name: str) -> bool:
        try:
            (self._folder / name).unlink()
        except FileNotFoundError:
            return False
        return True


def _fail(_order: Order, what: str) -> None:
    time.sleep(_order.seconds)
    raise (QueueUnavailableError if "queue." in what else StoreUnavailableError)("as ordered")


def _lose(_order: Order, what: str) -> None:
    """Say what a client is told that lost the answer to its write, wrote again, and met its own hand."""
    raise (GenerationMismatchError if "store.replace" in what else NameTakenError)("as ordered")


_ACTS: dict[str, Callable[[Order, str], None]] = {
    "kill": lambda _order, _what: os.kill(os.getpid(), signal.SIGKILL),
    # A signal to the process is the main thread's to take: until its turn has come, whoever asks goes on.
    "stop": lambda _order, _what: signal.pthread_kill(threading.get_ident(), signal.SIGSTOP),
    "hold": lambda order, _what: time.sleep(order.seconds),
    "fail": _fail,
    "lose": _lose,
}


class _Ordered:
    """A port that meets the orders before and after each call."""

    def __init__(self, port: object, label: str, meet: Callable[[str, Sites], None]) -> None:
        self._port, self._label, self._meet = port, label, meet

    def __getattr__(self, method: str) -> Callable[..., Any]:
        real = getattr(self._port, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            what = f"{self._label}.{method} {args[0] if args else ''}"
            sites = partial(sites_of_this_call, self._label, method, _DEPTH)
            self._meet(f"before {what}", sites)
            try:
                return real(*args, **kwargs)
            finally:
                self._meet(f"after {what}", sites)

        return call
