"""A folder of objects is shared by processes without one lost write, and outlives their sudden deaths."""

import hashlib
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from shared.folder_store import FolderStore
from tests.contracts.stores import names

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.system


#: What every process of a race begins with: a store, and a start on the parent's word.
PRELUDE = """
import hashlib, random, sys
from contextlib import suppress
from pathlib import Path
from shared.errors import *
from shared.folder_store import FolderStore

number = int(sys.argv[2])
store = FolderStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(root) -> FolderStore:
    return FolderStore(root)


def drafts(root: Path) -> list[Path]:
    return list((root / ".tmp").iterdir())


@contextmanager
def processes(root: Path, count: int, body: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Start so many processes, and let them go at once."""
    command = [sys.executable, "-c", PRELUDE + body, str(root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    started = [
        subprocess.Popen([*command, str(number)], env={"PYTHONPATH": str(ROOT)}, **pipes)
        for number in range(count)
    ]
    try:
        for process in started:
            assert process.stdout.readline() == "ready\n"
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def race(root: Path, count: int, body: str) -> list[str]:
    """Return what each of so many processes has printed."""
    with processes(root, count, body) as started:
        answers = [process.communicate(timeout=60)[0] for process in started]
        assert [process.returncode for process in started] == [0] * count
    return answers


# --- several processes ----------------------------------------------------------------------------


def test_of_the_processes_that_create_a_name_one_wins(store, root) -> None:
    body = """
for i in range(100):
    with suppress(NameTakenError):
        store.create(f"race/{i}/name", b"%d" % number * 5000)
        print(i)
"""
    answers = race(root, 4, body)
    winners = {int(i): number for number, answer in enumerate(answers) for i in answer.split()}
    assert sum(len(answer.split()) for answer in answers) == len(winners) == 100
    assert all(store.read(f"race/{i}/name").data == b"%d" % number * 5000 for i, number in winners.items())
    assert drafts(root) == []


def test_processes_that_count_up_lose_nothing(store, root) -> None:
    store.create("a/counter", b"0")
    body = """
counted = 0
while counted < 50:
    blob = store.read("a/counter")
    with suppress(GenerationMismatchError):
        store.replace("a/counter", b"%d" % (int(blob.data) + 1), generation=blob.stat.generation)
        counted += 1
"""
    race(root, 4, body)
    assert store.read("a/counter").data == b"200"
    assert drafts(root) == []


def test_processes_that_replace_and_delete_one_version_have_one_winner(store, root) -> None:
    for i in range(60):
        store.create(f"a/{i}", b"old")
    body = """
for i in range(60):
    with suppress(GenerationMismatchError, NoSuchObjectError):
        seen = store.stat(f"a/{i}")
        if seen.size == 3 and (i + number) % 2:
            store.delete(seen.name, generation=seen.generation)
        elif seen.size == 3:
            store.replace(seen.name, b"%d" % number, generation=seen.generation)
            print(i)
"""
    answers = race(root, 4, body)
    replaced = {int(i): number for number, answer in enumerate(answers) for i in answer.split()}
    assert sum(len(answer.split()) for answer in answers) == len(replaced)
    assert {f"a/{i}": b"%d" % n for i, n in replaced.items()} == {n: store.read(n).data for n in names(store)}


def test_a_reader_never_sees_a_torn_replace_of_another_process(store, root) -> None:
    generation = store.create("a", b"0" * 300_000).generation
    body = f"""
generation, size = {generation}, 300_000
while True:
    size += 1
    generation = store.replace("a", b"%d" % (size % 10) * size, generation=generation).generation
"""
    seen = {}
    with processes(root, 1, body) as (writer,):
        while len(seen) < 50:
            blob = store.read("a")
            assert blob.stat.size == len(blob.data) == blob.data.count(blob.data[:1])
            assert seen.setdefault(blob.stat.generation, len(blob.data)) == len(blob.data)
            assert writer.poll() is None
    assert list(seen.values()) == sorted(seen.values())


# --- sudden death ---------------------------------------------------------------------------------

WRITER = """
def sealed(size):
    body = random.randbytes(size)
    return hashlib.sha256(body).digest() + body

source = Path(sys.argv[1]).with_name(f"source{number}")
i = 0
while True:
    i += 1
    print(store.create(f"{number}/small/{i}", sealed(random.randrange(300))).name, flush=True)
    print(store.create(f"{number}/large/{i}/object", sealed(300_000)).name, flush=True)
    source.unlink(missing_ok=True)
    source.write_bytes(sealed(200_000))
    print(store.create(f"{number}/file/{i}", source).name, flush=True)
    beat = store.stat("beat")
    with suppress(GenerationMismatchError):
        store.replace("beat", sealed(100_000), generation=beat.generation)
    store.create(f"{number}/gone/{i}", sealed(10))
    store.delete(f"{number}/gone/{i}")
    print(f"-{number}/gone/{i}", flush=True)
"""


def is_whole(data: bytes) -> bool:
    return hashlib.sha256(data[32:]).digest() == data[:32]


def test_a_writer_killed_at_any_moment_leaves_nothing_torn_and_loses_nothing(store, root) -> None:
    store.create("beat", hashlib.sha256(b"").digest())
    chance = random.Random(7)
    for _ in range(6):
        with processes(root, 4, WRITER) as writers:
            answers = []
            for writer in writers:
                time.sleep(chance.uniform(0, 0.03))  # the moment of death is what is tested
                assert writer.poll() is None
                writer.kill()
                answers += writer.communicate()[0].splitlines()
        listed = names(store)
        assert {answer for answer in answers if not answer.startswith("-")} <= set(listed)
        assert not {answer[1:] for answer in answers if answer.startswith("-")} & set(listed)
        assert all(is_whole(store.read(name).data) for name in listed)
        for writer in {name.split("/")[0] for name in listed} - {"beat"}:
            shutil.rmtree(root / writer)  # faster than deletes
    assert names(store) == ["beat"]
    left = drafts(root)
    beat = store.stat("beat")
    assert store.replace("beat", b"", generation=beat.generation).size == 0
    assert store.sweep_temporary(timedelta(0)) == len(left)
    assert drafts(root) == []
