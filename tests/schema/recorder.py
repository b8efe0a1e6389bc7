"""Record what a commit of this project writes: ``python tests/schema/recorder.py COMMIT...``, from the root.

Each commit is checked out elsewhere, and its own test world tells one story there, through its own product
code: jobs in every state they can be left in, and what lies beside them. What it cannot do yet is left out.
"""

import importlib
import json
import logging
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def record(commit: str) -> None:
    """Check a commit out beside this one, and let it write."""
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        subprocess.run(["git", "worktree", "add", "--detach", other, commit], cwd=ROOT, check=True)
        try:
            subprocess.run([sys.executable, __file__, "--here", f"{commit}.json"], cwd=other, check=True)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", other], cwd=ROOT, check=True)


def write_here(file: Path) -> None:
    """Tell the story in the checkout that is the current folder; one record a line."""
    sys.path.insert(0, str(Path.cwd()))
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        for chapter in CHAPTERS:
            with suppress(NotYetError):
                chapter(story)
        written = story.document(Path(folder))
    parts = [f"{json.dumps(name)}: {_lines(part)}" for name, part in written.items()]
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def _lines(part: Any) -> str:
    if isinstance(part, dict):
        inner = [f"{json.dumps(name)}: {json.dumps(value, sort_keys=True)}" for name, value in part.items()]
        return "{\n" + ",\n".join(inner) + "\n}"
    return "[\n" + ",\n".join(json.dumps(value, sort_keys=True) for value in part) + "\n]"


def theirs(module: str) -> Any:
    """Import a module of the checkout that is the current folder."""
    return importlib.import_module(module)


class NotYetError(Exception):
    """The commit has no such call."""


class Story:
    """A world of the other commit, and the names of what was made in it."""

    def __init__(self, folder: Path) -> None:
        worlds = theirs("tests.world")
        self.world = theirs("tests.api_world").ApiWorld(folder)
        self.killed, self.process = worlds.Killed, worlds.Process
        self.world.photo = (HERE / "photo.jpg").read_bytes()
        self.names: dict[str, str] = {}  #: ids by what they stand for

    def call(self, method: str, path: str, **request: Any) -> Any:
        answer = self.world.client.open(path, method=method, **request)
        if answer.status_code in (404, 405):
            raise NotYetError(path)
        assert answer.status_code < 300, answer.json
        return answer.json

    def submit(self, name: str, **fields: str) -> str:
        answer = self.world.submit(headers={"Idempotency-Key": f"key-{name}"}, **fields)
        assert answer.status_code == 202, answer.json
        self.names[name] = answer.json["id"]
        return answer.json["id"]

    def deliver(self, job_id: str, services: Any = None, epoch: int = 0) -> None:
        with suppress(self.killed):
            self.world.deliver(services, job_id=job_id, epoch=epoch)

    def done(self, name: str, **fields: str) -> str:
        job_id = self.submit(name, **fields)
        self.deliver(job_id)
        return job_id

    def failing(self, name: str, error: BaseException, times: int) -> str:
        job_id, model = self.submit(name), self.world.model

        def during() -> None:
            self.world.tick_pulses()
            raise error

        model.during = during
        for _ in range(times):
            self.world.pulses.clear()
            self.deliver(job_id)
            self.world.clock.turn(minutes=2)
        model.during = None
        return job_id

    def dead(self, name: str) -> str:
        """Let a job fail as if no worker had been there for it."""
        settling, gone = theirs("shared.settling"), theirs("shared.errors").DeadLetteredError("gone")
        job_id, ledger = self.submit(name), self.world.ledger()
        ended = settling.failed(gone, ledger, by="sweep")
        settling.settle(ledger, job_id, 0, ended)
        return job_id

    def dies_at(self, part: str) -> Any:
        """A process that is killed after a call about something."""

        def spy(call: str) -> None:
            if call.startswith("after") and part in call:
                raise self.killed(call)

        return self.process(spy)

    def document(self, folder: Path) -> dict[str, Any]:
        world = self.world
        told = {
            name: self.call("GET", f"/v1/jobs/{job_id}")
            for name, job_id in self.names.items()
            if job_id.startswith("job_")
        }
        objects = {
            name: json.loads(world.store.read(name).data)
            for name in world.names()
            if not name.startswith(("inputs/", "results/"))
        }
        published = [[found.topic, found.data.decode()] for found in world.queue.published]
        return {
            "at": [world.clock().isoformat()],
            "names": self.names,
            "told": {name: {part: job[part] for part in TOLD} for name, job in told.items()},
            "objects": objects,
            "photos": world.names("inputs/"),
            "published": published,
            "queue": _queue(folder, published),
        }


TOLD = ("status", "epoch", "attempt", "error", "recipe", "metadata", "expires_at")


def _queue(folder: Path, published: list[list[str]]) -> list[str]:
    """Return the embedded queue's file as SQL, with the first messages in it."""
    queue = theirs("shared.sqlite_queue").SqliteQueue(folder / "queue.db")
    for topic, data in published[:3]:
        queue.publish(topic, data.encode())
    with closing(sqlite3.connect(queue.path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        return [*connection.iterdump(), f"PRAGMA user_version = {version};"]


# --- the story ----------------------------------------------------------------------------------


def _after_a_day(story: Story) -> None:
    story.submit("dead after a day")
    story.world.clock.turn(hours=25)
    story.world.sweep()


def _open(story: Story) -> None:
    story.submit("queued")
    effects = [effect["name"] for effect in story.call("GET", "/v1/effects")["effects"]]
    story.submit("every effect", effects=",".join(effects), print_width_mm="40", print_height_mm="40")
    story.failing("silent", story.killed("as if by -9"), 1)
    story.failing("released", MemoryError(), 1)


def _settled(story: Story) -> None:
    story.done(
        "succeeded",
        metadata='{"order": 7}',
        effects="color,enhancedblackwhite",
        format="webp",
        crop="subject",
        print_width_mm="50",
        print_height_mm="50",
    )
    story.deliver(story.failing("poison", story.killed("as if by -9"), 3))
    story.deliver(story.failing("out of memory", MemoryError(), 3))
    corrupt = theirs("shared.errors").ImageCorruptError("The photo ends in the middle.")
    story.failing("photo at fault", corrupt, 1)
    story.call("POST", f"/v1/jobs/{story.submit('cancelled')}/cancel")


def _half_done(story: Story) -> None:
    world = story.world
    story.deliver(story.submit("settled and owing"), world.services(story.dies_at("terminal.json")))
    with suppress(story.killed):
        world.api(story.dies_at("e1/opened.json")).delete(f"/v1/jobs/{story.done('half erased')}")


def _erased(story: Story) -> None:
    story.call("DELETE", f"/v1/jobs/{story.done('erased')}")
    story.call("DELETE", f"/v1/jobs/{story.dead('dead and erased')}")


def _replayed(story: Story) -> None:
    job_id = story.dead("replayed")
    replay_id = story.call("POST", "/v1/replays", json={"jobs": [job_id], "reason": "fixed", "canary": 1})[
        "id"
    ]
    story.names["replay that ended"] = replay_id
    for _ in range(5):
        story.call("POST", f"/v1/replays/{replay_id}/advance")
        story.deliver(job_id, epoch=1)
        story.world.clock.turn(minutes=1)


def _replaying(story: Story) -> None:
    jobs = [story.dead(f"in a running replay, {n}") for n in range(2)]
    order = {"jobs": jobs, "reason": "fixed", "canary": 1}
    story.names["replay that runs"] = story.call("POST", "/v1/replays", json=order)["id"]
    story.call("POST", f"/v1/replays/{story.names['replay that runs']}/advance")
    order = {"jobs": [story.dead("in a planned replay")], "reason": "fixed"}
    story.names["replay that is planned"] = story.call("POST", "/v1/replays", json=order)["id"]


def _replay_cancelled(story: Story) -> None:
    order = {"jobs": [story.dead("in a cancelled replay")], "reason": "fixed"}
    replay_id = story.call("POST", "/v1/replays", json=order)["id"]
    story.names["replay that was cancelled"] = replay_id
    story.call("POST", f"/v1/replays/{replay_id}/cancel", json={"reason": "wrong day", "by": "bob"})


def _resolved(story: Story) -> None:
    order = {"jobs": [story.dead("resolved")], "reason": "refunded"}
    story.call("POST", "/v1/dead-letters/resolve", json=order)


def _uploads(story: Story) -> None:
    def begin(name: str) -> str:
        wanted = {"content_type": "image/jpeg", "bytes": len(story.world.photo)}
        ticket = story.call("POST", "/v1/uploads", json=wanted)
        story.names[name] = ticket["upload_id"]
        return ticket["upload_id"]

    def put(upload_id: str) -> str:
        story.call("PUT", f"/v1/uploads/{upload_id}", data=story.world.photo)
        return upload_id

    begin("upload that was begun")
    put(begin("upload that has come"))
    wanted = {"upload_id": put(begin("upload that has a job"))}
    story.names["queued by upload"] = story.call("POST", "/v1/jobs", json=wanted)["id"]


def _reported(story: Story) -> None:
    story.call("POST", "/warmup")
    with suppress(ImportError):
        theirs("worker.report").report(story.world.services())


def _swept_up(story: Story) -> None:
    story.call("POST", "/internal/broom")


def _paused(story: Story) -> None:
    story.call("POST", "/v1/delivery/pause", json={"reason": "an incident", "by": "ada"})


CHAPTERS: tuple[Callable[[Story], None], ...] = (
    _after_a_day, _open, _settled, _half_done, _erased, _replayed, _replaying, _replay_cancelled, _resolved,
    _uploads, _reported, _swept_up, _paused,
)  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] == "--here":
        write_here(HERE / "written" / sys.argv[2])
    else:
        for given in sys.argv[1:]:
            record(given)
