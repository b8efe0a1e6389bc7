"""One picture of what came out: a row a photo, with its matte, its cut-out and its effects."""

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_WIDTH_PX = 1600
_GAP_PX, _MARGIN_PX = 16, 32
_CAPTION_PX, _HEADER_PX = 34, 44
_CELL_HEIGHT_PX = 300
_INK, _SOFT, _PAPER = (29, 36, 51), (91, 101, 119), (255, 255, 255)
_CHECKS = ((255, 255, 255), (222, 226, 233))
_CHECK_PX = 12


@dataclass(frozen=True)
class Row:
    """One photo's pictures, and a line about it."""

    caption: str
    photo: Path
    matte: Path
    pictures: dict[str, Path] = field(default_factory=dict)  #: by effect, the cut-out first


def draw_sheet(rows: list[Row], title: str) -> Image.Image:
    """Return the sheet as an opaque RGB picture."""
    columns = 2 + max(len(row.pictures) for row in rows)
    width = (_WIDTH_PX - 2 * _MARGIN_PX - (columns - 1) * _GAP_PX) // columns
    cells = [_cells(row, width) for row in rows]
    height = sum(line[0].height + _CAPTION_PX + _GAP_PX for line in cells)
    sheet = Image.new("RGB", (_WIDTH_PX, 2 * _MARGIN_PX + _HEADER_PX + height), _PAPER)
    draw, top = ImageDraw.Draw(sheet), _MARGIN_PX + _HEADER_PX
    draw.text((_MARGIN_PX, _MARGIN_PX), title, _INK, ImageFont.load_default(size=24))
    for row, line in zip(rows, cells, strict=True):
        for column, cell in enumerate(line):
            sheet.paste(cell, (_MARGIN_PX + column * (width + _GAP_PX), top))
        draw.text((_MARGIN_PX, top + line[0].height + 4), row.caption, _SOFT, ImageFont.load_default(size=17))
        top += line[0].height + _CAPTION_PX + _GAP_PX
    return sheet


def _cells(row: Row, width: int) -> list[Image.Image]:
    """Return a row's pictures, all of one size: as wide as a column, or as high as is allowed."""
    with Image.open(row.photo) as photo:
        size = (width, min(_CELL_HEIGHT_PX, round(width * photo.height / photo.width)))
    cells = [draw_cell(row.photo, size, None), draw_cell(row.matte, size, None)]
    for number, picture in enumerate(row.pictures.values()):
        cells.append(draw_cell(picture, size, checkerboard(size) if number == 0 else None))
    return cells


def draw_cell(path: Path, size: tuple[int, int], ground: Image.Image | None) -> Image.Image:
    """Return a picture in the middle of a cell, on white or on a ground of its own."""
    with Image.open(path) as file:
        # A JPEG of many megapixels is decoded at a fraction of its size.
        file.draft("RGB", (size[0] * 2, size[1] * 2))
        image = file.convert("RGBA")
    image.thumbnail(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    cell = Image.new("RGB", size, _PAPER)
    at = ((size[0] - image.width) // 2, (size[1] - image.height) // 2)
    if ground:
        cell.paste(ground.crop((0, 0, *image.size)), at)
    cell.paste(image, at, image.getchannel("A"))
    return cell


def checkerboard(size: tuple[int, int]) -> Image.Image:
    """Return what shows that a picture is transparent."""
    tile = Image.new("RGB", (2 * _CHECK_PX, 2 * _CHECK_PX), _CHECKS[0])
    tile.paste(_CHECKS[1], (_CHECK_PX, 0, 2 * _CHECK_PX, _CHECK_PX))
    tile.paste(_CHECKS[1], (0, _CHECK_PX, _CHECK_PX, 2 * _CHECK_PX))
    board = Image.new("RGB", size)
    for x in range(0, size[0], tile.width):
        for y in range(0, size[1], tile.height):
            board.paste(tile, (x, y))
    return board
