"""The rules by which operators and clients ask things of the API, and the broom has its turns.

They are one half of ``tests.machine``: what is asked goes through the API's own routes, as tasks that may be
killed anywhere, and each answer is held against what was true as it was asked for.
"""

import contextlib
import hashlib
from collections import defaultdict
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from shared import records, settling
from shared.broom import LEAST_RETENTION
from shared.errors import DeadLetteredError, GenerationMismatchError, JobUnreadableError, NameTakenError
from shared.history import Release
from shared.jobs import Job, Kind
from shared.pausing import held_routes
from shared.records import Terminal
from shared.replays import marker_name
from tests.promises import record, require
from tests.simulation import Answer, Simulation, Task
from tests.world import photo_bytes

PICK = st.integers(0, 255)
#: What operators and clients look at; to look changes nothing.
READS = (
    "/v1/jobs/{job}",
    "/v1/jobs/{job}/results/matte",
    "/v1/jobs/{job}/records",
    "/v1/jobs?status=open",
    "/v1/dead-letters?since=2020-01-01",
    "/v1/dead-letters?slug=dead-lettered&since=12h",
    "/v1/dead-letters/{job}",
    "/v1/dead-letters/{job}/photo",
    "/v1/replays",
    "/v1/replays/{replay}",
    "/v1/models",
    "/v1/delivery",
    "/ready",
)
ALL = {"since": "2020-01-01"}
FILTERS = (None, ALL, {"slug": "dead-lettered"}, {"slug": "dead-lettered", "since": "30h"})
#: How fast, how many first, and when to stop.
TERMS = st.fixed_dictionaries(
    {
        "rate_per_s": st.sampled_from([0.5, 2.0, 5.0, 100.0]),
        "stop_above": st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    },
    optional={"canary": st.integers(0, 3)},
)
PUSHES = {held_routes()[0].name: {"endpoint": "https://worker.example", "email": "e", "audience": "a"}}
PAUSED = "delivery/paused.json"
RETENTIONS = (timedelta(days=3), timedelta(days=2))
_RANKS = {"queued": 0, "processing": 1, "succeeded": 2, "failed": 2, "cancelled": 2}
_REFUSED = frozenset({400, 404, 409, 410, 422, 503})


class Front:
    """What is asked of the API, and what was told; the other half has begun a simulation by then."""

    sim: Simulation

    def __init__(self) -> None:
        super().__init__()
        self.uploads: list[str] = []  #: that were told to somebody
        self.overwritten: set[str] = set()  #: photos
        self.jobs_of: dict[str, set[str]] = defaultdict(set)  #: that a client was told, by upload
        self.replays: dict[str, int] = {}  #: how many jobs each has, as told

    def _ask(
        self, where: int, method: str, path: str, *, what: str = "ask", on_end: Any = None, **asked: Any
    ) -> None:
        process = self._pick(self.sim.live("api"), where)
        end = partial(self._answered_with, f"{method} {path}", on_end)
        self._guarded(lambda: self.sim.ask(process, what, (method, path), asked, on_end=end))

    @staticmethod
    def _answered_with(asked: str, on_end: Any, answer: Answer) -> None:
        is_known = answer.status < 400 or answer.status in _REFUSED
        require(is_known, "I1", f"{asked} was answered with {answer.status}: {answer.data[:300]!r}")
        if on_end:
            on_end(answer)

    def told(self, number: int) -> str:
        """A job that was accepted, if there is one."""
        return self._pick(self._accepted() or ["job_0"], number)

    # --- looking --------------------------------------------------------------------------------

    @rule(path=st.sampled_from(READS), number=PICK, where=PICK)
    def read(self, path: str, number: int, where: int) -> None:
        job_id, replay_id = self.told(number), self._pick(list(self.replays) or ["replay_0"], number)
        job = self.promises.ledger.job(job_id)
        check = {READS[0]: self._was_shown, READS[1]: self._was_handed, READS[7]: self._was_opened}.get(path)
        on_end = partial(check, job) if check and job else None
        self._ask(where, "GET", path.format(job=job_id, replay=replay_id), on_end=on_end)

    @rule(number=PICK, which=PICK)
    def read_what_is_damaged(self, number: int, which: int) -> None:
        """Look at a dead letter in a process that reads one of the job's records damaged."""
        path, names = f"/v1/dead-letters/{self.told(number)}", self.sim.names(f"jobs/{self.told(number)}/")
        whole = [name for name in names if name.endswith(("accepted.json", "opened.json", "terminal.json"))]
        process = self.sim.process("reader", torn=self._pick(whole or ["none"], which))
        end = partial(self._was_named, process.torn)
        self._guarded(lambda: self.sim.ask(process, "ask", ("GET", path), {}, on_end=end))

    @staticmethod
    def _was_named(torn: str, answer: Answer) -> None:
        """A damaged record is named, and no more is wrong."""
        is_named = answer.status == 500 and answer.json["slug"] == JobUnreadableError.slug
        is_known = (
            torn in answer.json["detail"] if is_named else answer.status < 400 or answer.status in _REFUSED
        )
        require(is_known, "I1", f"{torn} is damaged: {answer.status}: {answer.data[:300]!r}")

    def _was_shown(self, before: Job, answer: Answer) -> None:
        """What a client is told is never behind what was true when it asked."""
        if answer.status == 200:
            seen, least = answer.json, (before.epoch, _RANKS[before.status])
            now = seen["epoch"], _RANKS[seen["status"]]
            require(now >= least, "I2", f"{before.id} was shown as {now}, and was {least} before")

    def _was_handed(self, before: Job, answer: Answer) -> None:
        """A picture is what its job has promised, and what is gone stays gone."""
        if before.is_closed and before.status == "succeeded":
            require(answer.status in {410, 503}, "I2", f"{before.id} is closed: {answer.status}")
        if answer.status == 200:
            digest = self.promises.job(before.id).terminal.outcome["matte"]["sha256"]
            require(hashlib.sha256(answer.data).hexdigest() == digest, "I3", f"{before.id}: another matte")
        if answer.status == 410:
            is_near = self.sim.clock() + timedelta(hours=24) >= before.accepted.expires_at  # by a wrong clock
            is_over = is_near or self.promises.job(before.id).is_closed
            require(is_over, "I3", f"{before.id} was said to be gone, and is not")

    @staticmethod
    def _was_opened(before: Job, answer: Answer) -> None:
        require(
            not (before.is_closed and answer.status == 200), "I2", f"{before.id}: its photo was handed out"
        )

    # --- replays --------------------------------------------------------------------------------

    @rule(number=st.integers(0, 3), wanted=st.sampled_from(FILTERS), terms=TERMS, where=PICK)
    def plan_a_replay(self, number: int, wanted: Any, terms: dict[str, float], where: int) -> None:
        """Plan one by its filters or its jobs; a number that was used stands for the plan that it made."""
        jobs = {"filters": wanted} if wanted else {"jobs": self._failed() or ["job_0"]}
        body = {"reason": "mended", "by": "ada", **terms, **jobs}
        headers = {"Idempotency-Key": f"replay-{number}"}
        self._ask(
            where, "POST", "/v1/replays", what="plan", on_end=self._was_planned, json=body, headers=headers
        )

    def _failed(self) -> list[str]:
        jobs = [self.promises.job(job_id) for job_id in self._accepted()]
        return [job.id for job in jobs if job.status == "failed" and not job.is_closed]

    def _was_planned(self, answer: Answer) -> None:
        if answer.status == 201:
            view = answer.json
            count = self.replays.setdefault(view["id"], view["count"])
            require(count == view["count"], "R", f"{view['id']} had {count} jobs, and has {view['count']}")

    @rule(number=PICK, where=PICK)
    def advance_a_replay(self, number: int, where: int) -> None:
        if self.replays:
            path = f"/v1/replays/{self._pick(list(self.replays), number)}/advance"
            self._ask(where, "POST", path, what="advance")

    @rule(number=PICK, where=PICK)
    def cancel_a_replay(self, number: int, where: int) -> None:
        if self.replays:
            path = f"/v1/replays/{self._pick(list(self.replays), number)}/cancel"
            self._ask(where, "POST", path, what="cancel", json={"reason": "not yet mended"})

    @rule(number=PICK, where=PICK)
    def resolve(self, number: int, where: int) -> None:
        if failed := self._failed():
            body = {"jobs": [self._pick(failed, number)], "reason": "the customer has left"}
            self._ask(where, "POST", "/v1/dead-letters/resolve", json=body)

    def check_replays(self) -> None:
        """Hold each replay against what must be true once everybody has had time to finish."""
        for replay_id in self.replays:
            answer = self.sim.client.get(f"/v1/replays/{replay_id}")
            self.promises.replays.check_ended(answer.json)

    # --- uploads --------------------------------------------------------------------------------

    @rule(where=PICK)
    def begin_an_upload(self, where: int) -> None:
        body = {"content_type": "image/jpeg", "bytes": len(self.sim.photo)}
        self._ask(where, "POST", "/v1/uploads", json=body, on_end=self._was_begun)

    def _was_begun(self, answer: Answer) -> None:
        if answer.status == 201:
            self.uploads.append(answer.json["upload_id"])

    @rule(which=PICK, where=PICK)
    def send_a_photo(self, which: int, where: int) -> None:
        if self.uploads:
            path = f"/v1/uploads/{self._pick(self.uploads, which)}"
            self._ask(where, "PUT", path, data=self.sim.photo)

    @rule(which=PICK)
    def send_a_photo_straight(self, which: int) -> None:
        """Let a photo come by a ticket to the store itself, good for its hour whatever has happened."""
        upload_id = self._pick(self.uploads, which) if self.uploads else "none"
        name = f"uploads/{upload_id}.json"
        told = record(self.sim.store, name)["expires_at"] if self.sim.names(name) else None
        if told and self.sim.clock() < datetime.fromisoformat(told):
            with contextlib.suppress(NameTakenError):
                self.sim.store.create(records.input_name(upload_id), self.sim.photo)
            self._look()

    @rule(which=PICK)
    def overwrite_a_photo(self, which: int) -> None:
        """Let another photo come in place of one that was uploaded, as a store without conditions would."""
        name = records.input_name(self._pick(self.uploads, which)) if self.uploads else ""
        with contextlib.suppress(GenerationMismatchError):
            if self.sim.names(name or "inputs/none"):
                self.overwritten.add(name)
                generation = self.sim.store.stat(name).generation
                self.sim.store.replace(name, photo_bytes(33), generation=generation)
                self._look()

    @rule(
        which=PICK,
        where=PICK,
        key=st.sampled_from([None, None, "a", "b"]),
        digest=st.sampled_from(["one", "one", "another"]),
    )
    def submit_an_upload(self, which: int, where: int, key: str | None, digest: str) -> None:
        if self.uploads:
            upload_id = self._pick(self.uploads, which)
            body = {"upload_id": upload_id, "metadata": {"order": digest}}
            headers = {"Idempotency-Key": f"{key}-{upload_id}"} if key else {}
            end = partial(self._was_accepted, upload_id)
            self._ask(where, "POST", "/v1/jobs", json=body, headers=headers, on_end=end)

    def _was_accepted(self, upload_id: str, answer: Answer) -> None:
        if answer.status == 202:
            job_id, jobs = answer.json["id"], self.jobs_of[upload_id]
            jobs.add(job_id)
            require(len(jobs) == 1, "I6", f"{upload_id} was said to be {sorted(jobs)}")
            require(self.promises.ledger.promise(job_id), "I1", f"{job_id} was told and is not promised")

    def of_uploads(self) -> set[str]:
        """The jobs that clients were told of whose photos came before them."""
        return {job_id for jobs in self.jobs_of.values() for job_id in jobs}

    # --- the broom, and switches ----------------------------------------------------------------

    @rule(number=PICK, where=PICK, retention=st.sampled_from(RETENTIONS))
    def sweep_with_the_broom(self, number: int, where: int, retention: timedelta) -> None:
        process = self._pick(self.sim.live("api"), where)
        part = self.told(number).removeprefix("job_")[:2]
        self._guarded(lambda: self._ran(self.sim.broom(process, part, retention)))

    def sweep_everything(self) -> None:
        """Turn the clock until every upload's time is over, and let the broom go over everything."""
        for _ in range(2):
            self.sim.clock.turn(seconds=66 * 60)
            parts = {name.split("job_")[1][:2] for name in self.sim.names("") if "/job_" in name}
            for part in sorted(parts | {"00"}):
                self._guarded(lambda part=part: self.sim.run_to_end(self._swept(part)))
        self.promises.check_bytes(self.sim.clock())

    def _swept(self, part: str) -> Task:
        return self.sim.broom(self.sim.live("api")[0], part, RETENTIONS[-1])

    @property
    def is_paused(self) -> bool:
        return PAUSED in self.sim.store._versions

    @rule(where=PICK, pushes=st.sampled_from([{}, PUSHES]))
    def pause(self, where: int, pushes: dict[str, Any]) -> None:
        self._ask(where, "POST", "/v1/delivery/pause", json={"reason": "an incident", "pushes": pushes})

    @rule(where=PICK)
    def resume(self, where: int) -> None:
        self._ask(where, "POST", "/v1/delivery/resume", json={"attached": list(PUSHES)})

    def end_pause(self) -> None:
        self.sim.client.post("/v1/delivery/resume", json={"attached": list(PUSHES)})
        require(not self.is_paused, "I1", "delivery was resumed, and is paused")

    @rule(where=PICK)
    def ask_for_a_warm_up(self, where: int) -> None:
        self._ask(where, "POST", "/warmup")

    # --- at once --------------------------------------------------------------------------------

    def plan_any(self, dice: Random) -> None:
        """Plan a replay of whatever has failed."""
        terms = {
            "rate_per_s": dice.choice([0.5, 2.0, 5.0, 100.0]),
            "stop_above": dice.choice([0.0, 0.2, 0.5, 1]),
        }
        terms |= {"canary": dice.randint(0, 2)} if dice.random() < 0.8 else {}
        number = len(self.replays) if dice.random() < 0.7 else dice.randrange(4)
        self.plan_a_replay(number, dice.choice(FILTERS), terms, dice.randrange(256))

    def opened_by(self, number: int) -> int:
        """How many jobs a replay has opened."""
        return self.promises.replays.opened_by(list(self.replays)[number])

    def any_that_runs(self, dice: Random) -> int:
        """The number of a replay, one that has not ended if there is one."""
        running = [n for n, each in enumerate(self.replays) if self.sim.names(marker_name(each))]
        return dice.choice(running) if running else dice.randrange(256)

    def bury_some(self, dice: Random, jobs: list[str]) -> None:
        """Let jobs become dead letters: a worker elsewhere died of each, and the queue has given up."""
        for job_id in dice.sample(jobs, dice.randint(2, 6)):
            self.bury(job_id)

    def bury(self, job_id: str) -> None:
        if self.leave_a_dead_claim(job_id):
            ledger = self.sim.ledger()
            standing = ledger.look(job_id, self.promises.job(job_id).epoch)
            error = DeadLetteredError("The queue has given the job up.")
            settling.settle(ledger, job_id, standing.epoch, settling.failed(error, ledger, by="dead-letter"))
            self._look()

    def leave_a_dead_claim(self, job_id: str) -> bool:
        """Let a worker elsewhere claim a job and die, if nobody has claimed it; say whether that is so."""
        ledger = self.sim.ledger()
        if ledger.promise(job_id) is None:
            self.sim.accept(job_id=job_id, digest="one")
            self._look()
        standing = ledger.look(job_id, self.promises.job(job_id).epoch)
        if standing.kind is not Kind.FREE:
            return False
        ledger.claim(standing, {"worker": "elsewhere"})
        self.buried.add(job_id)
        self.sim.clock.turn(seconds=self.sim.pace.dead_after.total_seconds() + 1)
        self._look()
        return True

    def fresh_job(self) -> str:
        """Promise a job that nobody has touched yet, with its message published."""
        job_id = f"job_9{len(self._accepted()):015}"
        self.sim.accept(job_id=job_id, digest="one")
        self._look()
        return job_id

    def leave_a_release(self, reason: Release) -> str:
        """Let a worker elsewhere claim a fresh job and give it back; return the job."""
        job_id, ledger = self.fresh_job(), self.sim.ledger()
        ledger.release(ledger.claim(ledger.look(job_id, 0), {"worker": "elsewhere"}), reason)
        self._look()
        return job_id

    def leave_a_loser(self) -> str:
        """Let a worker elsewhere store a picture of a fresh job and die; return the job."""
        job_id = self.fresh_job()
        self.leave_a_dead_claim(job_id)
        self.sim.store.create(f"{records.results_prefix(job_id, 0, 1)}matte", b"of a loser")
        return job_id

    def leave_a_late_picture(self) -> str:
        """Let a worker elsewhere store a picture of a job that was erased before, and die; return the job."""
        job_id, ledger = self.leave_a_release(Release.SHUTDOWN), self.sim.ledger()
        ended = Terminal(status="cancelled", at=ledger.clock(), settled_by="client")
        settling.settle(ledger, job_id, 0, ended)
        settling.erase(ledger, job_id, kind="erasure", by="client")
        self._look()
        self.sim.store.create(f"{records.results_prefix(job_id, 0, 1)}matte", b"late")
        return job_id

    def leave_a_submission(self) -> None:
        """Let somebody die in the middle of accepting a job, long ago."""
        job_id = f"job_8{len(self.sim.names('open/')):015}"
        with contextlib.suppress(NameTakenError):
            self.sim.store.create(f"{records.input_prefix(job_id)}lost", self.sim.photo)
            self.sim.store.create(records.marker_name(job_id, 0), b"{}")
        self.sim.clock.turn(hours=2)
        self._look()

    def lower_retention(self) -> None:
        """Turn the broom with a retention that is less than any before."""
        known = self.sim.names(LEAST_RETENTION)
        least_s = (
            record(self.sim.store, LEAST_RETENTION)["least_s"] if known else RETENTIONS[0].total_seconds()
        )
        if not known:
            self._guarded(lambda: self.sim.run_to_end(self._swept("00")))
        self.sweep_with_the_broom(0, 0, timedelta(seconds=min(least_s, RETENTIONS[1].total_seconds()) - 60))

    def leave_a_replay_unplanned(self) -> None:
        """Let somebody die who was about to plan a replay, long ago."""
        with contextlib.suppress(NameTakenError):
            self.sim.store.create(marker_name("replay_20260101000000dead"), b"{}")
        self.sim.clock.turn(hours=2)
        self._look()
