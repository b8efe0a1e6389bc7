"""The object store in the cloud: a bucket of Cloud Storage.

Every change names the generation that it is about and carries a token that nobody else has: when an
answer is lost and the change is asked for again, "that is no longer so" is told from "you have done so".
"""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, TypeVar

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from shared.errors import (
    GenerationMismatchError,
    NameTakenError,
    NoSuchObjectError,
    StoreUnavailableError,
)
from shared.gcs_bytes import Outgoing
from shared.gcs_calls import BucketCalls, Change, Listed
from shared.gcs_errors import FleetingError
from shared.gcs_line import Line
from shared.gcs_patience import Budget, Patience
from shared.gcs_signed_urls import SignedUrls
from shared.gcs_signing import IAM, IamSigning
from shared.object_names import check_name, check_prefix
from shared.ports import Blob, Listing, Page, Stat, Version

F = TypeVar("F", bound=BinaryIO)

#: Signing takes no narrower scope; what the account may do is IAM's to say.
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_PING_NAME, _PING_WITHIN_S = "ping", 2.0
_NO_LABELS: Mapping[str, str] = {}


def connect(
    bucket: str, *, connections: int = 64, patience: Patience | None = None, iam: str = IAM
) -> "GcsStore":
    """Return the store in a bucket, with the environment's credentials; nothing is asked of it yet.

    With ``STORAGE_EMULATOR_HOST`` set, the client talks to that instead, without credentials.
    """
    client = storage.Client(project=None, client_options={"scopes": [_SCOPE]})
    # It would ask for the bucket's metadata behind our back: a call, and a right that we do not want.
    client._bucket_metadata_cache = None  # noqa: SLF001
    session = client._http  # noqa: SLF001 -- there is no other door to the connection pool
    line = Line(connections)
    line.carry(session)
    is_anonymous = isinstance(session.credentials, AnonymousCredentials)
    return GcsStore(
        BucketCalls(client, bucket, line),
        signing=None if is_anonymous else partial(IamSigning, session, iam=iam),
        patience=patience or Patience(),
    )


class GcsStore(SignedUrls):
    """An ``ObjectStore`` in a bucket."""

    # --- reading --------------------------------------------------------------------------------

    def read(self, name: str) -> Blob:
        """Return an object whole; ``NoSuchObjectError`` if there is none."""
        version, file = self._download(name, BytesIO)
        return Blob(stat=version, data=file.getvalue())

    def open(self, name: str) -> BinaryIO:
        """Return a seekable stream over one version of an object; ``NoSuchObjectError``."""
        _, file = self._download(name, TemporaryFile)
        file.seek(0)
        return file

    def stat(self, name: str) -> Stat:
        """Return what is known about an object; ``NoSuchObjectError`` if there is none."""
        check_name(name)
        return self._stat(name, self._patience.begin())

    def list(self, prefix: str) -> Listing:
        """Return every object whose name starts with a prefix, ordered by name."""
        check_prefix(prefix)
        budget = self._patience.begin()
        pages = [self._page(prefix, None, budget)]
        while pages[-1].more:
            pages.append(self._page(prefix, pages[-1].more, budget))
        found = sorted(known[:4] for page in pages for known in page.objects)
        # The first page's time: a later one would make what was on the first look older than it was.
        now = max([pages[0].now, *(updated for *_, updated in found)])
        objects = (Stat(name=n, size=s, generation=g, updated=u, now=now) for n, s, g, u in found)
        return Listing(objects=tuple(objects), now=now)

    def page(self, prefix: str, token: str | None = None) -> Page:
        """Return some of what ``list`` does: the first, or those that follow the page with that token."""
        check_prefix(prefix)
        listed = self._page(prefix, token, self._patience.begin(), with_labels=True)
        objects = (
            Stat(name=n, size=s, generation=g, updated=u, now=max(listed.now, u), labels=labels)
            for n, s, g, u, labels in sorted(listed.objects, key=itemgetter(0))
        )
        return Page(objects=tuple(objects), more=listed.more)

    def ping(self) -> None:
        """Return if the store answers, and lets us in; an object that is not there is the cheapest."""
        budget = self._patience.at_most(_PING_WITHIN_S).begin()
        try:
            self._stat(_PING_NAME, budget)
        except NoSuchObjectError:
            return

    # --- changing -------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        data: bytes | Path,
        *,
        content_type: str = "application/json",
        labels: Mapping[str, str] | None = None,
    ) -> Stat:
        """Write an object that must not exist; ``NameTakenError`` if it does."""
        check_name(name)
        try:
            return self._write(name, Outgoing.of(data), content_type, generation=0, labels=labels or {})
        except GenerationMismatchError as error:
            raise NameTakenError(f"{name!r} exists already.") from error

    def replace(self, name: str, data: bytes, *, generation: int) -> Stat:
        """Write a new version of an object if its generation is still the given one."""
        check_name(name)
        if generation <= 0:  # it would mean "if there is none" to the store
            raise GenerationMismatchError(f"No object is ever at generation {generation}.")
        return self._write(name, Outgoing.of(data), "application/json", generation=generation)

    def delete(self, name: str, *, generation: int | None = None) -> None:
        """Delete an object; ``GenerationMismatchError`` if it exists with another generation.

        Without a generation the one that is there is looked up first: a delete that is asked for twice
        must not hit what somebody else has created in between.
        """
        check_name(name)
        budget = self._patience.begin()
        try:
            if generation is None:
                self._delete_current(name, budget)
            else:
                self._delete(name, generation, budget)
        except NoSuchObjectError:
            return

    def _write(
        self,
        name: str,
        out: Outgoing,
        content_type: str,
        *,
        generation: int,
        labels: Mapping[str, str] = _NO_LABELS,
    ) -> Stat:
        token, budget = secrets.token_hex(8), self._patience.begin()
        change = Change(out=out, content_type=content_type, generation=generation, token=token, labels=labels)

        def attempt() -> Stat:
            try:
                return self._calls.upload(name, change, budget)
            except GenerationMismatchError:
                if not budget.is_in_doubt:
                    raise
                return self._own(name, change, budget)
            except NoSuchObjectError as error:
                raise FleetingError("The upload's session is no more.") from error

        return budget.tried(attempt)

    def _own(self, name: str, change: Change, budget: Budget) -> Stat:
        """Return our own write whose answer was lost, if that is what the name holds."""
        is_new = change.generation == 0
        try:
            stat, token = self._calls.stat(name, budget)
        except NoSuchObjectError as error:
            if is_new:
                raise FleetingError("The name was taken, and is free again.") from error
            token = None
        if token == change.token:
            return stat
        if is_new:
            raise GenerationMismatchError(f"{name!r} is somebody else's.")
        # Ours may have been there, and have been replaced by who read it: nobody can tell any more.
        raise _in_doubt()

    def _delete_current(self, name: str, budget: Budget) -> None:
        while True:
            try:
                self._delete(name, self._stat(name, budget).generation, budget)
            except GenerationMismatchError:
                budget.require()  # it was replaced since we looked: look again, while there is time
            else:
                return

    def _delete(self, name: str, generation: int, budget: Budget) -> None:
        def attempt() -> None:
            try:
                self._calls.delete(name, generation=generation, budget=budget)
            except GenerationMismatchError as error:
                if not budget.is_in_doubt:
                    raise
                raise _in_doubt() from error

        budget.tried(attempt)

    def _stat(self, name: str, budget: Budget) -> Stat:
        return budget.tried(lambda: self._calls.stat(name, budget))[0]

    def _page(self, prefix: str, token: str | None, budget: Budget, *, with_labels: bool = False) -> Listed:
        return budget.tried(lambda: self._calls.page(prefix, token, budget, with_labels=with_labels))

    def _download(self, name: str, new_file: Callable[[], F]) -> tuple[Version, F]:
        check_name(name)
        budget = self._patience.begin()

        def attempt() -> tuple[Version, F]:
            file = new_file()
            try:
                return self._calls.download(name, file, budget), file
            except BaseException:
                file.close()
                raise

        return budget.tried(attempt)


def _in_doubt() -> StoreUnavailableError:
    return StoreUnavailableError("An answer was lost, and the object is another one now; look again.")
