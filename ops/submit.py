"""The command ``./cutout submit``: its options, checked before anything is sent."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ops.arguments import Text, server_options
from ops.batch import Batch, Wishes
from ops.client import connect
from ops.progress import display

_PHOTO = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


def _recipe(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        document = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise click.BadParameter('expected a JSON object, such as {"effects": ["color"], "format": "webp"}')
    return value


@click.command()
@click.argument("photos", metavar="PHOTO...", nargs=-1, required=True, type=_PHOTO)
@click.option(
    "--effects",
    type=Text(may_be_blank=True),
    metavar="A,B",
    help="Names, comma separated; `color` if absent.",
)
@click.option("--recipe", type=Text(), metavar="JSON", callback=_recipe, help="Everything a job may ask for.")
@click.option(
    "--direct", "is_direct", is_flag=True, help="Upload first, straight to the store; up to 50 MB a photo."
)
@click.option("--wait", is_flag=True, help="Wait until every job has settled.")
@click.option(
    "-o", "--out", "folder", metavar="DIR", type=_FOLDER, help="Write the pictures; implies --wait."
)
@click.option("--all", "everything", is_flag=True, help="Write the matte and the preview too.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=600,
    show_default=True,
    help="Wait no longer than this.",
)
@server_options
@click.option("--json", "as_json", is_flag=True, help="Print one job a line, as JSON, and nothing else.")
def submit(**options: Any) -> None:
    """Send photos and, with --wait or -o, wait for their jobs.

    Pictures are written as DIR/STEM.EFFECT.EXT, over what is there; two photos with the same STEM are
    refused. Answers go to standard output, progress to standard error.

    Exit status: 0 all succeeded (without --wait: all accepted), 1 a photo was refused, its job failed or a
    picture could not be written, 2 usage, 3 unreachable or not settled in time, 130 interrupted.
    """
    url, key, wait = options.pop("url"), options.pop("key"), options.pop("wait")
    wishes = Wishes(**options, is_waiting=wait or options["folder"] is not None)
    if wishes.folder:
        _refuse_clashes(wishes.photos, wishes.folder)
        _make_folder(wishes.folder)
    elif wishes.everything:
        raise click.UsageError("--all says what to write; say where with -o DIR")
    with connect(url, key) as client, display() as shown:
        batch = Batch(wishes=wishes, client=client, shown=shown)
        batch.run()
    if batch.has_failed:
        raise click.exceptions.Exit(1)


def _refuse_clashes(photos: Sequence[Path], folder: Path) -> None:
    stems = Counter(photo.stem.casefold() for photo in photos)
    twice = [str(photo) for photo in photos if stems[photo.stem.casefold()] > 1]
    if twice:
        raise click.UsageError(
            f"{', '.join(twice)}: would overwrite each other's pictures in {folder}; "
            "submit them one by one, each into a folder of its own"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(f"{folder}: {error.strerror}", param_hint="-o") from error
