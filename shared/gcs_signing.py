"""Signs URLs as the service's own account, through IAM: there is no key file that could get lost.

The account needs ``iam.serviceAccounts.signBlob`` on itself (``roles/iam.serviceAccountTokenCreator``).
"""

import base64
from functools import partial

from google.api_core.exceptions import from_http_response
from google.auth.credentials import Signing
from google.auth.crypt import Signer
from google.auth.transport.requests import AuthorizedSession, Request

from shared.errors import StoreUnavailableError

IAM = "https://iamcredentials.googleapis.com"
#: What the platform's credentials call their account before they have fetched their first token.
_UNKNOWN = "default"
_OK = 200


class IamSigning(Signing):
    """Credentials in the shape that the client signs with: who signs, and bytes to a signature.

    Parameters
    ----------
    session
        What the store is asked with; its credentials' own account signs.
    timeout
        Seconds for connecting and for silence.
    iam
        Where IAM is.
    """

    def __init__(self, session: AuthorizedSession, timeout: tuple[float, float], *, iam: str = IAM) -> None:
        self._session, self._timeout, self._iam = session, timeout, iam

    @property
    def signer_email(self) -> str:
        """The account that signs."""
        credentials = self._session.credentials
        if getattr(credentials, "service_account_email", None) == _UNKNOWN:
            credentials.refresh(partial(Request(), timeout=self._timeout[1]))
        account = getattr(credentials, "service_account_email", None)
        if not account:
            raise StoreUnavailableError(
                "URLs are signed by a service account, and these credentials have none."
            )
        return str(account)

    def sign_bytes(self, message: bytes) -> bytes:
        """Return the account's signature of some bytes."""
        url = f"{self._iam}/v1/projects/-/serviceAccounts/{self.signer_email}:signBlob"
        payload = {"payload": base64.b64encode(message).decode()}
        answer = self._session.post(url, json=payload, timeout=self._timeout)
        if answer.status_code != _OK:
            raise from_http_response(answer)  # type: ignore[no-untyped-call]
        return base64.b64decode(answer.json()["signedBlob"])

    @property
    def signer(self) -> Signer:
        """Nothing: the key is IAM's."""
        raise NotImplementedError("IAM keeps the key; ask it to sign.")
