"""Settings are read once, whole: every fault is reported, and an unknown name is refused."""

from pathlib import Path

import pytest

from shared.pace import CLOUD, ONE_MACHINE
from shared.places import Bucket, Project
from shared.settings import Settings, SettingsError

GOOD = {
    "CUTOUT_STORE": "file:///srv/cutout/objects",
    "CUTOUT_QUEUE": "sqlite:///srv/cutout/queue.db",
    "CUTOUT_SECRET_KEY": "s" * 32,
}
IN_THE_CLOUD = {
    "CUTOUT_STORE": "gs://shop-pictures",
    "CUTOUT_QUEUE": "pubsub://shop-prod",
    "CUTOUT_SECRET_KEY": "s" * 32,
    "CUTOUT_PUSH_AUDIENCE": "https://cutout.example",
    "CUTOUT_PUSH_EMAIL": "pusher@shop-prod.iam.gserviceaccount.com",
}
EMULATED = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9023", "PUBSUB_EMULATOR_HOST": "127.0.0.1:8085"}


def faults(given: dict[str, str] | None = None, **changes: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({**(given or GOOD), **{f"CUTOUT_{k.upper()}": v for k, v in changes.items()}})
    return caught.value.faults


def test_what_is_given_is_read_and_the_rest_has_defaults() -> None:
    settings = Settings.from_environ(
        {**GOOD, "CUTOUT_CORS_ORIGINS": "https://a.example, https://*.b.example/", "PATH": "/"}
    )
    assert settings.store == Path("/srv/cutout/objects")
    assert settings.cors_origins == ("https://a.example", "https://*.b.example")
    assert (settings.retention_days, settings.slots, settings.engine) == (400, 1, "auto")


def test_an_unknown_setting_is_refused_by_name() -> None:
    """Field report 36: 17 of 44 settings did anything."""
    (fault,) = faults(retention="7")
    assert fault.startswith("CUTOUT_RETENTION is not a setting; there are: ")
    assert "CUTOUT_RETENTION_DAYS" in fault


def test_every_fault_is_reported_together() -> None:
    found = faults(slots="0", retention_days="soon", public_url="example", store="gs:/x", typo="1")
    assert [fault.split(":")[0].split(" ")[0] for fault in found] == sorted(
        ["CUTOUT_SLOTS", "CUTOUT_RETENTION_DAYS", "CUTOUT_PUBLIC_URL", "CUTOUT_STORE", "CUTOUT_TYPO"]
    )


def test_what_is_missing_says_what_was_expected() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({})
    assert len(caught.value.faults) == 3
    assert "file:///folder" in str(caught.value)


def test_secrets_are_in_no_text() -> None:
    settings = Settings.from_environ({**GOOD, "CUTOUT_ADMIN_KEY": "open-sesame"})
    assert "open-sesame" not in repr(settings)
    assert "ssss" not in repr(settings)
    assert "short" not in "".join(faults(secret_key="short"))


# --- where things are ---------------------------------------------------------------------------


def test_a_bucket_and_a_project_are_the_cloud_and_its_pace() -> None:
    settings = Settings.from_environ(IN_THE_CLOUD)
    assert (settings.store, settings.queue) == (Bucket("shop-pictures"), Project("shop-prod"))
    assert not settings.is_one_machine
    assert settings.pace is CLOUD


def test_what_stands_in_for_the_cloud_is_this_machine_and_its_pace() -> None:
    without_pushers = {k: v for k, v in IN_THE_CLOUD.items() if "PUSH" not in k}
    settings = Settings.from_environ({**without_pushers, **EMULATED})
    assert settings.store == Bucket("shop-pictures", "http://127.0.0.1:9023")
    assert settings.queue == Project("shop-prod", "127.0.0.1:8085")
    assert settings.is_one_machine
    assert settings.pace is ONE_MACHINE


@pytest.mark.parametrize("name", ["CUTOUT_STORE", "CUTOUT_QUEUE"])
def test_an_emulator_goes_with_a_disk(name) -> None:
    assert Settings.from_environ({**GOOD, **EMULATED, name: IN_THE_CLOUD[name]}).is_one_machine
    assert Settings.from_environ({**GOOD, **EMULATED}).is_one_machine


def test_the_cloud_asks_who_may_push_and_reports_it_with_everything_else() -> None:
    """Field report 35: the worker takes only its caller's token."""
    bare = {k: v for k, v in IN_THE_CLOUD.items() if "PUSH" not in k}
    found = faults(bare, slots="0")
    assert [fault.split(":")[0].split(" ")[0] for fault in found] == [
        "CUTOUT_PUSH_AUDIENCE",
        "CUTOUT_PUSH_EMAIL",
        "CUTOUT_SLOTS",
    ]


@pytest.mark.parametrize(
    "half",
    [
        {"CUTOUT_STORE": GOOD["CUTOUT_STORE"]},
        {"CUTOUT_QUEUE": GOOD["CUTOUT_QUEUE"]},
        {"STORAGE_EMULATOR_HOST": EMULATED["STORAGE_EMULATOR_HOST"]},
        {"PUBSUB_EMULATOR_HOST": EMULATED["PUBSUB_EMULATOR_HOST"]},
    ],
    ids=lambda half: next(iter(half)),
)
def test_half_in_the_cloud_is_refused(half) -> None:
    (fault,) = faults({**IN_THE_CLOUD, **half})
    assert fault.startswith(
        "CUTOUT_STORE and CUTOUT_QUEUE: expected both in the cloud or both on this machine"
    )


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("CUTOUT_STORE", "gs://Upper", "gs://bucket or file:///absolute/path"),
        ("CUTOUT_STORE", "gs://bucket/folder", "gs://bucket or file:///absolute/path"),
        ("CUTOUT_STORE", "file://relative", "gs://bucket or file:///absolute/path"),
        ("CUTOUT_QUEUE", "pubsub://a/b", "pubsub://project or sqlite:///absolute/path"),
        ("CUTOUT_QUEUE", "pubsub://", "pubsub://project or sqlite:///absolute/path"),
        ("STORAGE_EMULATOR_HOST", "127.0.0.1:9023", "URL without a query in STORAGE_EMULATOR_HOST"),
        ("PUBSUB_EMULATOR_HOST", "http://127.0.0.1:8085", "HOST:PORT in PUBSUB_EMULATOR_HOST"),
        ("PUBSUB_EMULATOR_HOST", "127.0.0.1:0", "HOST:PORT in PUBSUB_EMULATOR_HOST"),
    ],
)
def test_a_place_that_is_none_says_what_was_expected(name, text, expected) -> None:
    (fault,) = faults({**IN_THE_CLOUD, **EMULATED, name: text})
    assert fault.endswith(expected)
