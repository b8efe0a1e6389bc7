"""Where ``./cutout up`` keeps things can be said in a few ways; every other is a sentence and exit 2."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.brokers import EmbeddedBroker
from ops.cli import main
from ops.data_folder import DataFolder
from ops.places import QueuePlace
from shared.errors import StoreUnavailableError
from shared.topology import topology


def said(data: Path, *options: str, **env: str | None) -> str:
    """Run ``up`` where it must refuse, and return what it says."""
    result = CliRunner(env=env).invoke(main, ["up", "--data", str(data), *options])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert not data.exists(), "nothing is made before the options are good"
    return result.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    "text", ["pubsub", "", "http://127.0.0.1:8085", "127.0.0.1", "127.0.0.1:70000", "sqlite"]
)
def test_what_is_no_queue_is_refused(tmp_path: Path, text: str) -> None:
    assert f"expected embedded, emulator or the HOST:PORT of one, got {text!r}." in said(
        tmp_path / "data", "--queue", text
    )


@pytest.mark.parametrize("address", ["10.0.0.7:8085", "emulator.example:8085", "[2001:db8::1]:8085"])
def test_an_emulator_elsewhere_is_refused(tmp_path: Path, address: str) -> None:
    assert f"{address} is not this machine; an emulator elsewhere cannot push to it." in said(
        tmp_path / "data", "--queue", address
    )


@pytest.mark.parametrize(
    "text", ["s3://pictures", "pictures", "gs://", "gs://Pictures", "file:///pictures", ""]
)
def test_what_is_no_bucket_is_refused(tmp_path: Path, text: str) -> None:
    assert f"expected gs://BUCKET, got {text!r}" in said(tmp_path / "data", "--store", text)


def test_a_bucket_needs_an_emulator(tmp_path: Path) -> None:
    options = ("--store", "gs://pictures")
    refusal = said(tmp_path / "data", *options, STORAGE_EMULATOR_HOST=None)
    assert "--store needs STORAGE_EMULATOR_HOST: up keeps everything on this machine." in refusal


def test_a_missing_emulator_says_what_to_install(tmp_path: Path) -> None:
    refusal = said(tmp_path / "data", "--queue", "emulator", PATH=str(tmp_path))
    assert "the Pub/Sub emulator is not installed: it needs Java" in refusal
    assert "google-cloud-cli-pubsub-emulator" in refusal


def test_the_embedded_broker_asks_for_a_pause_of_jobs_alone(tmp_path: Path) -> None:
    urls = {"api": "http://127.0.0.1:1", "worker": "http://127.0.0.1:1"}
    broker = EmbeddedBroker(tmp_path / "queue.db", urls, 1)
    answers = iter([True, False])

    def is_paused() -> bool:
        if (answer := next(answers, None)) is None:
            raise StoreUnavailableError("away")
        return answer

    broker._is_paused = is_paused
    assert not broker._is_held("cutout-jobs-dead-api")
    assert [broker._is_held("cutout-jobs-worker") for _ in range(3)] == [True, False, False]


def test_the_embedded_broker_serves_the_topology(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    broker = QueuePlace().broker(folder, {"api": "http://a:1", "worker": "http://w:2"}, 3, {}, print)
    assert isinstance(broker, EmbeddedBroker)
    served = {s.name: (s.topic, s.endpoint, s.max_in_flight) for s in broker._pusher._subscriptions}
    assert served == {
        "cutout-jobs-worker": ("cutout-jobs", "http://w:2/push", 4),
        "cutout-jobs-dead-api": ("cutout-jobs-dead", "http://a:1/internal/dead-letters", 2),
        "cutout-events-api": ("cutout-events", "http://a:1/internal/events", 2),
    }
    worker = next(s for s in broker._pusher._subscriptions if s.name == "cutout-jobs-worker")
    assert (worker.dead_letter_topic, worker.max_attempts) == ("cutout-jobs-dead", 20)
    assert (worker.min_backoff_s, worker.max_backoff_s) == topology().backoff_on_one_machine_s == (1, 30)
