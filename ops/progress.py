"""Show how photos get on: bars where somebody watches, plain lines where a program reads.

Standard output gets the answers and nothing else; everything that passes is written to standard error.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:  # rich takes a while to import, and a pipe does not need it
    from rich.progress import Progress, TaskID


class Display(Protocol):
    """Where the way of each photo is shown."""

    def sent(self, photo: str, sent_bytes: int, of_bytes: int) -> None:
        """Show how much of a photo has been uploaded."""
        ...

    def seen(self, photo: str, job: Mapping[str, Any]) -> None:
        """Show that a job has been accepted or has changed."""
        ...

    def left(self, photo: str) -> None:
        """Show that there is nothing more to wait for."""
        ...

    def answer(self, line: str) -> None:
        """Print a line that is what was asked for."""
        ...

    def remark(self, line: str) -> None:
        """Print a line that people may want to know."""
        ...


@contextmanager
def display() -> Iterator[Display]:
    """Return what suits whoever reads standard error."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    with _bars() as progress:
        yield Bars(progress)


class Lines:
    """One plain line for each change."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def sent(self, photo: str, sent_bytes: int, of_bytes: int) -> None:
        """Implement ``Display``: an upload has no line of its own."""

    def seen(self, photo: str, job: Mapping[str, Any]) -> None:
        """Implement ``Display``."""
        line = f"{photo}  {job['id']}  {standing(job)}"
        if self._last.get(photo) != line:
            self.remark(line)
        self._last[photo] = line

    def left(self, photo: str) -> None:
        """Implement ``Display``: the answer says so already."""

    def answer(self, line: str) -> None:
        """Implement ``Display``."""
        click.echo(line)

    def remark(self, line: str) -> None:
        """Implement ``Display``."""
        click.echo(line, err=True)


class Bars:
    """One bar for each photo that is on its way; lines are printed above the bars."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._waiting: set[str] = set()  #: photos whose upload is over

    def sent(self, photo: str, sent_bytes: int, of_bytes: int) -> None:
        """Implement ``Display``."""
        text = "uploading" if sent_bytes < of_bytes else "sent"
        self._progress.update(self._task(photo), completed=sent_bytes, total=of_bytes or None, standing=text)

    def seen(self, photo: str, job: Mapping[str, Any]) -> None:
        """Implement ``Display``: a bar without a total moves to and fro, but a total cannot be taken back."""
        if photo not in self._waiting:
            self.left(photo)
            self._waiting.add(photo)
        self._progress.update(self._task(photo), standing=f"{job['id']}  {standing(job)}")

    def left(self, photo: str) -> None:
        """Implement ``Display``."""
        self._waiting.discard(photo)
        if photo in self._tasks:
            self._progress.remove_task(self._tasks.pop(photo))

    def answer(self, line: str) -> None:
        """Implement ``Display``: on the same terminal the bars must make room."""
        if sys.stdout.isatty():
            self.remark(line)
        else:
            click.echo(line)

    def remark(self, line: str) -> None:
        """Implement ``Display``."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _task(self, photo: str) -> "TaskID":
        if photo not in self._tasks:
            self._tasks[photo] = self._progress.add_task(photo, total=None, standing="")
        return self._tasks[photo]


def standing(job: Mapping[str, Any]) -> str:
    """Say where a job stands."""
    phase = job.get("phase") or job["status"]
    attempt = f", attempt {job['attempt']}" if job.get("attempt") else ""
    return f"{job['status'] if phase == 'settled' else phase}{attempt}"


def _bars() -> "Progress":
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - as above

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[standing]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
