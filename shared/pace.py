"""How fast things follow each other, in the cloud and on one machine.

The numbers belong together: a claim is dead only after several beats were missed, and a job is
published again only after a live worker would have claimed it.
"""

from dataclasses import dataclass
from datetime import timedelta

#: A marker without a commit record is removed after this long ...
ABANDONED_AFTER = timedelta(hours=1)
#: ... and no commit record is written later than this after its marker.
COMMIT_WITHIN = timedelta(minutes=5)
#: A job still open after this long is settled as dead-lettered.
OPEN_AT_MOST = timedelta(hours=24)
#: Attempts that may end in silence or in a fault of ours before the job is given up.
COUNTED_CLAIMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Intervals of one kind of deployment."""

    beat: timedelta  #: between two beats of a claim
    dead_after: timedelta  #: without a beat, a claim is dead
    sweep_every: timedelta
    first_look: timedelta  #: age at which the sweep first looks at a marker
    republish_after: timedelta  #: from the first publication to the second; doubles after that
    rest: timedelta  #: between two changes of one object: Cloud Storage refuses more than one a second
    looks_always: bool  #: look at every marker on each sweep, not only at doubling ages

    def looks_at(self, age: timedelta) -> bool:
        """Whether a sweep looks at a marker of this age.

        Where looking costs money: at the first look's age, twice that, four times and so on, each time
        for two sweeps' length or a sixteenth of the age, so that sweeps that were missed miss nothing;
        and always once the job is overdue.
        """
        if age < self.first_look:
            return False
        turn = self.first_look * 2 ** ((age // self.first_look).bit_length() - 1)
        is_its_turn: bool = age - turn < max(2 * self.sweep_every, turn / 16)
        return self.looks_always or age >= OPEN_AT_MOST or is_its_turn

    def publication_due(self, number: int) -> timedelta:
        """How long after publication ``number - 1`` publication ``number`` is due."""
        doublings: int = 2 ** (number - 1)
        return self.republish_after * doublings


CLOUD = Pace(
    beat=timedelta(seconds=15),
    dead_after=timedelta(seconds=60),
    sweep_every=timedelta(minutes=1),
    first_look=timedelta(seconds=30),
    republish_after=timedelta(minutes=10),
    rest=timedelta(seconds=1),
    looks_always=False,
)

ONE_MACHINE = Pace(
    beat=timedelta(seconds=2),
    dead_after=timedelta(seconds=10),
    sweep_every=timedelta(seconds=5),
    first_look=timedelta(seconds=5),
    republish_after=timedelta(seconds=5),
    rest=timedelta(0),
    looks_always=True,
)
