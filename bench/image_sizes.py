"""How large the two images are, without their base.

They are built without Docker; torch for CUDA and the weights, which cannot be had everywhere, are left out.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import click

from bench.dockerfiles import read
from bench.dry_build import Builder, Image
from bench.machine import ROOT, this_machine
from bench.rows import Row, table, write
from bench.sandbox import SandboxUnavailableError, require_sandbox


def measure(service: str, scratch: Path) -> list[Row]:
    """Build an image and measure its packages and its code."""
    weights = scratch / "weights"
    weights.touch()
    image = Builder(
        dockerfile=read(ROOT / f"Dockerfile.{service}"),
        context=ROOT,
        scratch=scratch,
        arguments={"CUTOUT_REVISION": "measured", "CHECKPOINT_MD5": hashlib.md5(b"").hexdigest()},
        fetched=weights,
        left_out={"torch"},
    ).build()
    packages = "packages" if service == "api" else "packages without torch"
    return [_row(f"{service}: {packages}", image, "venv"), _row(f"{service}: code", image, "app")]


def _row(what: str, image: Image, folder: str) -> Row:
    return Row(what=what, unit="MB", ours=image.size_bytes(folder) / 1e6)


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=ROOT / "bench" / "results")
def main(results: Path) -> None:
    """Measure both images and keep what was found."""
    try:
        require_sandbox()
    except SandboxUnavailableError as error:
        sys.exit(str(error))
    machine, rows = this_machine(), []
    for service in ("api", "worker"):
        with tempfile.TemporaryDirectory(prefix="cutout-image-") as scratch:
            rows += measure(service, Path(scratch))
    write("image_sizes", rows, machine, results)
    click.echo(f"{machine.sentence()}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
