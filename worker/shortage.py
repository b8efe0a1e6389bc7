"""Errors that say that memory did not suffice, by whatever name a library has for that.

A limit on a process's memory is met wherever it asks for more: by arrays, by threads for their stacks, by
decoders and encoders, some of which blame the file.
"""

import cv2
import numpy as np

#: What a library raises without memory, where that is no ``MemoryError``, and how it begins or goes on.
_SAID: tuple[tuple[type[Exception], str], ...] = (
    (RuntimeError, "can't start new thread"),
    (cv2.error, "Insufficient memory"),
    (ValueError, "encoding error 1"),  # libwebp's VP8_ENC_ERROR_OUT_OF_MEMORY
    (OSError, "out of memory error"),  # Pillow's code -9
)
#: What a decoder may need at once: WebP's keeps two whole pictures of four channels, and then one is copied.
_DECODER_BYTES_PER_PX = 12


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice."""
    said = str(error)
    return isinstance(error, MemoryError) or any(isinstance(error, kind) and it in said for kind, it in _SAID)


def require_decodable(pixels: int) -> None:
    """Raise ``MemoryError`` where a decoder of so many pixels cannot have had the memory that it needs."""
    np.empty(pixels * _DECODER_BYTES_PER_PX, np.uint8)  # only asked for: it takes none until it is written
