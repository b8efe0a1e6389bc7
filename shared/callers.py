"""Who may call what is not for all: on one machine that machine, in the cloud the bearer of a push token."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from shared.errors import ForbiddenError

#: Lets a request pass, given its WSGI environment; raises ``UnauthenticatedError`` or ``ForbiddenError``.
Doorkeeper = Callable[[Mapping[str, Any]], None]


def is_this_machine(environ: Mapping[str, Any]) -> bool:
    """Whether a request comes from this machine, and not through a proxy or for another site's page on it.

    Such a page in a browser here gets to us where its site has let its own name lead to this machine.
    """
    is_proxied = {"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"} & environ.keys()
    return _is_loopback(environ.get("REMOTE_ADDR") or "") and not is_proxied and _is_own_name(environ)


def _is_own_name(environ: Mapping[str, Any]) -> bool:
    try:
        host = urlsplit(f"//{environ.get('HTTP_HOST', 'localhost')}").hostname or ""
    except ValueError:
        return False
    return host == "localhost" or _is_loopback(host)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def admit_this_machine(environ: Mapping[str, Any]) -> None:
    """Refuse calls from elsewhere."""
    if not is_this_machine(environ):
        raise ForbiddenError("Internal routes are open to this machine only.")
