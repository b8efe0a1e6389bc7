"""How much is measured: enough for medians that hold, or just enough to see that everything runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Rounds and repetitions of one run."""

    rounds: int
    submits: int  #: in a round of one client, as the next two
    polls: int
    hops: int
    uploads_first: int  #: large uploads before the first look at the memory ...
    uploads: int  #: ... and before the second
    redeliveries: int
    kills: int
    deliveries: int  #: over a slow store, of each side
    jobs: int  #: under the rule of one change a second
    faulted_reads: int
    cloud_uploads: int  #: of each size, over both of Google's clients
    pictures: int  #: rounds of each stage of a picture
    drained: int  #: jobs in a long queue
    swept: int  #: open jobs that a sweep finds ...
    settled: int  #: ... beside so many that have settled

    @staticmethod
    def calls(at_one_client: int, clients: int) -> int:
        """Return how many calls a round has: more where many clients share them."""
        return at_one_client if clients == 1 else max(clients, 4 * at_one_client)


FULL = Effort(
    rounds=8,
    submits=25,
    polls=100,
    hops=50,
    uploads_first=50,
    uploads=500,
    redeliveries=50,
    kills=3,
    deliveries=5,
    jobs=500,
    faulted_reads=1000,
    cloud_uploads=40,
    pictures=3,
    drained=10_000,
    swept=1000,
    settled=100_000,
)
QUICK = Effort(
    rounds=2,
    submits=5,
    polls=20,
    hops=10,
    uploads_first=8,
    uploads=16,
    redeliveries=10,
    kills=1,
    deliveries=1,
    jobs=40,
    faulted_reads=50,
    cloud_uploads=8,
    pictures=1,
    drained=200,
    swept=50,
    settled=1000,
)
