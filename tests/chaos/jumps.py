"""The host's clock set an hour and a day back and ahead, while jobs are at each of their stages (C1)."""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from bench.progress import track
from tests import loopback
from tests.chaos.apps import HostClock
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.chaos.waiting import WITHIN_S, comes
from tests.promises import require
from tests.world import push_body

HOUR_S, DAY_S = 3600.0, 86_400.0
JUMPS_S = (-HOUR_S, HOUR_S, -DAY_S, DAY_S, DAY_S)
#: By then everything is done that a jump has met: what waits for the clock would wait for an hour.
#: For so long things are held in the middle: longer than a claim lives without a beat.
HELD_S = 1.5


def clock_set(folder: Path, effort: Effort) -> Finding:
    """Set the host's clock again and again, each time with something at every stage (C1)."""
    found: list[str] = []
    took_s: list[float] = []
    jumps_s = JUMPS_S * max(1, effort.repeats // 12)
    folder.mkdir(parents=True, exist_ok=True)
    host = HostClock(jumps=folder / "jumps")
    host.set(at_s := 0.0)
    with Plant(folder / "plant", workers=2, jumps=str(host.jumps)) as plant, ThreadPoolExecutor(4) as pool:
        plant.queue.clock = host  # the broker is on the same machine
        for jump_s in track(jumps_s, "clock set"):
            at_s += jump_s
            with violations(found, f"set by {jump_s / HOUR_S:+.0f} h"):
                stages = _Stages(plant, pool)
                began = time.monotonic()
                host.set(at_s)
                stages.require_as_promised()
                took_s.append(time.monotonic() - began)
    most_s = max(took_s, default=0.0)
    figure = f"clock set {len(jumps_s)} times by an hour or a day: all done after {most_s:.1f} s at most"
    return Finding(runs=len(jumps_s), violations=found, figure=figure)


class _Stages:
    """A job at each stage, an upload whose photo is still to come, and results to be fetched."""

    def __init__(self, plant: Plant, pool: ThreadPoolExecutor) -> None:
        self.plant = plant
        self.done, self.rendered, self.queued, self.dead = (plant.new_id() for _ in range(4))
        plant.accept(self.done)
        plant.require_succeeded(self.done)
        wanted = {"content_type": "image/jpeg", "bytes": len(plant.photo)}
        self.ticket = self._post("/v1/uploads", wanted).json()
        self._begin_rendering()
        plant.pause()
        plant.accept(self.queued)
        self._leave_dead_claim()
        self._begin_submission(pool)

    def _begin_rendering(self) -> None:
        job_id, plant = self.rendered, self.plant
        at_work = plant.order("worker", act="hold", who=job_id, only="during model", seconds=HELD_S)
        plant.accept(job_id)
        self._await("worker", at_work)

    def _leave_dead_claim(self) -> None:
        """Leave the claim of a worker that has just gone without a word."""
        self.plant.accept(self.dead)
        self.plant.store.create(
            f"jobs/{self.dead}/e0/claims/1.json", b'{"version": 1, "worker": "elsewhere"}'
        )

    def _begin_submission(self, pool: ThreadPoolExecutor) -> None:
        """Hold a submission before it promises, and let its publish fail: then the marker is all there is."""
        plant, self.key = self.plant, f"key-{self.plant.new_id()}"
        self.failing = plant.order("api", act="fail", who=self.key, only="before queue.publish *")
        in_it = plant.order(
            "api", act="hold", who=self.key, only="before store.create jobs/*/accepted.json", seconds=HELD_S
        )
        self.submitted = pool.submit(plant.submit, self.key)
        self._await("api", in_it)

    # --- afterwards -----------------------------------------------------------------------------

    def require_as_promised(self) -> None:
        """Require that who lives is left alone, that nobody waits, and that what was given out is good."""
        self._require_claim_lives()
        self.plant.resume()
        accepted = self._accepted(self.submitted.result(30))
        self.plant.require_done("api", self.failing, "nothing was published")
        uploaded = self._accepted(self._uploaded())
        claims = {self.rendered: 1, self.queued: 1, self.dead: 2, accepted: 1, uploaded: 1}
        for job_id, number in claims.items():
            self.plant.require_succeeded(job_id, WITHIN_S)
            taken = len(self.plant.promises.job(job_id).worked.claims)
            require(taken == number, "C1", f"{job_id} was claimed {taken} times, not {number}")
        self._require_results()

    def _require_claim_lives(self) -> None:
        """Deliver again what is being rendered: its claim is as young as before."""
        for _ in range(3):
            answer = self.plant.push(push_body(self.rendered))
            require(answer == http.client.SERVICE_UNAVAILABLE, "C1", f"{answer} while it is rendered")

    def _uploaded(self) -> httpx.Response:
        ticket = self.ticket
        sent = loopback.put(
            ticket["url"], content=self.plant.photo, headers=ticket["headers"], timeout=30
        ).status_code
        require(sent == http.client.NO_CONTENT, "C1", f"{sent} to a photo within seconds of its ticket")
        return self._post("/v1/jobs", {"upload_id": ticket["upload_id"]})

    def _accepted(self, answer: httpx.Response) -> str:
        require(answer.status_code == http.client.ACCEPTED, "C1", f"{answer.status_code}: {answer.text}")
        return answer.json()["id"]

    def _require_results(self) -> None:
        job = loopback.get(f"{self.plant.api.url}/v1/jobs/{self.done}", timeout=30).json()
        answer = loopback.get(job["results"]["color"]["url"], timeout=30)
        require(answer.status_code == http.client.OK, "C1", f"{answer.status_code} to a result's URL")

    def _post(self, path: str, document: dict[str, object]) -> httpx.Response:
        return loopback.post(f"{self.plant.api.url}{path}", json=document, timeout=30)

    def _await(self, service: str, order: str) -> None:
        require(comes(lambda: self.plant.is_done(service, order)), "C1", "the moment never came")
