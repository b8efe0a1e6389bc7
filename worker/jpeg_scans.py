"""Counts the scans of a JPEG before it is decoded: each is a pass over the whole picture.

A scan of nothing new takes 100 bytes, so that 25 MB could keep a decoder busy for an hour.
"""

import re

#: Cameras write one, editors' progressive files ten.
MAX_SCANS = 32

_START_OF_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")  # neither a stuffed 0 nor a restart
_WITHOUT_CONTENT = frozenset({0x01, 0xD8})


def has_too_many_scans(jpeg: bytes) -> bool:
    """Whether a JPEG has more scans than any photo."""
    # Nearly always this says it at once; what a phone appends to a photo may look like a scan or two.
    return jpeg.count(b"\xff\xda") > MAX_SCANS and _scans(jpeg) > MAX_SCANS


def _scans(jpeg: bytes) -> int:
    """Count up to the end of the first frame, or just beyond what is allowed."""
    scans, found = 0, _MARKER.search(jpeg, 2)
    while found and scans <= MAX_SCANS:
        marker, at = found.group()[-1], found.end()
        if marker == _END:
            break
        scans += marker == _START_OF_SCAN
        found = _MARKER.search(jpeg, at if marker in _WITHOUT_CONTENT else at + _size(jpeg, at))
    return scans


def _size(jpeg: bytes, at: int) -> int:
    return int.from_bytes(jpeg[at : at + 2], "big")
