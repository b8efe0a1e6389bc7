"""What Cloud Storage and its client say when something is wrong, translated in one table.

No bucket, account or URL of theirs reaches a detail: details are shown to anybody, logs are not.
"""

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError, TransportError
from urllib3.exceptions import HTTPError

from shared.errors import (
    GenerationMismatchError,
    NoSuchObjectError,
    StoreFullError,
    StoreUnavailableError,
)

log = logging.getLogger(__name__)

#: ``OSError`` holds what requests raises, ``ValueError`` what an answer that makes no sense leads to.
_RAISED = (GoogleAPICallError, GoogleAuthError, HTTPError, OSError, ValueError)

_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _PRECONDITION_FAILED = 400, 401, 403, 404, 412
#: Besides these every 5xx passes; 410 is an upload session that is no more.
_FLEETING = frozenset({408, 410, 429})
_FLEETING_WORDS = re.compile(r"rateLimitExceeded|RateLimitExceeded|doesn't match calculated")
_NO_BUCKET = "bucket does not exist"
_RIGHT = re.compile(r"(?:Permission '|does not have )((?:storage|iam)\.\w+\.\w+)")


class FleetingError(StoreUnavailableError):
    """A fault of Cloud Storage, or on the way to it, that trying again at once may get past."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise the port's errors for those of the client and what lies below it."""
    try:
        yield
    except _RAISED as error:
        raise translate(error) from error


def translate(error: Exception) -> Exception:
    """Return the port's error for one of the client's."""
    if isinstance(error, GoogleAPICallError):
        return _of_status(int(error.code or 0), str(error))
    if isinstance(error, GoogleAuthError) and not (error.retryable or isinstance(error, TransportError)):
        return _refused(_UNAUTHORIZED, "The service has no credentials that Cloud Storage takes.")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return StoreFullError("There is no room for what Cloud Storage sends; try again later.")
    return FleetingError("Cloud Storage did not answer, or not to the end.")


def _of_status(status: int, text: str) -> Exception:
    if status in _FLEETING or status not in range(_BAD_REQUEST, 500) or _FLEETING_WORDS.search(text):
        return FleetingError(f"Cloud Storage cannot do it now (status {status}).")
    if status == _NOT_FOUND and _NO_BUCKET not in text:
        return NoSuchObjectError("There is no such object.")
    if status == _PRECONDITION_FAILED:
        return GenerationMismatchError("The object is not at the generation that was named.")
    return _refused(status, _refusal(status, text))


def _refusal(status: int, text: str) -> str:
    if status == _NOT_FOUND:
        return "The bucket does not exist."
    right = _RIGHT.search(text)
    if status in {_UNAUTHORIZED, _FORBIDDEN} and right:
        return f"The service's account lacks a right: {right[1]}."
    return f"Cloud Storage refuses the request (status {status})."


def _refused(status: int, detail: str) -> StoreUnavailableError:
    """Return the error for what only an operator can mend, and tell the operator."""
    log.error("store.refused", extra={"status": status, "reason": detail})
    return StoreUnavailableError(detail)
