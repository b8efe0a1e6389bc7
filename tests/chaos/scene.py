"""What a scene is in which the store is called (G1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.scene_steps import Step
from tests.chaos.turned import Turned

Check = Callable[[Turned], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What there is at first, what is done, how its jobs end, and what else must be true then."""

    name: str
    given: Step = lambda _world: None
    steps: Sequence[Step]
    ends: Sequence[str] = ("succeeded",)  #: of each job
    silent: int = 0  #: attempts that end without a word, by no outage
    check: Check = lambda _world: None
    signs: bool = False  #: whether the store signs URLs, so that no bytes come through the API
