"""``./cutout model``: fetch, convert, look at and verify the checkpoints of the matting engines."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from shared.checkpoint_files import digest_of, read_facts
from shared.checkpoints import CHECKPOINTS, MODELS, Checkpoint, CheckpointError
from shared.fetching import fetch as fetch_published

_ENGINE = click.option(
    "--engine",
    type=click.Choice(list(CHECKPOINTS)),
    default="inspyrenet-base",
    show_default=True,
    help="Whose checkpoint.",
)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def model() -> None:
    """Fetch, convert, look at and verify checkpoints."""


@model.command()
@_ENGINE
@click.option("--to", "folder", type=click.Path(path_type=Path), default=MODELS, help="[default: models/]")
def fetch(engine: str, folder: Path) -> None:
    """Fetch a published checkpoint; a fetch that was broken off goes on where it ended."""
    checkpoint = CHECKPOINTS[engine]
    columns = (
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(checkpoint.file, total=None)

        def show(have: int, total: int | None) -> None:
            progress.update(task, completed=have, total=total)

        try:
            fetched = fetch_published(checkpoint, folder, show)
        except CheckpointError as error:
            raise click.ClickException(str(error)) from None
    if fetched.put_aside:
        click.echo(f"What lay there was not what was published; it is now {fetched.put_aside}", err=True)
    click.echo(fetched.file)


@model.command()
@_ENGINE
@click.argument("checkpoint", type=_FILE, required=False)
@click.argument("target", type=_FILE, required=False)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Of what is written: below float32 half the size, for a checkpoint that has been verified.",
)
def convert(engine: str, checkpoint: Path | None, target: Path | None, precision: str) -> None:
    """Convert a published checkpoint into a file that loads faster."""
    known = CHECKPOINTS[engine]
    source, target = checkpoint or MODELS / known.file, target or MODELS / known.converted
    facts = next(_worker("convert", engine, str(source), str(target), precision))
    click.echo(f"{facts['file']}  {facts['bytes'] / 1e6:.0f} MB  {precision}  from sha256 {facts['sha256']}")


@model.command()
@_ENGINE
@click.argument("checkpoint", type=_FILE)
@click.argument("photos", type=_FILE, nargs=-1, required=True)
def verify(engine: str, checkpoint: Path, photos: tuple[Path, ...]) -> None:
    """Run the published package and ours side by side, and decide how precisely this checkpoint must run.

    Until this has passed, the worker runs a checkpoint in float32.  Only what this machine multiplies in is
    judged: a CPU without AVX-512 knows float32 alone.
    """
    table = Table("photo", "precision", "mean", "largest", "off by > 4/255", "ours", "package", "passed")
    facts: dict[str, Any] = {}
    for facts in _worker("verify", engine, str(checkpoint), *map(str, photos)):
        if "photo" in facts:
            table.add_row(*_row(facts))
    Console(markup=False).print(table)
    passed = facts["passed"]
    click.echo(
        f"{checkpoint} may run in: {', '.join(passed) or 'nothing: it does not agree with the package'}"
    )
    if not passed:
        sys.exit(1)


def _row(facts: dict[str, Any]) -> Iterator[str]:
    yield from (facts["photo"], facts["precision"], f"{facts['mean']:.2e}", f"{facts['largest']:.2e}")
    yield from (f"{facts['far_share']:.2%}", f"{facts['ours_s']:.2f} s", f"{facts['theirs_s']:.2f} s")
    yield "yes" if facts["passed"] else "NO"


@model.command()
def info() -> None:
    """Say which checkpoints lie on this machine, and whether they are what was published."""
    table = Table("engine", "file", "bytes", "is")
    for checkpoint in CHECKPOINTS.values():
        for name in (checkpoint.file, checkpoint.converted):
            file = MODELS / name
            size = f"{file.stat().st_size:,}" if file.is_file() else ""
            table.add_row(checkpoint.engine, str(file), size, standing(checkpoint, file))
    Console(markup=False).print(table)


def standing(checkpoint: Checkpoint, file: Path) -> str:
    """Say what a file that may be an engine's is."""
    if not file.is_file():
        return "not here"
    try:
        return (_converted if file.name == checkpoint.converted else _published)(checkpoint, file)
    except (CheckpointError, OSError) as error:
        return f"NOT usable: {error}"


def _published(checkpoint: Checkpoint, file: Path) -> str:
    found = digest_of(file, "md5")
    return "as published" if found == checkpoint.md5 else f"NOT as published: md5 {found}"


def _converted(checkpoint: Checkpoint, file: Path) -> str:
    facts = read_facts(file)
    if facts["digest"] != digest_of(file, "sha256"):
        return "NOT usable: damaged. Convert it again."
    if facts["engine"] != checkpoint.engine:
        return f"NOT usable: converted for {facts['engine']}"
    return f"converted for {facts['engine']}, {facts['precision']}"


def _worker(module: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """Run one of the worker's programs in the caller's folder, and yield the JSON lines that it prints."""
    command = [sys.executable, "-P", "-m", f"worker.matting.{module}", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            yield json.loads(line)
    if process.returncode:
        sys.exit(process.returncode)
