"""An act of somebody, and each moment of it: before and after every call of a port that it leads to.

The act goes its way undisturbed once, and each moment is written down with the place in the code that made
the call.
"""

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import httpx

from tests.chaos.plant import Plant
from tests.promises import require

Headers = dict[str, str]
Answer = httpx.Response | None

#: What differs from run to run in the names of objects; what follows a job's 16 digits says which job it is.
_RANDOM = re.compile(
    r"job_[0-9]{16}|job_[0-9a-z]+(\.[0-9a-f]{32})?|upload_[0-9a-z]+|replay_[0-9a-z]+"
    r"|(?<=workers/)[0-9a-f]+|(?<=warmups/)[0-9]+|(?<=dead/)[-0-9]+"
)
SUBJECT = "{subject}"


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
        has_own = any(moment.act == name for moment in found)
        require(has_own, name, "it comes to no moment that is meant")
    return found


def _traced(plant: Plant, name: str, act: Act) -> list[Moment]:
    undisturbed = _undisturbed(plant, act, "traced")
    moments = dict.fromkeys(Moment(name, what, tuple(sites)) for what, *sites in undisturbed)
    return [
        moment
        for moment in moments
        if re.search(act.about, str(moment)) and not (act.beside and re.search(act.beside, str(moment)))
    ]


def _undisturbed(plant: Plant, act: Act, request_id: str) -> list[tuple[str, *tuple[str, ...]]]:
    key = f"{request_id}-{plant.new_id()}"
    with sweeping(plant, act):
        subject = act.given(plant)
        order = plant.order(act.service, act="trace", who=who_of(act, subject, key))
        answer = act.ask(plant, subject, headers_of(key))
        time.sleep(0.2)  # what was asked for is seen before its last call has returned
        plant.take_back(act.service, order)
    if answer is not None:
        require(answer.status_code in act.answers, act.service, f"{answer.text} to who was not disturbed")
    act.holds(plant, subject, answer)
    lines = (plant.folder / "orders" / order).read_text().splitlines()
    return [(_pattern(what, subject), *sites) for what, *sites in map(json.loads, lines)]


def _pattern(what: str, subject: str) -> str:
    before, *after = what.split(subject)
    return SUBJECT.join(_RANDOM.sub("*", part) for part in (before, *after))


def who_of(act: Act, subject: str, key: str) -> str | None:
    return {"request": key, "subject": subject, "anybody": None}[act.whose]


def headers_of(key: str) -> Headers:
    return {"X-Request-Id": key, "Idempotency-Key": key}


def sweeping(plant: Plant, act: Act) -> contextlib.AbstractContextManager[object]:
    """Keep the plant's own sweeps away from an act that is one, or that they would be ahead of."""
    return nullcontext() if act.is_swept_beside else plant.sweep_turn
