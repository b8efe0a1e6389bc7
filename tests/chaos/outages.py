"""The store failing at each call, for 1, 30 and 300 s of turned clock (G1), over Google's own client."""

import itertools
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import product
from pathlib import Path
from random import Random

from bench.machine import ROOT
from bench.progress import track
from shared.errors import TransientError
from shared.history import ClaimTrace
from tests.chaos.plant import violations
from tests.chaos.rows import Effort, Finding
from tests.chaos.scenes import SCENES, Scene
from tests.chaos.turned import Outage, Picture, Turned, turned
from tests.gcs_fake_faults import Fault
from tests.promises import COUNTED_ENDS, record, require
from tests.world import Process

FAULTS = (
    Fault.UNAVAILABLE, Fault.TOO_MANY, Fault.INTERNAL, Fault.RESET, Fault.STALL,
    Fault.TRUNCATED, Fault.CORRUPT, Fault.LOST, Fault.LATE,
)  # fmt: skip
SPANS_S = (1, 30, 300)
_PRODUCT = tuple(f"{ROOT}/{room}/" for room in ("api", "shared", "worker"))
#: How often a step is taken at most, and how many minutes there are for what others have to finish.
_MOST_TRIES, _MOST_SWEEPS = 150, 150
_QUICK = 40

Way = tuple[tuple[str, int], ...]  #: files and lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An outage of one kind and length that begins at one call of a scene."""

    scene: Scene
    picture: Picture
    number: int
    call: str
    fault: Fault
    span_s: int

    def __str__(self) -> str:
        return f"{self.scene.name}: {self.call}, {self.fault.name} for {self.span_s} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    """What an outage has cost."""

    attempts: int
    counted: int  #: of them, towards giving the job up
    tries: int  #: of the step that took the most


def failing_store(folder: Path, effort: Effort) -> Finding:
    """Begin an outage at each call of each scene, of each kind, and of each length in turn (G1 to G3)."""
    found: list[str] = []
    calls, cases = _cases(folder, effort.seed)
    Random(effort.seed).shuffle(cases)
    cases = cases if effort.repeats > 1 else cases[:_QUICK]
    seen = []
    for case in track(cases, "outages"):
        with violations(found, str(case)):
            seen.append(_survived(folder, case))
    points = f"{calls[0]} calls x {len(FAULTS)} faults x {SPANS_S} s"
    points += f"; {sum(calls[1:])} of {len(calls) - 1} other scenes x {len(FAULTS)} faults, spans in turn"
    return Finding(runs=len(cases), violations=found, figure=f"{points}; {_figure(seen)}")


def _figure(seen: Sequence[Survived]) -> str:
    attempts, tries = max((s.attempts for s in seen), default=0), max((s.tries for s in seen), default=0)
    counted = sum(s.counted for s in seen)
    return f"{attempts} attempts at most, {counted} counted; {tries} tries of one step at most"


def _cases(folder: Path, seed: int) -> tuple[list[int], list[Case]]:
    """Return how many calls each scene has, and the outages that begin at them."""
    numbers: list[int] = []
    cases: list[Case] = []
    met: set[Way] = set()
    for scene in SCENES:
        with turned(folder) as world:
            scene.given(world)
            picture = world.picture()
        calls = _calls(folder, scene, picture, met)
        for place, (number, call) in enumerate(calls.items()):
            one = partial(Case, scene=scene, picture=picture, number=number, call=call)
            cases += [one(fault=f, span_s=s) for f, s in _outages(scene, place + seed)]
        numbers.append(len(calls))
    return numbers, cases


def _outages(scene: Scene, turn: int) -> list[tuple[Fault, int]]:
    """Return every outage of the first scene's calls; elsewhere each kind with one length, in turn."""
    if scene is SCENES[0]:
        return list(product(FAULTS, SPANS_S))
    return [(fault, SPANS_S[(turn + n) % 3]) for n, fault in enumerate(FAULTS)]


def _calls(folder: Path, scene: Scene, picture: Picture, met: set[Way]) -> dict[int, str]:
    """Play a scene undisturbed; return its calls of the store that are made in a way not met before."""
    found: dict[int, str] = {}
    number = itertools.count()

    def note(call: str) -> None:
        if call.startswith("before store"):
            here, way = next(number), _way()
            if way not in met:
                found[here] = call.removeprefix("before ")
            met.add(way)

    with turned(folder, picture) as world:
        world.process = Process(note)
        _play(world, scene)
    return found


def _way() -> Way:
    """Return the places in the product that have led to the call of a port."""
    frames = traceback.walk_stack(sys._getframe())
    places = ((frame.f_code.co_filename, line) for frame, line in frames)
    return tuple(place for place in places if place[0].startswith(_PRODUCT))


def _survived(folder: Path, case: Case) -> Survived:
    """Play a scene through an outage, until it has come to its end."""
    with turned(folder, case.picture) as world:
        outage = Outage(world.clock, case.fault, timedelta(seconds=case.span_s))
        world.go_wrong(outage)
        left = [case.number]

        def begin(call: str) -> None:
            if call.startswith("before store"):
                left[0] -= 1
                if left[0] == -1:
                    outage.begin()

        world.process = Process(begin)
        tries = _play(world, case.scene)
        require(outage.has_begun, "G1", "the call was never made")
        return _cost(world, case.scene, tries)


def _play(world: Turned, scene: Scene) -> int:
    """Take every step until its caller is content, and let the sweep finish; return the most tries of one."""
    tries = max(_until_content(world, step) for step in scene.steps)
    world.process = Process()
    _wait(world, 60)  # a release that was refused until now is told
    for _ in range(_MOST_SWEEPS):
        if not world.left("open/") and not world.left("replaying/"):
            break
        _wait(world, 60)
        with suppress(TransientError):
            world.sweep()
    world.promises.check()
    scene.check(world)
    require(not world.fake.objects.unguarded, "G2", f"without a precondition: {world.fake.objects.unguarded}")
    return tries


def _until_content(world: Turned, step: Callable[[Turned], object]) -> int:
    for turn in range(_MOST_TRIES):
        with suppress(TransientError):
            if step(world):
                return turn + 1
        world.promises.check()
        _wait(world, 10 * 2 ** min(turn, 4))
    require(False, "I1", "it was never done")
    return 0


def _wait(world: Turned, seconds: float) -> None:
    world.clock.turn(seconds=seconds)
    world.tick_pulses()


def _cost(world: Turned, scene: Scene, tries: int) -> Survived:
    """Hold every job against its end, and return what that took; no attempt of an outage counts."""
    names = sorted({name.split("/")[1] for name in world.left("jobs/")})
    for job_id in names:
        world.promises.check_settled(job_id)
    jobs = [world.promises.job(job_id) for job_id in names]
    require([job.status for job in jobs] == list(scene.ends), "I1", f"ended as {[j.status for j in jobs]}")
    claims = [(job, claim) for job in jobs for claim in job.worked.claims.values()]
    require(world.model.calls <= len(claims), "I4", f"{world.model.calls} inferences, {len(claims)} claims")
    # Some tell of their outage only when the job has settled; the last word is what would be counted.
    lost = [claim for job, claim in claims if claim.number != job.terminal.attempt]
    ends = [_last_word(world, claim) for claim in lost]
    counted = sum(end in COUNTED_ENDS for end in ends) - scene.silent
    require(counted <= 0, "I4", f"attempts that count: {ends}, of which {scene.silent} by no outage")
    return Survived(attempts=len(claims), counted=max(0, counted), tries=tries)


def _last_word(world: Turned, claim: ClaimTrace) -> str:
    return str(record(world.straight, claim.released.name)["reason"]) if claim.released else "silent"
