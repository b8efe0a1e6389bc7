"""A crowd of clients that send a byte a second, and come again each time they are cut off (L3)."""

import contextlib
import http.client
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Self

from tests.chaos.beside import Beside
from tests.chaos.plant import Plant, violations
from tests.chaos.rows import Effort, Finding
from tests.promises import require

CLIENTS, CUT_WITHIN_S, SLOWER_AT_MOST, MEASURED_S = 200, 30.0, 2.0, 20.0


def slow_clients(folder: Path, effort: Effort) -> Finding:
    """Poll and submit alone, then from its first moment on beside a crowd that never gives up (L3)."""
    found: list[str] = []
    number, lasts_s = (CLIENTS, MEASURED_S) if effort.repeats > 1 else (CLIENTS, 5.0)
    with Plant(folder) as plant:
        job_id = plant.submit("polled").json()["id"]
        plant.require_succeeded(job_id)
        alone = _Others(plant, job_id, "alone").measured(lasts_s)
        with _Crowd(plant, number) as crowd:
            beside = _Others(plant, job_id, "beside").measured(lasts_s)
            crowd.let_go(CUT_WITHIN_S + 5)
        for other in (*alone.accepted, *beside.accepted):
            with violations(found, other):
                plant.require_succeeded(other)
    for what in ("poll", "submission"):
        with violations(found, what):
            slower = beside.p95_ms(what) / alone.p95_ms(what)
            require(slower <= SLOWER_AT_MOST, "I7", f"p95 of a {what} is {slower:.1f} times that alone")
    with violations(found, "submissions"):
        require(set(beside.answers) == {202}, "I7", f"answers {dict(beside.answers)}")
    with violations(found, "slow clients"):
        require(crowd.longest_s <= CUT_WITHIN_S, "L3", f"one was held for {crowd.longest_s:.1f} s")
    figure = (
        f"poll {beside.sentence('poll')} (alone {alone.sentence('poll')}), submission "
        f"{beside.sentence('submission')} (alone {alone.sentence('submission')}), answers "
        f"{dict(beside.answers)}; {crowd.cut} cut off, held {crowd.longest_s:.1f} s at most"
    )
    return Finding(runs=number, violations=found, figure=figure)


@dataclass
class _Others:
    """Clients that poll and submit, and what became of it."""

    plant: Plant
    job_id: str
    name: str
    took_ms: dict[str, list[float]] = field(default_factory=lambda: {"poll": [], "submission": []})
    answers: Counter[int] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)

    def measured(self, lasts_s: float) -> Self:
        """Do both for so long."""
        until = time.monotonic() + lasts_s
        with ThreadPoolExecutor(2) as pool:
            for done in [
                pool.submit(self._repeat, "poll", self._poll, until),
                pool.submit(self._repeat, "submission", self._submit, until),
            ]:
                done.result()
        return self

    def _repeat(self, what: str, act: Callable[[int], None], until: float) -> None:
        number = 0
        while (began := time.monotonic()) < until:
            act(number)
            self.took_ms[what].append((time.monotonic() - began) * 1000)
            number += 1
            time.sleep(0.02)

    def _poll(self, _number: int) -> None:
        address = self.plant.address(self.plant.api)
        with contextlib.closing(http.client.HTTPConnection(*address, timeout=60)) as client:
            client.request("GET", f"/v1/jobs/{self.job_id}")
            client.getresponse().read()

    def _submit(self, number: int) -> None:
        answer = self.plant.submit(f"{self.name}-{number:05}", 60)
        self.answers[answer.status_code] += 1
        if answer.status_code == http.client.ACCEPTED:
            self.accepted.append(answer.json()["id"])

    def p95_ms(self, what: str) -> float:
        return quantiles(self.took_ms[what], n=20)[-1]

    def sentence(self, what: str) -> str:
        took = self.took_ms[what]
        return f"p50 {median(took):.0f}, p95 {self.p95_ms(what):.0f}, max {max(took):.0f} ms"


_HEAD = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 1000000\r\n\r\n--b\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n"
)


class _Client:
    """Sends a byte a second: of its body, or from its very first byte on."""

    def __init__(self, address: tuple[str, int], *, at_once: int) -> None:
        self._at_once = at_once
        self.began, self._sent = time.monotonic(), at_once
        self.socket = socket.create_connection(address)
        self.socket.setblocking(False)
        self.socket.send(_HEAD[:at_once])

    def sends(self) -> bool:
        """Send one byte more; say whether the API still waits for it."""
        try:
            self.socket.send(_HEAD[self._sent : self._sent + 1] or b"x")
            self._sent += 1
            self.socket.recv(1)  # an answer, or the end: it waits no more
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False


class _Crowd(Beside):
    """Slow clients in one thread; who is cut off comes again, until they are let go."""

    def __init__(self, plant: Plant, number: int) -> None:
        super().__init__()
        self._address, self._is_let_go = plant.address(plant.api), False
        self.cut, self.longest_s = 0, 0.0
        self._clients = [self._client(n) for n in range(number)]

    def _client(self, number: int) -> _Client:
        return _Client(self._address, at_once=(len(_HEAD), 1)[number % 2])

    def let_go(self, within_s: float) -> None:
        """Wait until all have been cut off, and come no more; who is left counts as held until now."""
        self._is_let_go = True
        self.join(within_s)
        held_s = [time.monotonic() - client.began for client in self._clients]
        self.longest_s = max([self.longest_s, *held_s])

    def run(self) -> None:
        while self._clients and not self.over.wait(1.0):
            for number, client in enumerate(self._clients):
                if not client.sends():
                    self._clients[number] = self._again(number, client)
            self._clients = [client for client in self._clients if client]

    def _again(self, number: int, client: _Client) -> _Client | None:
        self.cut += 1
        self.longest_s = max(self.longest_s, time.monotonic() - client.began)
        client.socket.close()
        return None if self._is_let_go else self._client(number)
