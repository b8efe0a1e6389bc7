"""What an object may be called, the same in every store.

What the strictest store would refuse is refused by all, so that no name passes its tests and fails in use.
"""

import re

_MAX_NAME_BYTES = 1024
_MAX_SEGMENT_BYTES = 255  # no file system takes more

_SEGMENT = r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")


def check_name(name: str) -> None:
    """Refuse what cannot name an object.

    Raises
    ------
    ValueError
        A bug of ours: names are built from ids that were checked where they came in.
    """
    too_long = len(name.encode()) > _MAX_NAME_BYTES or any(
        len(segment.encode()) > _MAX_SEGMENT_BYTES for segment in name.split("/")
    )
    if too_long or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:100]!r} cannot name an object; expected at most {_MAX_NAME_BYTES} bytes of segments "
            f"between single '/', none over {_MAX_SEGMENT_BYTES} bytes or starting with '.', "
            "without backslashes or control characters."
        )


def check_prefix(prefix: str) -> None:
    """Refuse what no name can start with; the empty prefix is every name's."""
    if prefix:
        check_name(prefix.removesuffix("/"))


def folders_of(name: str) -> list[str]:
    """Return the folders that a name lies in, outermost first; each ends in ``/``."""
    return [name[: i + 1] for i, character in enumerate(name) if character == "/"]


def clash(name: str) -> ValueError:
    """Return the error for a name that would be an object and a folder of objects at once."""
    return ValueError(
        f"{name[:100]!r} would be an object and a folder of objects at once; rename one of them."
    )
