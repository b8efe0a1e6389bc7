"""One push over HTTP: a thread that posts a delivery, reports the answer and can be cut off.

A connection a push: on loopback it costs 0.1 ms and there is no idle connection that the service may
close under us, so a lost connection always means what it says.
"""

import http.client
import json
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shared.deliveries import Delivery
from shared.messages import wrap

log = logging.getLogger(__name__)

#: A service of this machine that takes longer to accept a connection is not there.
_CONNECTS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a push."""

    delivery: Delivery
    status: int | None = None  #: ``None``: there was no answer
    reason: str = ""
    is_unreached: bool = False  #: no connection: the service has not seen the message

    def facts(self) -> dict[str, Any]:
        """Return what a log line says about it."""
        return {
            "subscription": self.delivery.subscription.name,
            "message_id": self.delivery.envelope.message_id,
            "attempt": self.delivery.attempt,
            "status": self.status,
            "reason": self.reason,
        }


class Push(threading.Thread):
    """Posts one delivery and reports exactly once; a daemon, so that it never keeps a process alive."""

    def __init__(self, delivery: Delivery, report: Callable[[Answer], None]) -> None:
        super().__init__(name=f"push-{delivery.subscription.name}", daemon=True)
        self._delivery, self._report = delivery, report
        url = urlsplit(delivery.subscription.endpoint)
        self._target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._http = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_CONNECTS_WITHIN_S)

    def run(self) -> None:
        """Post, and report what came back."""
        try:
            with closing(self._http):
                answer = self._post()
        except Exception as error:
            # Whatever happens here, the delivery must come back.
            log.exception("push.crashed")
            answer = Answer(delivery=self._delivery, reason=repr(error))
        self._report(answer)

    def cut_off(self) -> None:
        """Close the connection under a waiting push."""
        with suppress(OSError, AttributeError):  # it may be closing by itself at this moment
            self._http.sock.shutdown(socket.SHUT_RDWR)

    def _post(self) -> Answer:
        try:
            self._http.connect()
        except OSError as error:
            return Answer(delivery=self._delivery, reason=repr(error), is_unreached=True)
        try:
            status = self._exchange()
        except (OSError, http.client.HTTPException) as error:
            return Answer(delivery=self._delivery, reason=repr(error))
        return Answer(delivery=self._delivery, status=status)

    def _exchange(self) -> int:
        delivery = self._delivery
        self._http.sock.settimeout(delivery.subscription.ack_deadline_s)
        body = json.dumps(wrap(delivery.envelope, published_at=delivery.published_at)).encode()
        headers = {"Content-Type": "application/json", "Connection": "close"}
        self._http.request("POST", self._target, body, headers)
        # The status decides; nobody reads the body.
        return self._http.getresponse().status
