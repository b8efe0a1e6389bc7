"""Who may call what is not for all: on one machine that machine, in the cloud the bearer of a push token."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from shared.errors import ForbiddenError

#: Lets a request pass, given its WSGI environment; raises ``UnauthenticatedError`` or ``ForbiddenError``.
Doorkeeper = Callable[[Mapping[str, Any]], None]


def is_this_machine(environ: Mapping[str, Any]) -> bool:
    """Whether a request comes from this machine, and not through a proxy on it."""
    try:
        is_loopback = ip_address(environ.get("REMOTE_ADDR") or "").is_loopback
    except ValueError:
        return False
    return is_loopback and not {"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"} & environ.keys()


def admit_this_machine(environ: Mapping[str, Any]) -> None:
    """Refuse calls from elsewhere."""
    if not is_this_machine(environ):
        raise ForbiddenError("Internal routes are open to this machine only.")
