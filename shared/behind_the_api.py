"""A store that clients cannot reach: the API serves and takes the bytes itself."""

from datetime import timedelta

from shared.ports import UploadTicket


class BehindTheApi:
    """The part of an ``ObjectStore`` that lets clients talk to the store itself, where they cannot."""

    def download_url(
        self,
        name: str,  # noqa: ARG002 -- there is no URL for any name
        *,
        filename: str,  # noqa: ARG002
        content_type: str,  # noqa: ARG002
        lifetime: timedelta,  # noqa: ARG002
    ) -> str | None:
        """Return ``None``: the API serves the bytes itself."""
        return None

    def upload_ticket(
        self,
        name: str,  # noqa: ARG002 -- there is no ticket for any name
        *,
        content_type: str,  # noqa: ARG002
        max_bytes: int,  # noqa: ARG002
        lifetime: timedelta,  # noqa: ARG002
    ) -> UploadTicket | None:
        """Return ``None``: the API takes the bytes itself."""
        return None
