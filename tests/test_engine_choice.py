"""A worker that serves customers runs the engine that it was told to run, and never whatever there is."""

import logging
import socket
import threading
from pathlib import Path

import pytest

from shared.settings import Settings, SettingsError
from worker.engine import build_engine, require_choice


class CloudSettings(Settings):
    """Settings of a worker that is not on one machine with its store and queue."""

    is_one_machine = property(lambda _settings: False)


def settings(kind: type[Settings], engine: str, checkpoint: Path | None = None) -> Settings:
    return kind(store=Path("/objects"), queue=Path("/queue.db"), engine=engine, checkpoint=checkpoint)


def test_in_the_cloud_nobody_serves_grabcut_by_chance() -> None:
    with pytest.raises(
        SettingsError,
        match=r"CUTOUT_ENGINE: auto is for one machine only; expected one of: inspyrenet-base, .*grabcut",
    ):
        require_choice(settings(CloudSettings, "auto"))


@pytest.mark.parametrize(("kind", "engine"), [(CloudSettings, "grabcut"), (Settings, "auto")])
def test_an_engine_that_was_named_is_run_and_one_machine_takes_what_there_is(kind, engine, tmp_path) -> None:
    chosen = settings(kind, engine, checkpoint=tmp_path)
    require_choice(chosen)
    assert build_engine(chosen).name == "grabcut"


def speak_garbage(line: socket.socket) -> None:
    """Answer once as a server of another protocol would."""
    caller, _ = line.accept()
    with caller:
        caller.recv(65536)
        caller.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


def test_auto_takes_grabcut_loudly_where_a_portal_answers_in_place_of_the_network(
    tmp_path, caplog, monkeypatch
) -> None:
    monkeypatch.setattr("worker.engine.MODELS", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as line:
        monkeypatch.setattr("shared.checkpoints._RELEASE", f"http://127.0.0.1:{line.getsockname()[1]}")
        threading.Thread(target=speak_garbage, args=(line,), daemon=True).start()
        with caplog.at_level(logging.WARNING):
            assert build_engine(settings(Settings, "auto")).name == "grabcut"
    [record] = caplog.records
    assert record.message == "engine.fallback"
    assert "BadStatusLine" in record.reason


def test_auto_takes_grabcut_loudly_where_its_folder_is_a_file(tmp_path, caplog, monkeypatch) -> None:
    (models := tmp_path / "models").write_bytes(b"a file")
    monkeypatch.setattr("worker.engine.MODELS", models)
    monkeypatch.setattr("shared.checkpoints._RELEASE", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        assert build_engine(settings(Settings, "auto")).name == "grabcut"
    [record] = caplog.records
    assert record.message == "engine.fallback"
