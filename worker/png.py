"""Writes PNG files that hold exactly the pixels given, many times as fast as a general writer.

Parts of the picture are deflated side by side into one ordinary zlib stream.  Its size alone decides how it
is divided, so that the same pixels give the same bytes on any number of cores.
"""

import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from worker.arrays import Alpha, Rgb

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS = 8
_GREY, _RGB, _RGBA = 0, 2, 6
_INCHES_PER_METRE = 100 / 2.54
_IS_PER_METRE = 1

#: Of igzip.  Level 3 takes longer and makes photos larger.
_LEVEL = 2
#: Of zlib-ng, which takes three times as long, and finds grey's triple bytes again where igzip does not; a
#: picture of one part is soon done, and small ones need the higher level to be smaller than Pillow's.
_GREY_LEVEL, _SMALL_GREY_LEVEL = 2, 3
_RAW = -15  #: a window of 32 KiB, and neither the header nor the checksum of zlib
_ZLIB_HEADER = b"\x78\x01"
_ADLER_BASE = 65_521

#: What one thread deflates: so much that nobody sees what forgetting the rows before it costs.
_PART_BYTES = 4_000_000
#: On so many of a strip's rows the filters are tried.
_TRIED_ROWS = 4
#: What is filtered at once: so little that it stays in a core's cache.
_STRIP_BYTES = 500_000


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the stream, and the checksum and size of what was deflated into it."""

    data: bytes
    adler: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """A picture's rows as PNG stores them, made as they are asked for."""

    colour: NDArray[np.uint8]  #: (H, W) or (H, W, 3)
    alpha: Alpha | None

    @property
    def kind(self) -> int:
        """PNG's number for grey, RGB and RGBA."""
        if self.colour.ndim == 2:  # noqa: PLR2004 - two dimensions are a grey picture
            return _GREY
        return _RGB if self.alpha is None else _RGBA

    @property
    def channels(self) -> int:
        """Bytes of a pixel."""
        return {_GREY: 1, _RGB: 3, _RGBA: 4}[self.kind]

    @property
    def row_bytes(self) -> int:
        """Size of a row, the filter's number at its start included."""
        return int(1 + self.colour.shape[1] * self.channels)

    def is_painted_grey(self, top: int, bottom: int) -> bool:
        """Return whether rows of three channels seem to have no colour, looking at every sixteenth."""
        seen = self.colour[top:bottom:16]
        return self.kind != _GREY and bool((seen == seen[..., :1]).all())

    def filtered(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows less what their neighbours let expect; (rows, row_bytes)."""
        pixels = self._with_row_above(top, bottom)
        middle = pixels[(bottom - top) // 2 :][: 1 + _TRIED_ROWS]
        number = min(_PREDICTIONS, key=lambda number: _cost(middle, _PREDICTIONS[number], self.channels))
        strip = np.empty((bottom - top, self.row_bytes), np.uint8)
        strip[:, 0] = number
        np.subtract(pixels[1:], _PREDICTIONS[number](pixels, self.channels), out=strip[:, 1:])
        return strip

    def _with_row_above(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows and the one above them, channels interleaved; (1 + rows, row_bytes - 1)."""
        first = max(top - 1, 0)
        pixels = np.zeros((1 + bottom - top, self.colour.shape[1], self.channels), np.uint8)
        planes = [self.colour[first:bottom], *([] if self.alpha is None else [self.alpha[first:bottom]])]
        order = [at for channel in range(self.channels) for at in (channel, channel)]
        cv2.mixChannels(planes, [pixels[first - top + 1 :]], order)
        return pixels.reshape(len(pixels), -1)


def _above(pixels: NDArray[np.uint8], _channels: int) -> NDArray[np.uint8]:
    """Expect each byte to be that of the row above; (1 + rows, n) to (rows, n)."""
    return pixels[:-1]


def _paeth(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Expect whichever of left, above and above left is nearest to left + above - above left.

    That is: with the corner beyond the lower or the higher of the other two, the opposite one; between them,
    the opposite one if the corner is more than twice as near to one as to the other, else the corner.
    """
    left = np.zeros_like(pixels)
    left[:, channels:] = pixels[:, :-channels]
    above, corner, left = pixels[:-1], left[:-1].copy(), left[1:]
    low, high = cv2.min(left, above), cv2.max(left, above)
    to_high, to_low = cv2.subtract(high, corner), cv2.subtract(corner, low)  # never below 0
    is_at_low = cv2.compare(cv2.subtract(to_high, to_low), to_low, cv2.CMP_GE)
    is_at_high = cv2.compare(cv2.subtract(to_low, to_high), to_high, cv2.CMP_GE)
    cv2.copyTo(high, is_at_low, corner)
    cv2.copyTo(low, is_at_high, corner)
    return corner


_Prediction = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]

#: The first suits what is soft or noisy, the other what is sharp; PNG's numbers of them.
_PREDICTIONS: Mapping[int, _Prediction] = {2: _above, 4: _paeth}


def _cost(pixels: NDArray[np.uint8], predict: _Prediction, channels: int) -> int:
    """Return how many bytes rows take once deflated: what is small in sum may still be larger as a file."""
    rest = pixels[1:] - predict(pixels, channels)
    return len(isal_zlib.compress(rest, _LEVEL, _RAW))


def encode_png(colour: Rgb, alpha: Alpha | None = None, dpi: float | None = None) -> bytes:
    """Return a PNG file.

    Parameters
    ----------
    colour
        (H, W, 3) or, of grey, (H, W).
    alpha
        (H, W), straight; for three channels only.
    dpi
        The resolution that the file says it has.

    References
    ----------
    Duce (ed.), "Portable Network Graphics (PNG) Specification (Second Edition)", W3C 2003.
    """
    rows = _Rows(colour, alpha)
    height, width = colour.shape[:2]
    size = struct.pack(">IIBBBBB", width, height, _BITS, rows.kind, 0, 0, 0)
    chunks = [_chunk(b"IHDR", size), *_resolution(dpi)]
    chunks += (_chunk(b"IDAT", piece) for piece in _zlib_stream(rows, height))
    return b"".join((_SIGNATURE, *chunks, _chunk(b"IEND", b"")))


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = isal_zlib.crc32(body, isal_zlib.crc32(kind))
    return b"".join((struct.pack(">I4s", len(body), kind), body, struct.pack(">I", checksum)))


def _resolution(dpi: float | None) -> list[bytes]:
    if dpi is None:
        return []
    per_metre = max(1, round(dpi * _INCHES_PER_METRE))
    return [_chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, _IS_PER_METRE))]


def _zlib_stream(rows: _Rows, height: int) -> Iterator[bytes]:
    """Yield the pieces of one zlib stream that holds all rows."""
    tops = range(0, height, max(1, _PART_BYTES // rows.row_bytes))
    parts = _side_by_side(rows, [(top, min(top + tops.step, height)) for top in tops], height)
    adler, header = 1, _ZLIB_HEADER
    for number, part in enumerate(parts, start=1):
        adler = _joined_adler(adler, part.adler, part.size_bytes)
        yield header + part.data + (struct.pack(">I", adler) if number == len(parts) else b"")
        header = b""


def _side_by_side(rows: _Rows, bounds: Sequence[tuple[int, int]], height: int) -> list[_Part]:
    def part(bound: tuple[int, int]) -> _Part:
        return _deflated(rows, *bound, is_last=bound[1] == height)

    if len(bounds) == 1:
        return [part(bounds[0])]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "png") as threads:
        return list(threads.map(part, bounds))


def _deflated(rows: _Rows, top: int, bottom: int, *, is_last: bool) -> _Part:
    """Deflate some rows, ending where another part can follow unless it is the last."""
    grey_level = _SMALL_GREY_LEVEL if is_last and top == 0 else _GREY_LEVEL
    of, level = (zlib_ng, grey_level) if rows.is_painted_grey(top, bottom) else (isal_zlib, _LEVEL)
    deflate, adler, pieces = of.compressobj(level, of.DEFLATED, _RAW), 1, []
    step = max(1, _STRIP_BYTES // rows.row_bytes)
    for at in range(top, bottom, step):
        strip = rows.filtered(at, min(at + step, bottom))
        adler = isal_zlib.adler32(strip, adler)
        pieces.append(deflate.compress(strip))
    pieces.append(deflate.flush(isal_zlib.Z_FINISH if is_last else isal_zlib.Z_SYNC_FLUSH))
    return _Part(b"".join(pieces), adler, (bottom - top) * rows.row_bytes)


def _joined_adler(first: int, second: int, second_bytes: int) -> int:
    """Return the Adler-32 of two pieces of data, one after the other, given that of each."""
    low, high = first & 0xFFFF, first >> 16
    joined_low = (low + (second & 0xFFFF) - 1) % _ADLER_BASE
    joined_high = (high + (second >> 16) + second_bytes * (low - 1)) % _ADLER_BASE
    return joined_high << 16 | joined_low
