"""Moments as operators write them, on the command line and over HTTP: a time, a day, or how long ago."""

import re
from datetime import UTC, datetime, timedelta

#: How a moment may be written, for whoever has written it otherwise.
EXPECTED = "2026-11-25T06:00Z, 2026-11-25, or an age: 90m, 12h, 7d"

_AGE = re.compile(r"(?P<count>\d{1,5})(?P<unit>[mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def read_moment(text: str, now: datetime) -> datetime:
    """Return the moment that is meant; UTC unless it says otherwise.

    Raises
    ------
    ValueError
        If it is neither a time, nor a day, nor an age.
    """
    if age := _AGE.fullmatch(text):
        return now - timedelta(**{_UNITS[age["unit"]]: int(age["count"])})
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
