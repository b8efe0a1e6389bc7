"""Times, rates and shares as operators write them on the command line."""

import re
from datetime import UTC, datetime
from typing import Any

import click

from shared.moments import EXPECTED, read_moment
from shared.replays import LEAST_RATE_PER_S

_RATE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?:/s)?")
_SHARE = re.compile(r"(?P<number>\d+(?:\.\d+)?)%")

MAX_RATE_PER_S = 100


class Moment(click.ParamType[str]):
    """A time, a day, or how long ago: 2026-11-25T06:00Z, 2026-11-25, 12h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Implement ``click.ParamType``; from when an age counts is the service's to say."""
        try:
            read_moment(value, datetime.now(UTC))
        except ValueError:
            self.fail(f"{value!r}; expected {EXPECTED}", param, ctx)
        return str(value)


class Rate(click.ParamType[float]):
    """So many a second: 5/s, 0.5/s."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Implement ``click.ParamType``."""
        match = _RATE.fullmatch(value)
        if not match or not LEAST_RATE_PER_S <= float(match["number"]) <= MAX_RATE_PER_S:
            bounds = f"at least {LEAST_RATE_PER_S}/s and at most {MAX_RATE_PER_S}/s"
            self.fail(f"{value!r}; expected {bounds}, as in 5/s", param, ctx)
        return float(match["number"])


class Share(click.ParamType[float]):
    """A share in per cent: 20%."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Implement ``click.ParamType``."""
        match = _SHARE.fullmatch(value)
        if not match or float(match["number"]) > 100:  # noqa: PLR2004 - per cent
            self.fail(f"{value!r}; expected 0% to 100%, as in 20%", param, ctx)
        return float(match["number"]) / 100
