"""The gallery as one HTML page and as one picture: a line a job, a column an effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ops.contact_sheet import checkerboard, draw_cell

_CELL_PX, _GAP_PX, _MARGIN_PX, _CAPTION_PX = 260, 14, 28, 34
_INK, _SOFT, _PAPER = (29, 36, 51), (91, 101, 119), (255, 255, 255)
#: A white border is seen on this.
_CLOTH = (126, 146, 172)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Cutout: gallery</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1d2433; margin: 2rem; }}
h2 {{ font-size: 1rem; font-weight: 500; color: #5b6577; margin: 2rem 0 .5rem; }}
div {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .75rem; }}
figure {{ margin: 0; }}
figcaption {{ font-size: .85rem; }}
img {{ width: 100%; height: 15rem; object-fit: contain;
  background: repeating-conic-gradient(#dee2e9 0 25%, #fff 0 50%) 0 0 / 1.5rem 1.5rem; }}
.outline img {{ background: #7e92ac; }}
</style>
<h1>Every effect of every photograph</h1>
{lines}
</html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One job's pictures, and a line about it."""

    caption: str
    photo: Path
    pictures: Mapping[str, Path]  #: by effect


def draw_page(lines: Sequence[Line], folder: Path) -> str:
    """Return a page, to be kept in a folder, that shows every picture and links to its file."""
    return _PAGE.format(lines="\n".join(_section(line, folder) for line in lines))


def _section(line: Line, folder: Path) -> str:
    figures = [
        f'<figure class="{escape(name)}"><a href="{escape(str(path.relative_to(folder)))}">'
        f'<img loading="lazy" alt="" src="{escape(str(path.relative_to(folder)))}"></a>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, path in line.pictures.items()
    ]
    return f"<h2>{escape(line.caption)}</h2>\n<div>{''.join(figures)}</div>"


def draw_sheet(lines: Sequence[Line]) -> Image.Image:
    """Return one opaque picture of everything, the photo first in each line."""
    cells = [_cells(line) for line in lines]
    sheet = _blank(len(cells[0]), len(lines))
    for row, (line, pictures) in enumerate(zip(lines, cells, strict=True)):
        for column, (name, picture) in enumerate(pictures):
            _place(sheet, picture, column, row, name if row == 0 else "")
        left, top = _corner(0, row)
        ImageDraw.Draw(sheet).text((left, top + _CELL_PX + 4), line.caption, _SOFT, _font(17))
    return sheet


def draw_strip(line: Line) -> Image.Image:
    """Return one line's pictures in two rows, for a page that is not so wide."""
    cells = _cells(line)
    columns = -(-len(cells) // 2)
    strip = _blank(columns, 2)
    for number, (name, picture) in enumerate(cells):
        _place(strip, picture, number % columns, number // columns, name)
    return strip


def _cells(line: Line) -> list[tuple[str, Image.Image]]:
    size = (_CELL_PX, _CELL_PX)
    grounds = {"color": checkerboard(size), "outline": Image.new("RGB", size, _CLOTH)}
    pictures = {"photo": line.photo, **line.pictures}
    return [(name, draw_cell(path, size, grounds.get(name))) for name, path in pictures.items()]


def _blank(columns: int, rows: int) -> Image.Image:
    right, bottom = _corner(columns, rows)
    return Image.new("RGB", (right + _MARGIN_PX, bottom - _CAPTION_PX + _MARGIN_PX), _PAPER)


def _corner(column: int, row: int) -> tuple[int, int]:
    left = _MARGIN_PX + column * (_CELL_PX + _GAP_PX)
    return left, _MARGIN_PX + _CAPTION_PX + row * (_CELL_PX + 2 * _CAPTION_PX)


def _place(sheet: Image.Image, picture: Image.Image, column: int, row: int, name: str) -> None:
    left, top = _corner(column, row)
    sheet.paste(picture, (left, top))
    ImageDraw.Draw(sheet).text((left, top - _CAPTION_PX + 4), name, _INK, _font(20))


@cache
def _font(size_px: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size_px)
