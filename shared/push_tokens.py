"""Push tokens: whoever calls an internal route in the cloud shows that Google has signed who they are.

A token counts only if everything about it is right: RS256 by a key that Google publishes now, its issuer,
our audience, our pusher's e-mail, verified, and its time. Anything else is refused before any work is done.
"""

import json
import logging
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from google.auth import jwt
from google.auth.transport import Request
from google.auth.transport import requests as transport

from shared.certificates import Certificates, Published
from shared.errors import ForbiddenError, UnauthenticatedError

log = logging.getLogger(__name__)

CERTIFICATES_URL = "https://www.googleapis.com/oauth2/v1/certs"
ISSUERS = frozenset({"accounts.google.com", "https://accounts.google.com"})
#: How far two hosts' clocks may be apart.
SKEW_S = 10
#: Where the publisher says nothing.
_BELIEVED_FOR_S = 3600.0
_FETCHED_WITHIN_S = 3.0
#: Google's tokens have about 1,000 characters, its certificates 3 kB.
_MAX_TOKEN, _MAX_CERTIFICATES_BYTES = 8_000, 200_000


class PushTokens:
    """Admits the requests that carry a token for one audience, given to one service account."""

    def __init__(self, certificates: Certificates, *, audience: str, email: str) -> None:
        # google-auth takes an audience of None for any, and never looks at the e-mail.
        if not audience or not email:
            raise ValueError("push tokens are checked against an audience and an e-mail; one is missing")
        self._certificates, self._audience, self._email = certificates, audience, email

    def admit(self, environ: Mapping[str, Any]) -> None:
        """Let a request pass if its token is good.

        Raises
        ------
        UnauthenticatedError
            If there is none, or it is not Google's, not for us, or not for now.
        ForbiddenError
            If it is somebody else's.
        """
        try:
            self._require_pusher(self._claims(_bearer(environ)))
        except (ForbiddenError, UnauthenticatedError) as error:
            log.warning(
                "push_token.refused", extra={"reason": error.detail, "path": environ.get("PATH_INFO")}
            )
            raise

    def _claims(self, token: str) -> Mapping[str, Any]:
        """Return what a token says, once it is known that Google says so, to us, for now."""
        certificate = self._certificates.of(_key_id(token))
        if certificate is None:
            raise UnauthenticatedError("The token is signed by a key that Google is not known to publish.")
        try:
            claims: Mapping[str, Any] = jwt.decode(  # type: ignore[no-untyped-call]
                token, certs=certificate, audience=self._audience, clock_skew_in_seconds=SKEW_S
            )
        except Exception as error:  # a stranger's bytes: whatever they provoke, they are not let in
            raise UnauthenticatedError(
                "The token is not signed by Google for this service and this time."
            ) from error
        _require_times(claims)
        if claims.get("iss") not in ISSUERS:
            raise UnauthenticatedError("The token was not issued by Google.")
        return claims

    def _require_pusher(self, claims: Mapping[str, Any]) -> None:
        if claims.get("email") != self._email or claims.get("email_verified") is not True:
            raise ForbiddenError("The token belongs to somebody who may not push.")


def google(*, audience: str, email: str, url: str = CERTIFICATES_URL) -> PushTokens:
    """Return what checks tokens against the certificates that Google publishes."""
    request = transport.Request()
    return PushTokens(Certificates(lambda: fetch(request, url)), audience=audience, email=email)


def fetch(request: Request, url: str) -> Published:
    """Fetch certificates; whatever is not a table of them raises."""
    response = request(url, method="GET", timeout=_FETCHED_WITHIN_S)
    if response.status != 200 or len(response.data) > _MAX_CERTIFICATES_BYTES:  # noqa: PLR2004 - HTTP's OK
        raise ValueError(f"{url} answered {response.status} with {len(response.data)} bytes")
    found = json.loads(response.data)
    if not isinstance(found, dict) or not found or not all(isinstance(pem, str) for pem in found.values()):
        raise ValueError(f"{url} answered something that is no table of certificates")
    return Published(found, _max_age_s(response.headers))


def _max_age_s(headers: Mapping[str, str]) -> float:
    said = re.search(r"\bmax-age=(\d{1,9})", headers.get("Cache-Control", ""))
    spent = headers.get("Age", "")
    return float(said[1]) - float(spent if spent.isdecimal() else 0) if said else _BELIEVED_FOR_S


def _bearer(environ: Mapping[str, Any]) -> str:
    scheme, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN:
        raise UnauthenticatedError("Expected the header Authorization: Bearer TOKEN.")
    return token


def _key_id(token: str) -> str:
    """Return which key a token names; only RS256 counts, whatever else its verifier could do."""
    try:
        header = jwt.decode_header(token)  # type: ignore[no-untyped-call]
    except Exception as error:  # as above
        raise UnauthenticatedError("The token cannot be read.") from error
    key_id = header.get("kid")
    if header.get("alg") != "RS256" or not isinstance(key_id, str) or not key_id:
        raise UnauthenticatedError("The token is not signed with RS256 by a key with an id.")
    return key_id


def _require_times(claims: Mapping[str, Any]) -> None:
    """Refuse times that are no numbers, which compare as nobody expects, and those that are yet to come."""
    times = [claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)]
    if not all(isinstance(t, int | float) and not isinstance(t, bool) and math.isfinite(t) for t in times):
        raise UnauthenticatedError("The token's times are no numbers.")
    if claims.get("nbf", 0) > time.time() + SKEW_S:
        raise UnauthenticatedError("The token is not valid yet.")
