"""How long it takes to find a day's 10,000 dead letters and to plan their replay, and in what memory.

Theirs reads every record of the day's folder, one after the other, in the bench's process: it answers nobody.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

from bench import dead_letters_cloud
from bench.dead_letters_replay import Planning
from bench.load import Call, ask
from bench.machine import ROOT, peak_bytes, this_machine
from bench.processes import Server, api
from bench.progress import track
from bench.rows import Row, summary, table, write
from bench.timings import in_turns, p95_ms
from bench.working_set import forget_peak
from shared import records
from shared.folder_store import FolderStore

_MANY, _ROUNDS = 10_000, 9
_LIMIT, _AT_MOST_S, _GROWTH_MB = 50, 2.0, 2.0
_SLUGS = ("dead-lettered", "poison", "timeout", "out-of-memory")


def main(rounds: int = _ROUNDS, many: int = _MANY) -> None:
    """Measure, print, and keep it in bench/results unless it was a short run."""
    machine = this_machine()
    (ROOT / ".cutout").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / ".cutout") as folder:
        rows = measure(Path(folder), rounds, many)
        rows += dead_letters_cloud.measure(Path(folder), rounds, many, datetime.now(UTC))
    if (rounds, many) == (_ROUNDS, _MANY):
        write("dead_letters", rows, machine, ROOT / "bench" / "results")
    print(f"{machine.sentence()}\n\n{table(rows)}\n{summary(rows)}")


def measure(data: Path, rounds: int, many: int) -> list[Row]:
    """Fill a store, and ask the API that runs on it."""
    store, now, few = FolderStore(data / "objects"), datetime.now(UTC), many // 2
    questions = [Question(data=data, day=now), Question(data=data, day=now, slug="poison")]
    _fill(store, many, now - timedelta(days=5))
    _fill(store, few, now)
    few_mb = _peaks_mb(questions, few)
    _fill(store, many - few, now, first=few)
    many_mb = _peaks_mb(questions, many)
    with api(data) as server:
        rest_mb = server.child.memory_info().rss / 1e6
        rows = [row for question in questions for row in _times(server, question, rounds, many)]
        rows += Planning(server=server, day=now).rows(rounds, many)
    rows.append(Row(what="API child's resident memory, before it was asked", unit="MB", ours=rest_mb))
    # To find is to look at all and hold few; a plan freezes all that it names.
    bounded = [(f"finds {question.what} of", _GROWTH_MB) for question in questions]
    peaks = [*bounded, ("plans a replay of", None)]
    for (what, at_most), before_mb, after_mb in zip(peaks, few_mb, many_mb, strict=True):
        rows.append(Row(what=f"its peak while it {what} {many}", unit="MB", ours=after_mb))
        growth = f"growth of that peak from {few} to {many}"
        rows.append(Row(what=growth, unit="MB", ours=after_mb - before_mb, at_most=at_most))
    return rows


def _peaks_mb(questions: Sequence["Question"], many: int) -> list[float]:
    """Return the most memory that an API holds while it finds them, and while it plans their replay.

    Each in a process of its own, asked once before: what one question leaves behind is not another's.
    """
    data, day = questions[0].data, questions[0].day
    asked: list[Callable[[Server], float]] = [partial(q.ask, many=many) for q in questions]
    asked.append(lambda server: Planning(server=server, day=day).order(many, is_dry=False))
    return [_peak_mb(data, ask_once) for ask_once in asked]


def _peak_mb(data: Path, ask_once: Callable[[Server], float]) -> float:
    with api(data) as server:
        ask_once(server)
        forget_peak(server)
        ask_once(server)
        return peak_bytes(server.child.pid) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of both sides."""

    data: Path
    day: datetime
    slug: str | None = None

    @property
    def what(self) -> str:
        """In words."""
        return f"those that are {self.slug}" if self.slug else "all"

    def expected(self, many: int) -> int:
        """Return how many are to be found among so many."""
        return many // len(_SLUGS) if self.slug else many

    def ask(self, server: Server, many: int) -> float:
        """Have the API find them; return how long that took."""
        query = f"since={self.day:%Y-%m-%d}&limit={_LIMIT}" + (f"&slug={self.slug}" if self.slug else "")
        began = time.perf_counter()
        _, body = ask(server.port, Call(method="GET", path=f"/v1/dead-letters?{query}", expects=200))
        took_s = time.perf_counter() - began
        self.require(json.loads(body)["count"], many)
        return took_s

    def ask_obviously(self, many: int) -> float:
        """Find them as one writes it first; return how long that took."""
        began = time.perf_counter()
        found = obvious(self.data / "objects" / "dead" / f"{self.day:%Y-%m-%d}", self.slug)
        took_s = time.perf_counter() - began
        self.require(found, many)
        return took_s

    def require(self, found: int, many: int) -> None:
        """Check that a fast answer was a right one."""
        if found != self.expected(many):
            raise RuntimeError(f"{found} found, expected {self.expected(many)} of {many}")


def _times(server: Server, question: Question, rounds: int, many: int) -> Iterator[Row]:
    name = f"{question.what} of a day's {many}, newest {_LIMIT}"
    timings = in_turns(
        name, rounds, lambda: [question.ask(server, many)], lambda: [question.ask_obviously(many)]
    )
    sides = (timings.ours, timings.theirs)
    p50_s, p95_s = [median(seconds) for seconds in sides], [p95_ms(seconds) / 1000 for seconds in sides]
    yield Row(what=f"{name}, p50", unit="s", ours=p50_s[0], theirs=p50_s[1], at_most=_AT_MOST_S)
    yield Row(what=f"{name}, p95", unit="s", ours=p95_s[0], theirs=p95_s[1])


def obvious(folder: Path, slug: str | None) -> int:
    """Count a day's failures as one writes it first."""
    documents = [json.loads(path.read_bytes()) for path in sorted(folder.iterdir())]
    found = [document for document in documents if slug in {None, document["slug"]}]
    return len(sorted(found, key=lambda document: str(document["at"])))


# --- filling ------------------------------------------------------------------------------------


def _fill(store: FolderStore, count: int, day: datetime, first: int = 0) -> None:
    """Enter failures as the services do."""
    with ThreadPoolExecutor(16) as pool:
        for _ in track(list(pool.map(lambda n: _enter(store, n, day), range(first, first + count))), "fill"):
            pass


def _enter(store: FolderStore, number: int, day: datetime) -> None:
    slug = _SLUGS[number % len(_SLUGS)]
    document = {
        "at": day.isoformat(),
        "slug": slug,
        "error": {
            "slug": slug,
            "title": "The job failed",
            "status": 500,
            "detail": "Given up after 3 attempts.",
        },
        "attempt": 3,
        "settled_by": "worker",
        "tenant": f"{number % 10:032x}",
        "engine": "inspyrenet-base",
    }
    records.write_once(store, records.dead_name(day, f"job_{number:032d}", 0), document)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
