"""The gallery shows every effect of every photo for two prints, and fails if one of them cannot be made."""

import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from ops.gallery import _PRINTS, recipe_for
from ops.gallery_page import Line, draw_page, draw_sheet, draw_strip
from shared.catalogue import EFFECTS
from shared.orders import read_order
from tests.pictures import PHOTOS, opened

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def line(tmp_path: Path) -> Line:
    pictures = {name: tmp_path / "60x60mm" / f"cat.{name}.webp" for name in EFFECTS}
    (tmp_path / "60x60mm").mkdir()
    for number, path in enumerate(pictures.values()):
        Image.new("RGBA", (40, 30), (20 * number, 0, 0, 255)).save(path, lossless=True)
    return Line(caption="cat.jpg <60 x 60 mm>", photo=PHOTOS / "cat.jpg", pictures=pictures)


@pytest.mark.parametrize("size", _PRINTS)
def test_every_effect_is_asked_for_and_sizes_on_paper_where_there_are_any(size) -> None:
    recipe = read_order(recipe_for(size), is_form=False).recipe
    assert [effect.name for effect in recipe.effects] == list(EFFECTS)
    on_paper = {name for name, effect in EFFECTS.items() for p in effect.parameters if p.instead_of}
    assert {e.name for e in recipe.effects if any(name.endswith("_mm") for name in e.parameters)} == on_paper


def test_the_page_shows_each_picture_by_a_link_that_moves_with_the_folder(line: Line, tmp_path: Path) -> None:
    page = draw_page([line, line], tmp_path)
    sources = re.findall(r'src="([^"]+)"', page)
    assert sources == [f"60x60mm/cat.{name}.webp" for name in EFFECTS] * 2
    assert all((tmp_path / source).is_file() for source in sources)
    assert "cat.jpg &lt;60 x 60 mm&gt;" in page
    assert "http" not in page


def test_the_sheet_and_the_strip_show_each_picture_once_a_line(line: Line) -> None:
    for sheet, lines in ((draw_sheet([line]), 1), (draw_sheet([line] * 3), 3), (draw_strip(line), 1)):
        colors = {color: count for count, color in sheet.getcolors(1 << 24)}
        for number in range(2, len(EFFECTS)):
            assert colors[20 * number, 0, 0] >= 30 * 40 * lines


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "cutout", "gallery", *map(str, args)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.system
def test_it_renders_through_the_running_system(tmp_path: Path) -> None:
    done = run(PHOTOS / "cat.jpg", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 jobs succeeded" in done.stdout
    for size in _PRINTS:
        files = {file.name for file in (tmp_path / size.folder).iterdir()}
        assert files == {f"cat.{name}.webp" for name in EFFECTS}
    assert (tmp_path / "index.html").stat().st_size > 1000
    assert opened((tmp_path / "gallery.png").read_bytes()).shape[0] > 600
    assert (tmp_path / "strip.jpg").is_file()


@pytest.mark.system
def test_it_fails_if_a_job_does(tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes((PHOTOS / "cat.jpg").read_bytes()[:20_000])
    done = run(PHOTOS / "cat.jpg", tmp_path / "torn.jpg", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "2 of 4 jobs succeeded" in done.stdout
    assert (tmp_path / "out" / "index.html").is_file()
