"""A worker that serves customers runs the engine that it was told to run, and never whatever there is."""

from pathlib import Path

import pytest

from shared.settings import Settings, SettingsError
from worker.engine import build_engine, require_choice


class CloudSettings(Settings):
    """Settings of a worker that is not on one machine with its store and queue."""

    is_one_machine = property(lambda _settings: False)


def settings(kind: type[Settings], engine: str) -> Settings:
    return kind(store=Path("/objects"), queue=Path("/queue.db"), engine=engine)


def test_in_the_cloud_nobody_serves_grabcut_by_chance() -> None:
    with pytest.raises(
        SettingsError,
        match=r"CUTOUT_ENGINE: auto is for one machine only; expected one of: inspyrenet-base, .*grabcut",
    ):
        require_choice(settings(CloudSettings, "auto"))


@pytest.mark.parametrize(("kind", "engine"), [(CloudSettings, "grabcut"), (Settings, "auto")])
def test_an_engine_that_was_named_is_run_and_one_machine_takes_what_there_is(kind, engine) -> None:
    chosen = settings(kind, engine)
    require_choice(chosen)
    assert build_engine(chosen).name == "grabcut"
