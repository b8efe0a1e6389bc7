"""``./cutout demo``: the whole system, once, on the photographs that come with it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ops.contact_sheet import Row, draw_sheet
from ops.own_system import PHOTOS, own_system, send

_EFFECTS = ("color", "enhancedblackwhite")
_STAGES = ("queue", "decode", "matte", "foreground", "effects", "encode", "upload", "total")


@click.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="Folder for the pictures.",
)
def demo(out: Path) -> None:
    """Run the system on the photographs in tests/photos, and write what comes out.

    Starts a system of its own on a temporary folder, and stops it again.
    """
    photos = sorted(PHOTOS.glob("*.jpg"))
    out.mkdir(parents=True, exist_ok=True)
    with own_system() as url:
        options = ["--effects", ",".join(_EFFECTS), "--all", "--timeout", "170"]
        have_all_succeeded, jobs = send(photos, out, url, options)
    if not jobs:
        raise click.ClickException("no photo came back; the lines above say why")
    sheet = out / "contact-sheet.png"
    by_stem = {photo.stem: photo for photo in photos}
    engines = sorted({job["engine"]["name"] for job in jobs.values() if job["engine"]})
    rows = [_row(by_stem[stem], job, out) for stem, job in jobs.items() if job["status"] == "succeeded"]
    if rows:
        draw_sheet(rows, f"Cutout: photo, matte, cut-out, film    (engine: {', '.join(engines)})").save(sheet)
    _print_table(jobs, out)
    click.secho(f"\nENGINE {', '.join(engines).upper()} made these pictures.", bold=True)
    click.echo(f"{len(rows)} of {len(photos)} photos succeeded; look at {sheet}")
    if not have_all_succeeded or len(rows) < len(photos):
        sys.exit(1)


def _row(photo: Path, job: Mapping[str, Any], out: Path) -> Row:
    width, height = job["input"]["width"], job["input"]["height"]
    seconds = job["timings_ms"]["total"] / 1000
    return Row(
        caption=f"{photo.name}   {width} x {height}   {job['engine']['name']}   {seconds:.1f} s",
        photo=photo,
        matte=out / f"{photo.stem}.matte.png",
        pictures={effect: out / f"{photo.stem}.{effect}.png" for effect in _EFFECTS},
    )


def _print_table(jobs: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    click.echo(f"\n{'job':<38}{'status':<11}" + "".join(f"{s:>11}" for s in _STAGES) + "   engine    file")
    for stem, job in jobs.items():
        timings, engine = job["timings_ms"] or {}, (job["engine"] or {}).get("name", "-")
        times = "".join(f"{_ms(timings.get(stage)):>11}" for stage in _STAGES)
        click.echo(f"{job['id']:<38}{job['status']:<11}{times}   {engine:<9} {out / stem}.{_EFFECTS[0]}.png")
    click.echo("times in ms")


def _ms(value: float | Mapping[str, float] | None) -> str:
    if value is None:
        return "-"
    return f"{sum(value.values()) if isinstance(value, Mapping) else value:.0f}"
