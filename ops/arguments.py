"""Text as commands take it, and the options that every command has that asks the API."""

from collections.abc import Callable
from typing import Any

import click

_DEFAULT_URL = "http://127.0.0.1:8080"


class Text(click.ParamType[str]):
    """Text that can be sent, and is not blank: of a byte that is not UTF-8 Python makes half a surrogate."""

    name = "text"

    def __init__(self, *, may_be_blank: bool = False) -> None:
        self._may_be_blank = may_be_blank

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Implement ``click.ParamType``."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"{text!r} is not UTF-8", param, ctx)
        if not (text.strip() or self._may_be_blank):
            self.fail(f"{text!r} is blank; expected text", param, ctx)
        return text


class Key(click.ParamType[str]):
    """A secret that a header can hold; it is repeated nowhere."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Implement ``click.ParamType``."""
        text = str(value)
        if not text.isprintable() or text != text.strip():
            self.fail("expected one line of text, without blanks around it", param, ctx)
        return text


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every command needs that asks as a client."""
    key = click.option("--api-key", "key", type=Key(), metavar="KEY", help="Sent as Authorization: Bearer.")
    return _url_option(key(command))


def operator_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every command needs that asks as an operator."""
    key = click.option(
        "--admin-key",
        "key",
        type=Key(),
        metavar="KEY",
        envvar="CUTOUT_ADMIN_KEY",
        help="Of operators; not needed on the API's own machine if it has none.  [env: CUTOUT_ADMIN_KEY]",
    )
    return _url_option(key(command))


def _url_option(command: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option(
        "--url",
        type=Text(),
        metavar="TEXT",
        default=_DEFAULT_URL,
        show_default=True,
        help="Where the API is.",
    )
    return option(command)
