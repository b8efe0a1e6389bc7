"""``./cutout demo``: the whole system, once, on the photographs that come with it."""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ops.contact_sheet import Row, draw_sheet

_ROOT = Path(__file__).resolve().parent.parent
_PHOTOS = _ROOT / "tests" / "photos"
_EFFECTS = ("color", "enhancedblackwhite")
_START_WITHIN_S, _STOP_WITHIN_S = 60, 15
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
    photos = sorted(_PHOTOS.glob("*.jpg"))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cutout-demo-") as folder, _system(Path(folder)) as url:
        status, jobs = _submit(photos, out, url)
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
    if status or len(rows) < len(photos):
        sys.exit(1)


@contextmanager
def _system(data: Path) -> Iterator[str]:
    """Run ``./cutout up`` beside us, and leave nothing of it behind."""
    command = [sys.executable, "-m", "ops", "up", "--port", "0", "--data", str(data)]
    with subprocess.Popen(
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        timer = threading.Timer(_START_WITHIN_S, process.kill)
        try:
            timer.start()
            line = process.stdout.readline() if process.stdout else ""
            timer.cancel()
            if not line.startswith("ready "):
                raise click.ClickException("the system did not start; the lines above say why")
            yield line.removeprefix("ready ").strip()
        finally:
            timer.cancel()
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _submit(photos: Sequence[Path], out: Path, url: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Submit the photos by the command that a user would take; return its status and the jobs by stem."""
    command = [
        sys.executable,
        "-m",
        "ops",
        "submit",
        *map(str, photos),
        "--url",
        url,
        "-o",
        str(out.absolute()),
    ]
    options = ["--effects", ",".join(_EFFECTS), "--all", "--json", "--timeout", "170"]
    done = subprocess.run([*command, *options], cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=False)
    jobs = [json.loads(line) for line in done.stdout.splitlines()]
    # Photos are told apart by their bytes: jobs come in the order in which they settled.
    by_size = {photo.stat().st_size: photo.stem for photo in photos}
    return done.returncode, {by_size[job["input"]["bytes"]]: job for job in jobs}


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
