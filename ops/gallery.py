"""``./cutout gallery``: every effect of every photograph that comes with the project, for two prints."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from ops.gallery_page import Line, draw_page, draw_sheet, draw_strip
from ops.own_system import PHOTOS, own_system, send
from shared.catalogue import EFFECTS


class Print(NamedTuple):
    """The size of a print."""

    width_mm: int
    height_mm: int

    @property
    def folder(self) -> str:
        """What its pictures' folder is called."""
        return f"{self.width_mm}x{self.height_mm}mm"


_PRINTS = (Print(60, 60), Print(300, 300))
#: Sizes on paper, so that the prints differ as they would in a customer's hands.
_ON_PAPER: dict[str, dict[str, Any]] = {
    "dithering": {"cell_mm": 0.3},
    "halftone": {"cell_mm": 1.0, "mode": "cmyk"},
    "outline": {"width_mm": 2.0},
}
_TIMEOUT_S = 900


@click.command()
@click.argument(
    "photos",
    metavar="[PHOTO]...",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("gallery-out"),
    show_default=True,
    help="Folder for the pictures.",
)
def gallery(photos: tuple[Path, ...], out: Path) -> None:
    """Render every effect of the photos, or of those in tests/photos, for two prints, and lay it all out.

    Starts a system of its own on a temporary folder, and stops it again. Writes index.html, gallery.png and,
    for the README, strip.jpg.
    """
    photos = photos or tuple(sorted(PHOTOS.glob("*.jpg")))
    with own_system() as url:
        outcomes = {size: _render(photos, size, out, url) for size in _PRINTS}
    lines = [line for size in _PRINTS for line in _lines(photos, size, out, outcomes[size][1])]
    wanted = len(photos) * len(_PRINTS)
    if lines:
        (out / "index.html").write_text(draw_page(lines, out))
        draw_sheet(lines).save(out / "gallery.png")
        draw_strip(max(lines, key=lambda line: line.photo.stat().st_size)).save(out / "strip.jpg", quality=85)
    click.echo(
        f"{len(lines)} of {wanted} jobs succeeded; look at {out / 'index.html'} and {out / 'gallery.png'}"
    )
    if len(lines) < wanted or not all(have_succeeded for have_succeeded, _ in outcomes.values()):
        sys.exit(1)


def recipe_for(size: Print) -> dict[str, Any]:
    """Return what is asked for of each photo."""
    return {
        "effects": [{"name": name, **_ON_PAPER.get(name, {})} for name in EFFECTS],
        "crop": "subject",
        "format": "webp",
        "print_width_mm": size.width_mm,
        "print_height_mm": size.height_mm,
    }


def _render(
    photos: Sequence[Path], size: Print, out: Path, url: str
) -> tuple[bool, dict[str, dict[str, Any]]]:
    folder = out / size.folder
    folder.mkdir(parents=True, exist_ok=True)
    click.echo(
        f"{len(EFFECTS)} effects of {len(photos)} photos, {size.width_mm} x {size.height_mm} mm", err=True
    )
    return send(photos, folder, url, ["--recipe", json.dumps(recipe_for(size)), "--timeout", str(_TIMEOUT_S)])


def _lines(photos: Sequence[Path], size: Print, out: Path, jobs: dict[str, dict[str, Any]]) -> Iterator[Line]:
    for photo in photos:
        job = jobs.get(photo.stem)
        if job and job["status"] == "succeeded":
            dpi, verdict = job["print"]["effective_dpi"], job["print"]["verdict"]
            where = f"{size.width_mm} x {size.height_mm} mm at {dpi:.0f} dpi"
            caption = f"{photo.name}, {where}: {verdict}   ({job['engine']['name']})"
            files = {name: out / size.folder / f"{photo.stem}.{name}.webp" for name in EFFECTS}
            yield Line(caption=caption, photo=photo, pictures=files)
