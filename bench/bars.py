"""Draws a benchmark's times as bars, ours above theirs, on one logarithmic scale."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from bench.rows import Row

_OURS, _THEIRS, _MISSED, _INK, _PALE = "#1f77b4", "#c7c7c7", "#d62728", "#222", "#e8e8e8"
_LABEL_PX, _BARS_PX, _NOTE_PX, _ROW_PX, _TOP_PX = 300, 520, 130, 30, 40


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the rows that are in ms as an SVG; a target is a dark stroke, one that was missed red."""
    shown = [row for row in rows if row.unit == "ms"]
    highest = max(max(row.ours, row.theirs or 0, row.at_most or 0) for row in shown)
    decades = max(1, math.ceil(math.log10(max(highest, 1))))
    width, height = _LABEL_PX + _BARS_PX + _NOTE_PX, _TOP_PX + _ROW_PX * len(shown) + 10
    parts = [*_axis(decades, height), _text(10, 18, "ms: blue ours, grey the other side, stroke the target")]
    for number, row in enumerate(shown):
        parts += _row(row, _TOP_PX + number * _ROW_PX, decades)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    background = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    style = 'font-family="sans-serif" font-size="12">'
    path.write_text("\n".join([f"{svg} {style}", background, *parts, "</svg>\n"]))


def _axis(decades: int, height: int) -> list[str]:
    marks = []
    for decade in range(decades + 1):
        x = _LABEL_PX + _BARS_PX * decade / decades
        marks.append(f'<path d="M{x:.1f} {_TOP_PX - 6}V{height - 6}" stroke="{_PALE}"/>')
        marks.append(_text(x - 8, _TOP_PX - 8, f"{10**decade}"))
    return marks


def _row(row: Row, top: int, decades: int) -> list[str]:
    end = _LABEL_PX + _length(max(row.ours, row.theirs or 0, row.at_most or 0), decades)
    parts = [
        _text(10, top + 16, row.what),
        _bar(row.ours, top + 2, _MISSED if row.met is False else _OURS, decades),
        _text(end + 8, top + 16, f"{row.ours:.0f}" + (f" / {row.theirs:.0f}" if row.theirs else "")),
    ]
    if row.theirs:
        parts.append(_bar(row.theirs, top + 13, _THEIRS, decades))
    if row.at_most:
        x = _LABEL_PX + _length(row.at_most, decades)
        parts.append(f'<path d="M{x:.1f} {top}v26" stroke="{_INK}" stroke-width="2"/>')
    return parts


def _length(value: float, decades: int) -> float:
    return _BARS_PX * math.log10(max(value, 1)) / decades


def _bar(value: float, top: int, color: str, decades: int) -> str:
    length = _length(value, decades)
    return f'<rect x="{_LABEL_PX}" y="{top}" width="{length:.1f}" height="10" fill="{color}"/>'


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{_INK}">{escape(words)}</text>'
