"""The rows of the fault matrix, and what meets each: a scenario against real processes, or tests."""

from dataclasses import dataclass

from tests.chaos import (
    attempts,
    checkouts,
    crowds,
    deliveries,
    descriptors,
    drains,
    errands,
    freezes,
    jumps,
    kills,
    memory,
    operating,
    outages,
    places,
    planted,
    poison,
    proven,
    publications,
    ready,
    simulated,
    slow,
    stops,
    tending,
)
from tests.chaos.rows import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row, and how it is met."""

    row: str
    fault: str
    scenario: Scenario
    how: str = "real processes"
    has_dice: bool = True  #: whether a seed repeats it


def _by_tests(row: str, fault: str, *tests: str) -> Entry:
    return Entry(row=row, fault=fault, scenario=proven.by(*tests), how=", ".join(tests), has_dice=False)


SCHEMA = ("test_schema.py", "test_schema_replays.py", "test_written_before.py", "test_same_request.py")

MATRIX = (
    Entry(
        row="S",
        fault="anything, simulated under one scheduler",
        scenario=simulated.simulated,
        how="simulation",
    ),
    Entry(row="B", fault="bugs planted on purpose", scenario=planted.planted, how="simulation"),
    Entry(row="W", fault="kill -9 of the worker around every call of a port", scenario=kills.worker_killed),
    Entry(row="A", fault="kill -9 of the API around every call of a port", scenario=kills.api_killed),
    _by_tests("A2", "what a killed API leaves is swept away", "test_accepting.py"),
    Entry(
        row="A6",
        fault="kill -9 of the API in an upload's submission, a cancel, an erasure, a dead letter",
        scenario=errands.asked_and_killed,
    ),
    Entry(
        row="A7",
        fault="kill -9 of the API in an upload, in what operators ask, a warm-up, and each reading",
        scenario=operating.asked_and_killed,
    ),
    Entry(
        row="A8",
        fault="kill -9 of the API in the sweep, in a replay that it drives, and in the broom",
        scenario=tending.swept_and_killed,
    ),
    Entry(
        row="W9",
        fault="kill -9 of the worker in its beats, when it gives back or up, in its reports",
        scenario=attempts.attempted_and_killed,
    ),
    Entry(
        row="W10",
        fault="kill -9 of the worker while a job stands ready for its slot",
        scenario=ready.killed_while_ready,
    ),
    Entry(
        row="K",
        fault="a place that calls a port, and at which nobody was killed in W, W9, A, A6, A7 or A8",
        scenario=places.killed_everywhere,
        has_dice=False,
    ),
    Entry(row="D1", fault="32 duplicates at once", scenario=deliveries.duplicated),
    Entry(row="D2", fault="a settled job's message again", scenario=deliveries.settled_already),
    Entry(
        row="D3",
        fault="envelopes of last week, of settled, cancelled, erased and unknown jobs",
        scenario=deliveries.week_old,
    ),
    _by_tests("D4", "a handler of 13 s under the emulator's deadline of 10 s", "test_ack_deadline.py"),
    Entry(
        row="D5",
        fault="SIGSTOP past the beat at each call after the claim, SIGCONT",
        scenario=freezes.frozen,
    ),
    _by_tests("D6", "malformed messages", "test_deliveries.py"),
    _by_tests("D7", "forged, expired and foreign tokens", "test_push_tokens.py"),
    Entry(row="D8", fault="500 messages to two slots at once", scenario=drains.storm),
    Entry(row="D9", fault="a photo that kills its worker each time", scenario=poison.poisoned),
    _by_tests(
        "D10",
        "dead letters over the emulator",
        "test_protocols.py::test_a_dead_letter_settles_a_job_that_was_tried_and_no_other_and_an_operator_replays_it",
        "test_protocols.py::test_refused_to_the_limit_of_our_own_subscription_a_job_is_dead_and_an_operator_replays_it",
        "contracts/test_dead_letters.py",
    ),
    Entry(
        row="G1",
        fault="the store failing at each call",
        scenario=outages.failing_store,
        how="Google's client, turned clock",
    ),
    _by_tests("G2", "corruption and truncation", "test_gcs_faults.py", "test_gcs_corruption.py"),
    _by_tests("G3", "writes whose answer was lost", "test_gcs_lost_answers.py"),
    _by_tests(
        "G4", "refusals, missing rights, photos that are gone", "test_gcs_refusals.py", "test_settling.py"
    ),
    _by_tests("G5", "one change a second of each name", "test_gcs_run_of_jobs.py"),
    Entry(
        row="P1",
        fault="publish error, hang, lost answer",
        scenario=proven.also(publications.unpublished, "test_pubsub.py"),
        how="real processes, test_pubsub.py",
    ),
    _by_tests(
        "P2",
        "the emulator restarted, the queue lost",
        "test_protocols.py::test_an_emulator_that_is_restarted_in_the_middle_loses_no_job",
        "test_protocols.py::test_a_pause_detaches_the_push_and_an_emulator_that_is_restarted_does_not_undo_it",
        "test_system.py::test_a_queue_that_was_lost_is_made_good_by_the_sweep",
    ),
    Entry(
        row="C1",
        fault="clocks an hour and a day apart, and set by as much while services run",
        scenario=proven.also(
            proven.one_after_another(stops.clocks_apart, jumps.clock_set), "test_steady_clock.py"
        ),
        how="real processes, test_steady_clock.py",
    ),
    Entry(
        row="C2",
        fault="full disks, locked files, 64 files open at most, memory capped",
        scenario=proven.also(
            proven.one_after_another(descriptors.few_files, memory.little_memory),
            "test_broker_disk.py",
            "test_up.py",
            "test_shortage.py",
        ),
        how="real processes, test_broker_disk.py, test_up.py, test_shortage.py",
    ),
    Entry(row="C3", fault="SIGTERM idle, in a job, in a submission", scenario=stops.asked_to_stop),
    Entry(row="L1", fault="a long queue, 5 % duplicates, 1 % kills, two workers", scenario=drains.long_queue),
    Entry(row="L2", fault="100 uploads of 20 MB at once", scenario=crowds.large_uploads),
    Entry(row="L3", fault="200 clients of a byte a second", scenario=slow.slow_clients),
    Entry(
        row="R1",
        fault="records and messages of earlier versions and the next; earlier services beside today's",
        scenario=proven.also(checkouts.beside_earlier, *SCHEMA),
        how=f"real processes, {', '.join(SCHEMA)}",
    ),
    _by_tests("R2", "traffic before the model is ready", "test_worker_app.py"),
)
