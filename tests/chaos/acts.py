"""An act of somebody: a process is killed before and after each call of a port that it leads to.

The act goes its way undisturbed once, and each moment of it is written down with the place in the code that
made the call.  Then it is begun again for each moment, a process dies there, and whoever asked comes back
with the same request, or never does.

A process that has died remembers nothing: whatever moments lie between two changes that one of its threads
makes leave the same behind.  Where there are many moments these share the kills of their state.
"""

import contextlib
import itertools
import json
import queue
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

import httpx

from bench.progress import track
from tests.chaos.plant import NeverCameError, Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import require

T = TypeVar("T")
Headers = dict[str, str]
Answer = httpx.Response | None

WITHIN_S = 20.0
#: Somebody else may do what was about to be done: then nobody is killed, and it is tried again.
_TRIES = 5
#: What differs from run to run in the names of objects; what follows a job's 16 digits says which job it is.
_RANDOM = re.compile(
    r"job_[0-9]{16}|job_[0-9a-z]+(\.[0-9a-f]{32})?|upload_[0-9a-z]+|replay_[0-9a-z]+"
    r"|(?<=workers/)[0-9a-f]+|(?<=warmups/)[0-9]+|(?<=dead/)[-0-9]+"
)
_SUBJECT = "{subject}"
#: What is left behind is another from then on.
_HAS_CHANGED = re.compile(r"after (store[.](create|replace|delete)|queue[.]publish) |during ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What somebody does, and what must be so after a process died of it."""

    ask: Callable[[Plant, str, Headers], Answer]  #: none where nobody waits for an answer
    #: Looks whether what was answered is so.
    holds: Callable[[Plant, str, Answer], object]
    given: Callable[[Plant], str] = Plant.new_id  #: makes what it is about, and returns its name
    answers: frozenset[int] = frozenset({200})
    #: What must be so where nobody has asked again; without it somebody always does.
    left: Callable[[Plant, str], object] | None = None
    service: str = "api"
    whose: str = "request"  #: whose calls are meant: the request's, the subject's or anybody's
    is_swept_beside: bool = True  #: whether sweeps go on meanwhile
    about: str = ""  #: a pattern of the moments that are meant; all if none
    beside: str = ""  #: a pattern of moments that come or not as the machine is slow; another act has them
    is_variation: bool = False  #: whether only calls from places that nothing before has come to are meant


@dataclass(frozen=True, slots=True)
class Moment:
    """Before or after a call of a port that an act leads to, or in the middle of an inference."""

    act: str
    what: str  #: a pattern, in which the subject's name is left open
    sites: tuple[str, ...] = ()
    state: int = field(default=0, compare=False)  #: the same for moments that leave the same behind

    @property
    def site(self) -> str | None:
        """The place that asked for the call."""
        return self.sites[-1] if self.sites else None

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Each place that the call comes from, with the moment at it."""
        return tuple((site, self.what.partition(" ")[0]) for site in self.sites)

    def __str__(self) -> str:
        return f"{self.act}: {self.what} ({self.site})"


def killed_in(acts: Mapping[str, Act], folder: Path, effort: Effort, *, by_state: bool = False) -> Finding:
    """Kill a process at each moment of each act, so many times.

    By state, that many times in each state that a death can leave behind, at one of its moments after the
    other, and an eighth of that at each moment at least.  Where there are to be fewer, the dice choose.
    """
    dice = random.Random(effort.seed)
    acts = {name: acts[name] for name in _some_of(list(acts), effort.acts, dice)}
    with plants(folder, effort.plants) as every:
        moments = moments_of(every[0], acts)
        groups = list(_by_state(moments).values()) if by_state else [[moment] for moment in moments]
        return _repeated(every, acts, _some_of(groups, effort.states, dice), effort)


def _some_of(those: list[T], number: int | None, dice: random.Random) -> list[T]:
    return those if number is None or number >= len(those) else dice.sample(those, number)


def _by_state(moments: Sequence[Moment]) -> Mapping[tuple[str, int], list[Moment]]:
    states: dict[tuple[str, int], list[Moment]] = defaultdict(list)
    for moment in moments:
        states[moment.act, moment.state].append(moment)
    return states


# --- moments ------------------------------------------------------------------------------------


def moments_of(plant: Plant, acts: Mapping[str, Act]) -> list[Moment]:
    """Let each act go its way undisturbed, and return every moment of it."""
    found: list[Moment] = []
    known: set[tuple[str, str]] = set()
    _undisturbed(plant, next(iter(acts.values())), "first")  # the first of a process reads more
    for name, act in acts.items():
        for moment in _traced(plant, name, act):
            if not (act.is_variation and known.issuperset(moment.places)):
                found.append(moment)
            known.update(moment.places)
    return found


def _traced(plant: Plant, name: str, act: Act) -> list[Moment]:
    states: dict[int, int] = {}  # by thread
    numbers, moments = itertools.count(), {}
    for thread, what, *sites in _undisturbed(plant, act, "traced"):
        if thread not in states or _HAS_CHANGED.match(what):
            states[thread] = next(numbers)
        moment = Moment(name, what, tuple(sites), states[thread])
        moments.setdefault(moment, moment)
    return [
        moment
        for moment in moments
        if re.search(act.about, str(moment)) and not (act.beside and re.search(act.beside, str(moment)))
    ]


def _undisturbed(plant: Plant, act: Act, request_id: str) -> list[tuple[int, str, *tuple[str, ...]]]:
    key = f"{request_id}-{plant.new_id()}"
    with _sweeping(plant, act):
        subject = act.given(plant)
        order = plant.order(act.service, act="trace", who=_who(act, subject, key))
        answer = act.ask(plant, subject, _headers(key))
        time.sleep(0.2)  # what was asked for is seen before its last call has returned
        plant.take_back(act.service, order)
    if answer is not None:
        require(answer.status_code in act.answers, act.service, f"{answer.text} to who was not disturbed")
    act.holds(plant, subject, answer)
    lines = (plant.folder / "orders" / order).read_text().splitlines()
    return [(thread, _pattern(what, subject), *sites) for thread, what, *sites in map(json.loads, lines)]


def _pattern(what: str, subject: str) -> str:
    before, *after = what.split(subject)
    return _SUBJECT.join(_RANDOM.sub("*", part) for part in (before, *after))


def _who(act: Act, subject: str, key: str) -> str | None:
    return {"request": key, "subject": subject, "anybody": None}[act.whose]


def _headers(key: str) -> Headers:
    return {"X-Request-Id": key, "Idempotency-Key": key}


def _sweeping(plant: Plant, act: Act) -> contextlib.AbstractContextManager[object]:
    """Keep the plant's own sweeps away from an act that is one, or that they would be ahead of."""
    return nullcontext() if act.is_swept_beside else plant.sweep_turn


# --- kills --------------------------------------------------------------------------------------


def _killed(plant: Plant, act: Act, turn: int, moment: Moment) -> float:
    # Both ways with each of two moments that take turns.
    first, answer, is_left = plant.new_id(), None, bool(act.left and (turn + turn // 2) % 2)
    key = f"key-{first}"
    with _sweeping(plant, act):
        subject = act.given(plant)
        only = moment.what.replace(_SUBJECT, subject)
        who = _who(act, subject, key)
        order = plant.order(act.service, act="kill", who=who, only=only, site=moment.site)
        began = time.monotonic()
        with contextlib.suppress(httpx.TransportError):
            act.ask(plant, subject, _headers(key))
        plant.require_done(act.service, order, str(moment))
        plant.await_ready(plant.child(act.service))
        _require_promises_since(plant, first)
        if not is_left:
            answer = _asked_again(plant, act, subject, _headers(key))
    if act.left and is_left:
        act.left(plant, subject)
    else:
        act.holds(plant, subject, answer)
    return time.monotonic() - began


def _require_promises_since(plant: Plant, first: str) -> None:
    """Hold the jobs that have been named since against what was promised, before anybody mends anything."""
    for number in range(int(first.removeprefix("job_")), int(plant.new_id().removeprefix("job_"))):
        plant.promises.check_job(f"job_{number:016}")


def _asked_again(plant: Plant, act: Act, subject: str, headers: Headers) -> Answer:
    """Come back, and once more after each "not now": a worker may be at the job."""
    if act.whose == "subject":
        return None  # the queue comes back, and so does the sweep
    until = time.monotonic() + WITHIN_S
    while (answer := act.ask(plant, subject, headers)) is not None and answer.status_code == 503:
        require(time.monotonic() < until, act.service, "it is never the time")
        time.sleep(0.1)
    if answer is not None:
        require(answer.status_code in act.answers, act.service, f"{answer.status_code} to who came back")
    return answer


# --- many of them -------------------------------------------------------------------------------


@contextmanager
def plants(folder: Path, number: int) -> Iterator[list[Plant]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Plant(folder / str(n))) for n in range(number)]


@contextmanager
def lent(idle: queue.Queue[Plant]) -> Iterator[Plant]:
    plant = idle.get()
    try:
        yield plant
    finally:
        idle.put(plant)


def _repeated(
    every: Sequence[Plant], acts: Mapping[str, Act], groups: Sequence[Sequence[Moment]], effort: Effort
) -> Finding:
    """Kill so many times at the moments of each group, on as many plants at once as there are."""
    idle: queue.Queue[Plant] = queue.Queue()
    for plant in every:
        idle.put(plant)
    found: list[str] = []

    def one(turn: int, moment: Moment) -> float:
        with lent(idle) as plant, violations(found, str(moment)):
            for _ in range(_TRIES):
                with contextlib.suppress(NeverCameError):
                    return _killed(plant, acts[moment.act], turn, moment)
            raise NeverCameError(moment)
        return 0.0

    work = [
        (turn, group[turn % len(group)])
        for group in groups
        for turn in range(max(effort.repeats, len(group) * max(1, effort.repeats // 8)))
    ]
    random.Random(effort.seed).shuffle(work)
    with ThreadPoolExecutor(len(every)) as pool:
        runs = [pool.submit(one, *each) for each in work]
        took_s = [future.result() for future in track(runs, "kills")]
    again = f"done again p50 {median(took_s):.1f} s, worst {max(took_s):.1f} s"
    moments = [str(moment) for group in groups for moment in group]
    states = f" in {len(groups)} states" if len(groups) < len(moments) else ""
    figure = f"{len(moments)} moments{states} x {effort.repeats}; {again}"
    return Finding(runs=len(work), violations=found, figure=figure, details={"moments": moments})
