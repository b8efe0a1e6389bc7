"""What is done side by side is done at once, is waited for, and says what it raised."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shared import side_by_side
from shared.logs import bound, bound_fields
from shared.side_by_side import both, here, in_thread
from shared.threads import Threads
from tests.beside import ORDERS, Drawn

WAIT_S = 10.0
ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("beside", [here, in_thread, Drawn()])
def test_both_values_come_back_in_their_places(beside) -> None:
    assert both(beside, lambda: 1, lambda: "two") == (1, "two")


def test_threads_do_both_at_once() -> None:
    meeting = threading.Barrier(2)
    assert sorted(both(in_thread, lambda: meeting.wait(WAIT_S), lambda: meeting.wait(WAIT_S))) == [0, 1]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("failing", ["first", "second", "both"])
def test_what_one_raises_is_raised_once_the_other_has_ended(order: str, failing: str) -> None:
    beside, begun = ORDERS[order](), []

    def work(name: str) -> None:
        begun.append(name)
        if failing in (name, "both"):
            raise ValueError(name)

    expected = "second" if failing == "both" else failing
    with pytest.raises(ValueError, match=expected):
        both(beside, lambda: work("first"), lambda: work("second"))
    assert sorted(begun) == ["first", "second"]
    beside.join()


def test_an_error_here_is_told_by_the_future_and_not_by_the_call() -> None:
    future = here(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        future.result()


def test_what_is_logged_beside_belongs_to_the_same_delivery() -> None:
    with bound(job_id="job_1"):
        assert in_thread(bound_fields).result(WAIT_S)["job_id"] == "job_1"


def test_a_system_without_a_thread_to_spare_does_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(side_by_side, "_THREADS", Threads("none waits"))
    before = threading.stack_size(1 << 46)  # more than the address space has
    try:
        future = in_thread(threading.get_ident)
    finally:
        threading.stack_size(before)
    assert future.result(WAIT_S) == threading.get_ident()


def test_a_thread_that_hangs_does_not_keep_the_process_from_ending() -> None:
    go, daemons = threading.Event(), []
    future = in_thread(lambda: (daemons.append(threading.current_thread().daemon), go.wait(WAIT_S)))
    go.set()
    future.result(WAIT_S)
    assert daemons == [True]


_BUILT = """
import os
from api.app import from_environ
from shared.settings import Settings
from worker.app import build_services
api = from_environ().extensions["cutout"]
worker = build_services(Settings.from_environ(os.environ)).services
print(api.ledger.beside.__name__, worker.ledger.beside.__name__, worker.beside.__name__, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(
    ("store", "expected"),
    [("gs://pictures", "in_thread in_thread in_thread"), ("file:///{}/objects", "here here in_thread")],
)
def test_the_services_as_they_are_built_use_threads_over_a_network_and_for_pictures(
    tmp_path: Path, store: str, expected: str
) -> None:
    environ = {
        "PATH": os.defpath,
        "PYTHONPATH": str(ROOT),
        "CUTOUT_STORE": store.format(str(tmp_path).lstrip("/")),
        "CUTOUT_QUEUE": f"sqlite://{tmp_path}/queue.db",
        "CUTOUT_SECRET_KEY": "s" * 32,
        "CUTOUT_ENGINE": "grabcut",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9",  # building the services asks nothing of it
    }
    built = subprocess.run(
        [sys.executable, "-c", _BUILT], env=environ, capture_output=True, text=True, check=True
    )
    assert built.stdout.strip() == expected
