"""Photos on their way: sent one after another, waited for together, their pictures written.

A photo that is refused or fails does not keep the others from being done, and whatever ends the batch
early leaves the ids of the jobs that go on without it.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ops.answers import DamagedError, RefusedError, Seen, UnreachableError
from ops.client import Client
from ops.direct import submit_direct
from ops.pictures import write_pictures
from ops.progress import Display
from ops.show import is_open, job_line, json_line

_WAIT_S = 10
#: While several jobs are open the oldest is waited for, and the others are asked about this often.
_WAIT_AMONG_OTHERS_S = 2
#: A service that answers at once although it was asked to wait is not asked more often than this.
_ROUND_AT_LEAST_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be done with each photo."""

    photos: Sequence[Path]
    effects: str | None = None
    recipe: str | None = None
    is_waiting: bool = False
    is_direct: bool = False  #: whether photos go ahead of their jobs
    folder: Path | None = None
    everything: bool = False  #: the matte and the preview too
    timeout_s: float = 600
    as_json: bool = False

    @property
    def fields(self) -> dict[str, str]:
        """The form's fields beside the photo."""
        fields = {"effects": self.effects, "recipe": self.recipe}
        return {name: value for name, value in fields.items() if value}


@dataclass
class Errand:
    """One photo, and what has become of it."""

    photo: Path
    job: dict[str, Any] = field(default_factory=dict)  #: as it was last seen
    etag: str | None = None
    is_open: bool = False
    has_failed: bool = False

    @property
    def name(self) -> str:
        """The photo as the user named it."""
        return str(self.photo)


@dataclass
class Batch:
    """All photos of one command."""

    wishes: Wishes
    client: Client
    shown: Display
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._errands = [Errand(photo) for photo in self.wishes.photos]

    @property
    def has_failed(self) -> bool:
        """Whether anything was refused, failed, or could not be written."""
        return any(errand.has_failed for errand in self._errands)

    def run(self) -> None:
        """Send everything and wait for it.

        Raises
        ------
        UnreachableError
            If the service cannot be reached, or jobs are still open when the time is up.
        """
        try:
            for errand in self._errands:
                self._send(errand)
            self._wait()
        except (UnreachableError, KeyboardInterrupt):
            self._say_how_to_go_on()
            raise

    # --- sending --------------------------------------------------------------------------------

    def _send(self, errand: Errand) -> None:
        with self._blaming(errand):
            size_bytes = errand.photo.stat().st_size
            submit = partial(submit_direct, self.client) if self.wishes.is_direct else self.client.submit
            seen = submit(
                errand.photo,
                self.wishes.fields,
                secrets.token_urlsafe(24),
                lambda sent: self.shown.sent(errand.name, sent, size_bytes),
            )
            if self.wishes.is_waiting:
                self._take(errand, seen)
            else:
                self._accepted(errand, seen.job)

    def _accepted(self, errand: Errand, job: dict[str, Any]) -> None:
        self.shown.left(errand.name)
        url = (job.get("links") or {}).get("self", "")
        self.shown.answer(
            json_line(job) if self.wishes.as_json else f"{errand.name}  {job_line(job)}  {url}".rstrip()
        )

    # --- waiting --------------------------------------------------------------------------------

    def _wait(self) -> None:
        until = self.monotonic() + self.wishes.timeout_s
        while waiting := [errand for errand in self._errands if errand.is_open]:
            began = self.monotonic()
            patient_s = _WAIT_S if len(waiting) == 1 else _WAIT_AMONG_OTHERS_S
            has_changed = [
                self._look(errand, patient_s if errand is waiting[0] else 0, until) for errand in waiting
            ]
            spare_s = _ROUND_AT_LEAST_S - (self.monotonic() - began)
            if not any(has_changed) and spare_s > 0:
                self.sleep(spare_s)

    def _look(self, errand: Errand, wait_s: int, until: float) -> bool:
        """Ask about one job and return whether it has changed."""
        left_s = until - self.monotonic()
        if left_s <= 0:
            raise UnreachableError(f"not settled within {self.wishes.timeout_s:g} s")
        with self._blaming(errand):
            # Without a tag the service would wait until the job has settled, and nothing be shown meanwhile.
            wait_s = min(wait_s, max(1, int(left_s))) if errand.etag else 0
            seen = self.client.look(errand.job["id"], errand.etag, wait_s=wait_s, within_s=left_s)
            if seen is None:
                return False
            self._take(errand, seen)
        return True

    def _take(self, errand: Errand, seen: Seen) -> None:
        """Note what a job has become; write its pictures if there is nothing more to wait for."""
        errand.job, errand.etag, errand.is_open = seen.job, seen.etag, is_open(seen.job)
        if errand.is_open:
            self.shown.seen(errand.name, seen.job)
            return
        errand.has_failed = seen.job["status"] != "succeeded"
        self.shown.left(errand.name)
        try:
            if self.wishes.folder and not errand.has_failed:
                write_pictures(
                    self.client,
                    seen.job,
                    self.wishes.folder,
                    errand.photo.stem,
                    everything=self.wishes.everything,
                )
        finally:
            self._settled(errand)

    def _settled(self, errand: Errand) -> None:
        line = f"{errand.name}  {job_line(errand.job)}"
        if self.wishes.as_json:
            self.shown.answer(json_line(errand.job))
            self.shown.remark(line)
        else:
            self.shown.answer(line)

    # --- what goes wrong ------------------------------------------------------------------------

    @contextmanager
    def _blaming(self, errand: Errand) -> Iterator[None]:
        """Let an error that is about one photo end that photo's errand alone."""
        try:
            yield
        except (RefusedError, DamagedError, OSError) as error:
            errand.is_open, errand.has_failed = False, True
            self.shown.left(errand.name)
            self.shown.remark(f"{errand.name}: {error}")

    def _say_how_to_go_on(self) -> None:
        for errand in self._errands:
            self.shown.left(errand.name)
            if errand.is_open:
                if self.wishes.as_json:
                    self.shown.answer(json_line(errand.job))
                job_id = errand.job["id"]
                self.shown.remark(f"{errand.name}  {job_id}  goes on; look with: ./cutout status {job_id}")
