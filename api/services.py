"""What the API needs from outside, built once by ``from_environ``, and how a route gets at it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import BoundedSemaphore

from flask import current_app

from api.gunicorn_conf import threads
from shared.callers import Doorkeeper, admit_this_machine
from shared.ledger import Ledger
from shared.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a request needs."""

    settings: Settings
    ledger: Ledger
    admit: Doorkeeper = admit_this_machine  #: lets the callers of internal routes pass
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    #: At most half the threads may wait; the others go on taking photos.
    waiters: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(threads // 2))


def services() -> Services:
    """Return the services of the application that serves this request."""
    found: Services = current_app.extensions["cutout"]
    return found
