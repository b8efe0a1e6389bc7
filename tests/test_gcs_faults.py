"""Whatever goes wrong at a call of Cloud Storage, the answer is right or "not now"; nothing is half done."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from shared.errors import StoreUnavailableError
from tests.gcs_fake_faults import Fault
from tests.gcs_world import GcsWorld, gcs_world

OLD = b'{"old": true, "filled": "' + b"o" * 200 + b'"}'
NEW = b'{"new": true, "filled": "' + b"n" * 300 + b'"}'
SILENCE_S = 0.25
SLACK_S = 2.0  #: for a busy machine; a call that had no end would take more
BIG = os.urandom(17 << 20)  # two chunks

#: What nobody can help by asking again.
LASTING = {Fault.FORBIDDEN, Fault.EXPIRED}
#: What happens to bytes; JSON has no checksum of its own, and is TLS's to guard.
OF_BYTES = {Fault.CORRUPT, Fault.PARTIAL}
OF_ANSWERS = {Fault.TRUNCATED, Fault.GARBLED, Fault.UNNAMED}
FAULTS = [fault for fault in Fault if fault not in OF_BYTES | {Fault.DRIP}]


@dataclass(frozen=True)
class Site:
    """One call of the port that sends one kind of request, and how to see that it kept its promise."""

    kind: str  #: as the fake counts it
    do: Callable[[GcsWorld], Any]
    right: Callable[[GcsWorld, Any], bool]  #: of what it returned
    before: bytes | None  #: what "a" holds before, and may hold after it has failed
    after: bytes | None  #: what "a" holds afterwards


def replace(world: GcsWorld) -> Any:
    return world.store.replace("a", NEW, generation=live(world).generation)


def live(world: GcsWorld) -> Any:
    return world.fake.objects._live["photos", "a"]


def read_stream(world: GcsWorld) -> bytes:
    with world.store.open("a") as stream:
        return stream.read()


def is_live(world: GcsWorld, stat: Any) -> bool:
    return (stat.name, stat.generation, stat.size) == ("a", live(world).generation, len(live(world).data))


def create_big(world: GcsWorld) -> Any:
    return world.store.create("a", BIG, content_type="image/jpeg")


SITES = {
    "read": Site("read", lambda w: w.store.read("a").data, lambda _, d: d == OLD, OLD, OLD),
    "open": Site("read", read_stream, lambda _, d: d == OLD, OLD, OLD),
    "stat": Site("stat", lambda w: w.store.stat("a"), is_live, OLD, OLD),
    "list": Site("list", lambda w: w.store.list("a").objects, lambda w, o: is_live(w, *o), OLD, OLD),
    "page": Site("list", lambda w: w.store.page("a").objects, lambda w, o: is_live(w, *o), OLD, OLD),
    "ping": Site("stat", lambda w: w.store.ping(), lambda _, x: x is None, OLD, OLD),
    "create": Site("insert", lambda w: w.store.create("a", NEW), is_live, None, NEW),
    "create, beginning": Site("resumable.start", create_big, is_live, None, BIG),
    "create, sending": Site("resumable.chunk", create_big, is_live, None, BIG),
    "replace": Site("insert", replace, is_live, OLD, NEW),
    "delete": Site(
        "delete",
        lambda w: w.store.delete("a", generation=live(w).generation),
        lambda _, x: x is None,
        OLD,
        None,
    ),
    "delete, looking": Site("stat", lambda w: w.store.delete("a"), lambda _, x: x is None, OLD, None),
    "delete, whatever": Site("delete", lambda w: w.store.delete("a"), lambda _, x: x is None, OLD, None),
}

CASES = [(name, fault) for name in SITES for fault in FAULTS]
CASES += [(name, Fault.CORRUPT) for name in ("read", "open", "create", "create, sending", "replace")]
CASES += [("create, sending", Fault.PARTIAL)]
BODILESS = {"delete", "resumable.start"}
PASSING = [(name, fault) for name, fault in CASES if fault not in LASTING]
#: What is answered without a body, or is clear from the status alone: gone; taken, and by us.
HARMLESS = {(name, fault) for name in ("delete", "delete, whatever") for fault in OF_ANSWERS}
HARMLESS |= {(n, f) for n in ("ping", "create", "replace") for f in (Fault.GARBLED, Fault.UNNAMED)}
HARMLESS |= {(n, Fault.TRUNCATED) for n in ("create, beginning", "create, sending")}


def is_waited_for_again(name: str, fault: Fault) -> bool:
    """Tell whether it is silence, at a call that asks again as those do that are left to make test."""
    return fault in {Fault.STALL, Fault.LATE} and name not in {"read", "create, sending"}


#: Silence takes its time: that it may come more than once, a call that reads and one that sends show.
EVERY_OTHER = [
    pytest.param(*case, marks=pytest.mark.exhaustive) if is_waited_for_again(*case) else case
    for case in PASSING
]


def by_case(cases: list[Any]) -> Any:
    return pytest.mark.parametrize(("name", "fault"), cases, ids=lambda value: getattr(value, "name", value))


def world_with(fault: Fault, **patience: float) -> AbstractContextManager[GcsWorld]:
    """A world that waits for silence only where there is some; a busy machine is not silence."""
    is_silent = fault in {Fault.STALL, Fault.LATE}
    return gcs_world(silence_s=SILENCE_S if is_silent else 5, **patience)


def begin(world: GcsWorld, name: str) -> Site:
    site = SITES[name]
    if site.before is not None:
        world.store.create("a", site.before)
    world.fake.faults.calls.clear()
    return site


def assert_nothing_is_half_done(world: GcsWorld, site: Site, *, is_done: bool) -> None:
    """No object is partial, no version was written twice, nothing was asked for without a precondition."""
    allowed = [site.after] if is_done else [site.before, site.after]
    found = world.fake.objects._live.get(("photos", "a"))
    assert (found.data if found else None) in allowed
    written = [data for data in (site.before, site.after) if data is not None]
    assert world.kept("a") in ([written[0]], list(dict.fromkeys(written)), [])
    assert world.fake.objects.unguarded == []
    assert "other" not in world.fake.calls


@by_case(PASSING)
def test_a_fault_that_passes_is_got_over(name, fault) -> None:
    with world_with(fault) as world:
        site = begin(world, name)
        world.fake.faults.plan(site.kind, fault)
        assert site.right(world, site.do(world))
        assert_nothing_is_half_done(world, site, is_done=True)
        assert world.fake.faults.done == {(site.kind, fault): 1}


@by_case(EVERY_OTHER)
def test_a_fault_at_every_other_call_is_got_over_too(name, fault) -> None:
    with world_with(fault) as world:
        site = begin(world, name)
        world.fake.faults.plan(site.kind, fault, calls=[0, 2, 4])
        assert site.right(world, site.do(world))
        assert_nothing_is_half_done(world, site, is_done=True)


@by_case([case for case in CASES if case not in HARMLESS])
def test_a_fault_that_lasts_is_said_in_time(name, fault) -> None:
    with world_with(fault, total_s=2) as world:
        site = begin(world, name)
        world.fake.faults.always(site.kind, fault)
        began = world.naps.monotonic()
        with pytest.raises(StoreUnavailableError) as caught:
            site.do(world)
        assert world.naps.monotonic() - began <= 2 + SLACK_S
        assert (len(world.naps.slept_s) == 0) == (fault in LASTING)
        assert_nothing_is_half_done(world, site, is_done=False)
        assert "photos" not in caught.value.detail
        assert "127.0.0.1" not in caught.value.detail


@by_case(sorted(HARMLESS, key=str))
def test_a_fault_that_spoils_nothing_that_is_needed_may_last(name, fault) -> None:
    with world_with(fault) as world:
        site = begin(world, name)
        world.fake.faults.always(site.kind, fault)
        assert site.right(world, site.do(world))
        assert_nothing_is_half_done(world, site, is_done=True)


@pytest.mark.parametrize("name", [n for n, s in SITES.items() if s.kind not in BODILESS])
def test_an_answer_that_trickles_for_ever_is_cut_off(name) -> None:
    with gcs_world(total_s=0.6) as world:
        site = begin(world, name)
        world.fake.faults.always(site.kind, Fault.DRIP)
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            site.do(world)
        assert time.monotonic() - began < 0.6 + SLACK_S
        assert_nothing_is_half_done(world, site, is_done=False)
