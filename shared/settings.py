"""The settings of both services: read once, every fault reported together, unknown names refused.

Nothing else reads the environment.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from shared.engines import ENGINES
from shared.pace import CLOUD, ONE_MACHINE, Pace
from shared.places import (
    PUBSUB_EMULATOR,
    STORAGE_EMULATOR,
    Bucket,
    Project,
    is_in_the_cloud,
    read_queue,
    read_store,
    read_url,
)

PREFIX = "CUTOUT_"


class SettingsError(Exception):
    """One or more settings are wrong; the text names each and what was expected."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator decides. Every field is ``CUTOUT_`` and its name in the environment."""

    store: Path | Bucket  #: a path is the folder of the object store
    queue: Path | Project  #: a path is the file of the embedded queue
    engine: str = "auto"
    checkpoint: Path | None = None  #: a file, or the folder to look in
    device: str = "auto"
    secret_key: bytes = field(default=b"", repr=False)
    admin_key: str | None = field(default=None, repr=False)
    cors_origins: tuple[str, ...] = ()
    public_url: str | None = None
    retention_days: int = 400
    slots: int = 1
    push_audience: str | None = None
    push_email: str | None = None
    revision: str = "development"

    @property
    def retention(self) -> timedelta:
        """How long a job's pictures are kept."""
        return timedelta(days=self.retention_days)

    @property
    def is_one_machine(self) -> bool:
        """Whether store and queue are on this machine, in emulators too: its pace, and its callers only."""
        return not is_in_the_cloud(self.queue)

    @property
    def pace(self) -> Pace:
        """How fast beats, sweeps and publications follow each other."""
        return ONE_MACHINE if self.is_one_machine else CLOUD

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from an environment.

        Raises
        ------
        SettingsError
            With every fault found, not only the first.
        """
        given = {k.removeprefix(PREFIX).lower(): v for k, v in environ.items() if k.startswith(PREFIX) and v}
        faults = [
            f"{PREFIX}{name.upper()} is not a setting; there are: {_names()}"
            for name in given.keys() - set(_NAMES)
        ]
        readers = _READERS | {
            "store": lambda text: read_store(text, environ.get(STORAGE_EMULATOR)),
            "queue": lambda text: read_queue(text, environ.get(PUBSUB_EMULATOR)),
        }
        values: dict[str, Any] = {}
        for name, text in given.items():
            if name in readers:
                try:
                    values[name] = readers[name](text)
                except ValueError as error:
                    # A value may be a secret: say what was expected, not what was found.
                    faults.append(f"{PREFIX}{name.upper()}: {error}")
        faults += _missing(given, values)
        if faults:
            raise SettingsError(sorted(faults))
        return cls(**values)


def _missing(given: Mapping[str, str], values: Mapping[str, Any]) -> list[str]:
    """Return a fault for each setting that must be there and is not, and for places that do not fit."""
    clouds = [is_in_the_cloud(values[name]) for name in ("store", "queue") if name in values]
    expected = _EXPECTED | (_EXPECTED_IN_THE_CLOUD if any(clouds) else {})
    faults = [
        f"{PREFIX}{n.upper()} is not set; expected {expected[n]}" for n in expected.keys() - given.keys()
    ]
    if len(set(clouds)) > 1:
        faults.append(
            f"{PREFIX}STORE and {PREFIX}QUEUE: expected both in the cloud or both on this machine, "
            f"where {STORAGE_EMULATOR} and {PUBSUB_EMULATOR} make a bucket and a project part of it"
        )
    return faults


_EXPECTED = {
    "store": "gs://bucket or file:///folder",
    "queue": "pubsub://project or sqlite:///file",
    "secret_key": "at least 32 characters, the same for every instance",
}
_EXPECTED_IN_THE_CLOUD = {
    "push_audience": "the audience of the tokens that pushes carry",
    "push_email": "the e-mail of the service account that pushes",
}


def _engine(text: str) -> str:
    if text != "auto" and text not in ENGINES:
        raise ValueError(f"expected auto or one of: {', '.join(ENGINES)}")
    return text


def _device(text: str) -> str:
    if text not in {"auto", "cpu", "cuda"}:
        raise ValueError("expected auto, cpu or cuda")
    return text


def _secret(text: str) -> bytes:
    if len(text) < 32:  # noqa: PLR2004 - the one place that knows; 128 bits in hex
        raise ValueError("expected at least 32 characters")
    return text.encode()


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for origin in origins:
        if not re.fullmatch(r"https?://[\w.*-]+(:\d+)?", origin):
            raise ValueError(
                f"expected origins such as https://shop.example or https://*.example, got {origin}"
            )
    return origins


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return read


_READERS: dict[str, Callable[[str], Any]] = {
    "engine": _engine,
    "checkpoint": Path,
    "device": _device,
    "secret_key": _secret,
    "admin_key": str,
    "cors_origins": _origins,
    "public_url": read_url,
    "retention_days": _whole_number(1, 36_500),
    "slots": _whole_number(1, 64),
    "push_audience": str,
    "push_email": str,
    "revision": str,
}

_NAMES = ("store", "queue", *_READERS)


def _names() -> str:
    return ", ".join(f"{PREFIX}{name.upper()}" for name in _NAMES)
