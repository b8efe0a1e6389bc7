"""An upload on its way: written to a temporary file once, measured and digested as it passes.

It never stands in memory, and reaches a store on the same file system without being written again.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import google_crc32c
from flask import Request, g
from werkzeug.formparser import FormDataParser

from shared.checksums import encode_crc32c
from shared.errors import ImageTooLargeError, StoreFullError
from shared.photo_gate import MAX_UPLOAD_BYTES


class Spool:
    """A file that an upload of so many bytes at most is written to; deleted when it is closed."""

    def __init__(self, max_bytes: int = MAX_UPLOAD_BYTES) -> None:
        self._max_bytes = max_bytes
        with _translated():
            # Closed by the request's teardown, whatever becomes of the request.
            self._file = tempfile.NamedTemporaryFile(prefix="upload-")  # noqa: SIM115
            self._raw: IO[bytes] = self._file.file
        self._sha256, self._crc32c = hashlib.sha256(), 0
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        """Take a piece of the upload.

        Raises
        ------
        ImageTooLargeError
            Once there is more than is taken.
        """
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            raise ImageTooLargeError(
                f"The image has more than {self._max_bytes:,} bytes; that is the most taken."
            )
        self._sha256.update(data)
        self._crc32c = google_crc32c.extend(self._crc32c, data)
        with _translated():
            # The wrapper that deletes the file costs as much as the write itself: write past it.
            return self._raw.write(data)

    def finish(self) -> None:
        """Hand the last bytes to the file, so that others may read it by name."""
        with _translated():
            self._file.flush()

    @property
    def file(self) -> IO[bytes]:
        """The file, to be read."""
        return self._file

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return Path(self._file.name)

    @property
    def sha256(self) -> str:
        """Digest of what was written, in hex."""
        return self._sha256.hexdigest()

    @property
    def crc32c(self) -> str:
        """CRC32C of what was written, as Cloud Storage shows it."""
        return encode_crc32c(self._crc32c)

    def seek(self, *args: int) -> int:
        """Move in the file; the form parser rewinds a part when it is whole."""
        with _translated():
            return self._file.seek(*args)

    def read(self, size: int = -1) -> bytes:
        """Read from the file."""
        return self._file.read(size)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


@contextmanager
def _translated() -> Iterator[None]:
    """Make a full disk a passing fault: it heals when there is room."""
    try:
        yield
    except OSError as error:
        raise StoreFullError("There is no room to take the photo; try again later.") from error


class PhotoRequest(Request):
    """A request whose files are spooled as they come in."""

    def make_form_data_parser(self) -> FormDataParser:
        """Return a parser that says so when a form is broken."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser

    def _get_file_stream(self, *_args: Any, **_kwargs: Any) -> Any:
        return new_spool()


def new_spool(max_bytes: int = MAX_UPLOAD_BYTES) -> Spool:
    """Return a file for an upload, for as long as the request is being answered."""
    spool = Spool(max_bytes)
    g.setdefault("spools", []).append(spool)
    return spool


def close_spools(_error: BaseException | None = None) -> None:
    """Delete what the request has spooled."""
    for spool in g.pop("spools", []):
        spool.close()
