"""The store failing at each call, for 1, 30 and 300 s (G1): in one file, from the call to what it cost."""

import itertools
import os
import random
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import product
from pathlib import Path

from bench.machine import ROOT
from bench.progress import track
from shared.errors import TransientError
from shared.history import ClaimTrace
from tests.chaos import reached
from tests.chaos.rows import Effort, Finding
from tests.chaos.scene import Scene
from tests.chaos.scenes import SCENES
from tests.chaos.spread import DiedError, lanes
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
#: Whoever asks the API is answered within this: a call of the store has 10 s, and those that are made side by
#: side come one after the other here.
_ANSWERED_WITHIN_S = 30.0
_QUICK, _SHARE = 40, 20
_NAMED = {scene.name: scene for scene in SCENES}

Way = tuple[object, ...]  #: what is called, and the files and lines that have led there


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A call of a scene, and what there was when the step began that it belongs to."""

    scene: str
    step: int
    number: int  #: counted from the step's beginning
    call: str
    picture: Picture = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An outage of one kind and length that begins at one call of a scene."""

    point: Point
    fault: Fault
    span_s: int
    seed: int  #: of how long the client waits between two tries

    def __str__(self) -> str:
        return f"{self.point.scene}: {self.point.call}, {self.fault.name} for {self.span_s} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    """What an outage has cost."""

    attempts: int
    counted: int  #: of them, towards giving the job up
    tries: int  #: of the step that took the most
    answered_s: float  #: the longest that anybody who asks the API has waited
    failed: int  #: requests


def failing_store(folder: Path, effort: Effort) -> Finding:
    """Begin an outage of each kind and each length at each call of each scene (G1 to G3)."""
    looker = Looker(folder)
    looker.look_at_all()
    points = looker.points
    every = product(points, FAULTS, SPANS_S)
    cases = [Case(point=p, fault=f, span_s=s, seed=effort.seed) for p, f, s in every]
    random.Random(effort.seed).shuffle(cases)
    cases = cases if effort.repeats > 1 else cases[:_QUICK]
    found, seen = _spread(folder, cases)
    missing = looker.missing
    found += [f"no scene reaches {site}" for site in missing if site not in reached.EXPLAINED]
    met = f"{len(points)} calls of {len(SCENES)} scenes x {len(FAULTS)} faults x {SPANS_S} s"
    met = met if len(cases) == len(points) * len(FAULTS) * len(SPANS_S) else f"{len(cases)} of {met}"
    details = {"calls": _counted(points), "not_reached": {s: reached.EXPLAINED.get(s, "") for s in missing}}
    figure = f"{met}; {_figure(seen)}; {len(missing)} call sites that no scene reaches, each explained"
    return Finding(runs=len(cases), violations=found, figure=figure, details=details)


def _figure(seen: Sequence[Survived]) -> str:
    attempts, tries = max((s.attempts for s in seen), default=0), max((s.tries for s in seen), default=0)
    counted, answered_s = sum(s.counted for s in seen), max((s.answered_s for s in seen), default=0.0)
    return (
        f"{attempts} attempts at most, {counted} counted; {tries} tries of one step at most, each answered "
        f"within {answered_s:.0f} s; {sum(s.failed for s in seen):,} requests failed"
    )


def _counted(points: Sequence[Point]) -> dict[str, int]:
    return {name: sum(point.scene == name for point in points) for name in _NAMED}


# --- what there is to meet ----------------------------------------------------------------------


@dataclass
class Looker:
    """Notes every call of the store that is made in a new way, as scenes are played undisturbed."""

    folder: Path
    points: list[Point] = field(default_factory=list)
    sites: set[str] = field(default_factory=set)
    _met: set[Way] = field(default_factory=set)

    @property
    def missing(self) -> list[str]:
        """The places that call the store and that no scene has come to."""
        return sorted(reached.wanted() - self.sites)

    def look_at_all(self) -> None:
        """Play every scene."""
        for scene in SCENES:
            self.look(scene)

    def look(self, scene: Scene) -> None:
        """Play a scene from what there is at first."""
        with turned(self.folder, signs=scene.signs) as world:
            scene.given(world)
            picture = world.picture()
        with turned(self.folder, picture, signs=scene.signs) as world:
            _play(world, scene, 0, partial(self._begin, world, scene))

    def _begin(self, world: Turned, scene: Scene, step: int) -> None:
        """Take a picture as a step begins: what comes before it need not be played for each of its calls."""
        require(all(pulse.is_concluded for pulse in world.pulses), "G1", f"{scene.name}: a pulse goes on")
        number, picture = itertools.count(), world.picture()

        def note(call: str) -> None:
            if call.startswith("before store"):
                here, way = next(number), (call.split()[1], scene.signs, *_way())
                self.sites.update(reached.now(call))
                if way not in self._met:
                    self._met.add(way)
                    what = call.removeprefix("before ")
                    self.points.append(
                        Point(scene=scene.name, step=step, number=here, call=what, picture=picture)
                    )

        world.tell(note)


def _way() -> tuple[tuple[str, int], ...]:
    """Return the places in the product that have led to the call of a port."""
    frames = traceback.walk_stack(sys._getframe())
    places = ((frame.f_code.co_filename, line) for frame, line in frames)
    return tuple(place for place in places if place[0].startswith(_PRODUCT))


# --- an outage ----------------------------------------------------------------------------------


def _spread(folder: Path, cases: Sequence[Case]) -> tuple[list[str], list[Survived]]:
    """Meet cases in a process a core; return what went wrong, and what the others cost."""
    found: list[str] = []
    seen: list[Survived] = []
    shares = [cases[start : start + _SHARE] for start in range(0, len(cases), _SHARE)]
    with lanes() as running:
        begun = [running[n % len(running)].start(_met, folder, share) for n, share in enumerate(shares)]
        for share, done in track(list(zip(shares, begun, strict=True)), "outages"):
            try:
                broken, survived = done.result()
            except DiedError as error:
                found.append(f"{error}, at one of: {'; '.join(map(str, share))}")
            else:
                found += broken
                seen += survived
    return found, seen


def _met(folder: Path, cases: Sequence[Case]) -> tuple[list[str], list[Survived]]:
    """Meet some cases, in a process of its own."""
    found: list[str] = []
    seen: list[Survived] = []
    own = folder / f"process-{os.getpid()}"
    own.mkdir(exist_ok=True)
    for case in cases:
        try:
            seen.append(_survived(own, case))
        except Exception as error:  # noqa: BLE001 - a broken promise, or a bug of ours: the others have their turn
            found.append(f"{case}: {type(error).__name__}: {error}")
    return found, seen


def _survived(folder: Path, case: Case) -> Survived:
    """Play a scene through an outage, until it has come to its end."""
    point, scene = case.point, _NAMED[case.point.scene]
    random.seed(f"{case.seed}, {case}")
    with turned(folder, point.picture, signs=scene.signs) as world:
        outage = Outage(world.clock, case.fault, timedelta(seconds=case.span_s))
        world.go_wrong(outage)
        left = [point.number]

        def begin(call: str) -> None:
            if call.startswith("before store"):
                left[0] -= 1
                if left[0] == -1:
                    outage.begin()

        world.tell(begin)
        tries = _play(world, scene, point.step)
        require(outage.has_begun, "G1", "the call was never made")
        return _cost(world, scene, tries)


def _play(world: Turned, scene: Scene, first: int, begin: Callable[[int], None] = lambda _step: None) -> int:
    """Take every step until its caller is content, and let the sweep finish; return the most tries of one."""
    tries = 0
    for number in range(first, len(scene.steps)):
        begin(number)
        tries = max(tries, _until_content(world, scene.steps[number]))
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
    require(world.longest_s <= _ANSWERED_WITHIN_S, "I7", f"answered after {world.longest_s:.1f} s")
    return tries


def _until_content(world: Turned, step: Callable[[Turned], object]) -> int:
    for turn in range(_MOST_TRIES):
        with suppress(TransientError):
            if step(world):
                return turn + 1
        world.promises.check()
        _wait(world, 10 * 4 ** min(turn, 2))
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
    return Survived(
        attempts=len(claims),
        counted=max(0, counted),
        tries=tries,
        answered_s=world.longest_s,
        failed=world.outage.failed,
    )


def _last_word(world: Turned, claim: ClaimTrace) -> str:
    return str(record(world.straight, claim.released.name)["reason"]) if claim.released else "silent"
