"""Colour profiles whose meaning is known, built from the numbers that define them."""

import struct

import numpy as np

#: Columns of red, green and blue in XYZ, adapted to D50, as Apple's profile has them.
DISPLAY_P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
_WHITE = (0.9642, 1.0, 0.82491)


def rgb_profile(name: str, primaries=DISPLAY_P3, *, is_linear: bool = False, white=_WHITE) -> bytes:
    """Return a profile of three primaries with sRGB's tone curve, or with none; ``white`` is the medium's."""
    curve = b"curv" + bytes(8) if is_linear else _srgb_curve()
    tags = {b"desc": _text(name), b"cprt": _text("CC0"), b"wtpt": _xyz(white)}
    tags |= {key: _xyz(primary) for key, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(b"mntrRGB XYZ ", tags)


def cmyk_profile(paint: dict[tuple[int, int, int, int], tuple[int, int, int]]) -> bytes:
    """Return a profile in which some inks, each 0 or 1, have the Lab colours given; all others are black."""
    grid = np.zeros((2, 2, 2, 2, 3), np.uint8)
    grid[..., 1:] = 128
    for ink, (lightness, a, b) in paint.items():
        grid[ink] = round(lightness * 2.55), a + 128, b + 128
    identity = bytes(range(256))
    matrix = b"".join(_fixed(v) for v in np.eye(3).ravel())
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + grid.tobytes() + identity * 3
    tags = {b"desc": _text("ink"), b"cprt": _text("CC0"), b"wtpt": _xyz(_WHITE), b"A2B0": table}
    return _profile(b"prtrCMYKLab ", tags)


def display_p3_in_srgb(colours) -> np.ndarray:
    """Return what (n, 3) colours of Display P3, 0 to 255, are in sRGB, by the definitions of both."""
    encoded = np.asarray(colours) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_srgb = np.linalg.inv(np.array(SRGB).T) @ np.array(DISPLAY_P3).T
    mixed = np.clip(linear @ to_srgb.T, 0, 1)
    return 255 * np.where(mixed <= 0.0031308, mixed * 12.92, 1.055 * mixed ** (1 / 2.4) - 0.055)


def _srgb_curve() -> bytes:
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para" + bytes(4) + struct.pack(">HH", 3, 0) + b"".join(_fixed(v) for v in numbers)


def _profile(kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI", start + len(body), bytes(4), 0x04300000) + kind
    head += struct.pack(">6H", 2022, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(_fixed(v) for v in _WHITE) + bytes(48)
    return head + table + body


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(_fixed(v) for v in values)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return (
        b"mluc"
        + bytes(4)
        + struct.pack(">II", 1, 12)
        + b"enUS"
        + struct.pack(">II", len(encoded), 28)
        + encoded
    )
