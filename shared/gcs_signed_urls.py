"""Lets clients talk to the bucket themselves: each signed URL is good for one object and one thing to do."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.gcs_calls import BucketCalls, NewSigning
from shared.gcs_patience import Patience
from shared.object_names import check_name
from shared.ports import UploadTicket


class SignedUrls:
    """The part of an ``ObjectStore`` that hands out signed URLs.

    Parameters
    ----------
    calls
        The requests to the bucket.
    signing
        Returns what signs within a timeout; without it the API serves and takes all bytes itself.
    patience
        How long a call may take.
    """

    def __init__(
        self,
        calls: BucketCalls,
        *,
        signing: NewSigning | None,
        patience: Patience,
    ) -> None:
        self._calls, self._signing, self._patience = calls, signing, patience

    def download_url(self, name: str, *, filename: str, content_type: str, lifetime: timedelta) -> str | None:
        """Return a signed URL for an object, or ``None`` where the API must serve the bytes itself."""
        disposition = f'inline; filename="{filename}"'
        return self._sign(
            name, lifetime, method="GET", response_disposition=disposition, response_type=content_type
        )

    def upload_ticket(
        self, name: str, *, content_type: str, max_bytes: int, lifetime: timedelta
    ) -> UploadTicket | None:
        """Return a ticket to create an object with, or ``None`` where uploads must come through the API."""
        headers = {
            "Content-Type": content_type,
            "x-goog-content-length-range": f"0,{max_bytes}",
            "x-goog-if-generation-match": "0",
        }
        # The URL's own life begins at a whole second, and not before this one.
        expires_at = datetime.now(UTC).replace(microsecond=0) + lifetime
        url = self._sign(name, lifetime, method="PUT", headers=dict(headers))
        if url is None:
            return None
        return UploadTicket(url=url, headers=headers, max_bytes=max_bytes, expires_at=expires_at)

    def _sign(self, name: str, lifetime: timedelta, **what: Any) -> str | None:
        check_name(name)
        if self._signing is None:
            return None
        budget, signing = self._patience.begin(), self._signing
        return budget.tried(
            lambda: self._calls.signed_url(name, signing, budget, expiration=lifetime, **what)
        )
