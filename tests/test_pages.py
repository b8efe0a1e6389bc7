"""The page that people read is readable in a real browser: nothing missing, nothing wider than a phone."""

import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.system import System, in_ci

pytestmark = pytest.mark.system

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=3000",
]


def browse(url: str, profile: Path, *options: str) -> str:
    if CHROMIUM is None:
        if in_ci():
            pytest.fail("CI needs Chromium; .ci/run installs it")
        pytest.skip("no Chromium here: install chromium to check the pages")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_docs_page_shows_every_call(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        page = browse(f"{system.url}/docs", tmp_path / "profile", "--dump-dom")
        for text in ("/v1/jobs/{job_id}/results/{name}", "/warmup", "enhancedblackwhite", "poison"):
            assert text in page
        shot = tmp_path / "docs.png"
        browse(f"{system.url}/docs", tmp_path / "profile", f"--screenshot={shot}", "--window-size=412,900")
        with Image.open(shot) as picture:
            assert picture.size == (412, 900)
            # A page that stayed white, or unstyled, has next to no shades.
            assert len(picture.convert("L").getcolors()) > 50
