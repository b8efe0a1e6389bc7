"""Settings are read once, whole: every fault is reported, and an unknown name is refused."""

from pathlib import Path

import pytest

from shared.settings import Settings, SettingsError

GOOD = {
    "CUTOUT_STORE": "file:///srv/cutout/objects",
    "CUTOUT_QUEUE": "sqlite:///srv/cutout/queue.db",
    "CUTOUT_SECRET_KEY": "s" * 32,
}


def faults(**changes: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({**GOOD, **{f"CUTOUT_{k.upper()}": v for k, v in changes.items()}})
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
