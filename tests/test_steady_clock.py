"""A folder's clock goes on evenly, whatever is done to the host's, and is one for all processes of a boot."""

import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from shared import steady_clock as module
from shared.folder_store import FolderStore
from shared.steady_clock import steady_clock

HOUR_NS = 3_600_000_000_000
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".tmp").mkdir()
    return tmp_path


def clock_of(folder: Path, *, host_is_ahead_ns: int = 0) -> module.ClockNs:
    """A process's clock, started while the host's was ahead."""
    return steady_clock(folder, folder / ".tmp", lambda: time.time_ns() + host_is_ahead_ns)


def test_at_first_it_is_the_hosts(folder: Path) -> None:
    assert abs(clock_of(folder)() - time.time_ns()) < HOUR_NS / 1000


@pytest.mark.parametrize("jump_ns", [HOUR_NS, -HOUR_NS, -24 * HOUR_NS, 24 * HOUR_NS])
def test_who_starts_after_the_hosts_clock_was_set_goes_by_the_same(folder: Path, jump_ns: int) -> None:
    before, after = clock_of(folder), clock_of(folder, host_is_ahead_ns=jump_ns)
    assert abs(after() - before()) < HOUR_NS / 1000
    assert list((folder / ".tmp").iterdir()) == []


def test_no_age_changes_when_the_hosts_clock_is_set(folder: Path, monkeypatch) -> None:
    store = FolderStore(folder)
    store.create("a", b"")
    real = time.time_ns
    for jump_ns in (-HOUR_NS, HOUR_NS, 24 * HOUR_NS):
        monkeypatch.setattr(time, "time_ns", lambda jump_ns=jump_ns: real() + jump_ns)
        for seen in (store, FolderStore(folder)):
            assert timedelta(0) <= seen.stat("a").age < timedelta(minutes=1)
            assert seen.list("").now - seen.stat("a").updated < timedelta(minutes=1)


def test_another_process_goes_by_it_too(folder: Path) -> None:
    ours = clock_of(folder, host_is_ahead_ns=HOUR_NS)()
    script = "import sys, pathlib, shared.folder_store as s; s.FolderStore(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", f"{script}.create('a', b'')", folder], cwd=ROOT, check=True)
    assert abs((folder / "a").stat().st_mtime_ns - ours) < HOUR_NS / 60


def test_another_boot_begins_by_the_hosts_clock_again(folder: Path, monkeypatch) -> None:
    clock_of(folder, host_is_ahead_ns=HOUR_NS)
    monkeypatch.setattr(module, "_boot_id", lambda: "another")
    assert abs(clock_of(folder)() - time.time_ns()) < HOUR_NS / 1000
    assert json.loads((folder / ".clock").read_text())["boot"] == "another"


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"boot": 1}', '{"offset_ns": "x"}'])
def test_a_damaged_one_is_made_anew(folder: Path, damaged: str) -> None:
    (folder / ".clock").write_text(damaged)
    ours = clock_of(folder, host_is_ahead_ns=HOUR_NS)
    assert abs(clock_of(folder)() - ours()) < HOUR_NS / 1000


def test_where_it_cannot_be_kept_it_goes_all_the_same(folder: Path) -> None:
    (folder / ".tmp").rmdir()
    assert abs(clock_of(folder)() - time.time_ns()) < HOUR_NS / 1000
    assert not (folder / ".clock").exists()


def test_where_no_boot_is_known_it_is_the_hosts(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_boot_id", lambda: None)
    assert clock_of(folder, host_is_ahead_ns=HOUR_NS)() - time.time_ns() > HOUR_NS / 2
    assert not (folder / ".clock").exists()
