"""Photos that come before their job: uploaded once, within an hour, each for one job at most.

``uploads/{upload_id}.json`` is there from the ticket on until the broom takes it away. It is changed only
by who has read it, so that of any number of jobs that want the photo one gets it, and none once it is swept.
"""

import contextlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared import records
from shared.checksums import crc32c_of_file
from shared.errors import (
    FieldFault,
    GenerationMismatchError,
    ImageEmptyError,
    NameTakenError,
    NoSuchObjectError,
    PermanentError,
    StoreUnavailableError,
    UploadExpiredError,
    UploadMissingError,
    UploadNotFoundError,
    UploadUsedError,
)
from shared.ports import Clock, ObjectStore, UploadTicket
from shared.records import PhotoPin
from shared.side_by_side import Beside, both, here

#: How long a photo may take to come, and its job to be asked for.
LASTS = timedelta(hours=1)

PREFIX = "uploads/"
_ID = re.compile(r"upload_[0-9a-f]{32}")
_TAKE_TRIES = 3
_COME_ALREADY = "A photo has been uploaded here already; begin another upload."


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload, as its record was when it was read."""

    id: str
    generation: int
    age: timedelta  #: since its record was written, by the store's clock
    document: Mapping[str, Any]  #: the record whole, with what a later version may have added

    @property
    def input(self) -> str:
        """Name of the photo."""
        return records.input_name(self.id)

    @property
    def expires_at(self) -> datetime:
        """Until when the photo may be uploaded and submitted, as its client was told."""
        return datetime.fromisoformat(self.document["expires_at"])

    @property
    def job_id(self) -> str | None:
        """The job that has it."""
        return self.document.get("job_id")

    @property
    def is_open_to_all(self) -> bool:
        """Whether whoever asks for the job that has it, and is not promised yet, may be given that job."""
        return not self.document.get("is_keyed", True)

    @property
    def is_swept(self) -> bool:
        """Whether nobody may have it any more."""
        return bool(self.document.get("swept"))

    @property
    def is_over(self) -> bool:
        """Whether its time was over before a job had it, or before that job was promised."""
        return self.is_swept or (self.job_id is None and self.age >= LASTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """The uploads of one store."""

    store: ObjectStore
    clock: Clock
    beside: Beside = here

    def begin(self, content_type: str, size_bytes: int, owner: str | None) -> Upload:
        """Let somebody upload a photo."""
        upload_id = f"upload_{secrets.token_hex(16)}"
        document = {
            "at": self.clock().isoformat(),
            "expires_at": (self.clock() + LASTS).isoformat(),
            "content_type": content_type,
            "bytes": size_bytes,
            "owner": owner,
        }
        written = records.write_once(self.store, record_name(upload_id), document)
        return Upload(id=upload_id, generation=written.generation, age=timedelta(0), document=document)

    def ticket(self, upload: Upload, max_bytes: int) -> UploadTicket | None:
        """Return a ticket to the store itself, or ``None`` where the photo must come through the API."""
        return self.store.upload_ticket(
            upload.input,
            content_type=upload.document["content_type"],
            max_bytes=max_bytes,
            lifetime=LASTS,
        )

    def find(self, upload_id: object, caller: str | None = None) -> Upload:
        """Return an upload.

        Raises
        ------
        UploadNotFoundError
            If there is none, or it is another tenant's.
        """
        upload = self.read(upload_id) if isinstance(upload_id, str) and _ID.fullmatch(upload_id) else None
        owner = upload.document.get("owner") if upload else None
        if upload is None or (caller and owner and caller != owner):
            detail = f"there is no upload {str(upload_id)[:80]!r}; POST /v1/uploads begins one"
            raise _refusal(UploadNotFoundError, detail)
        return upload

    def read(self, upload_id: str) -> Upload | None:
        """Read an upload's record, or ``None`` if there is none."""
        name = record_name(upload_id)
        try:
            blob, stat = both(self.beside, lambda: self.store.read(name), lambda: self.store.stat(name))
        except NoSuchObjectError:
            return None
        document = records.parse(name, blob.data)
        return Upload(id=upload_id, generation=blob.stat.generation, age=stat.age, document=document)

    def receive(self, upload: Upload, photo: Path) -> None:
        """Store the photo, once.

        Raises
        ------
        UploadExpiredError, UploadUsedError
            If its time is over, or it has come already.
        """
        self.require_time(upload)
        if upload.job_id:  # its photo had come, and if it is gone by now its job was erased
            raise UploadUsedError(_COME_ALREADY)
        try:
            self.store.create(upload.input, photo, content_type=upload.document["content_type"])
        except NameTakenError as error:
            raise UploadUsedError(_COME_ALREADY) from error

    @staticmethod
    def require_time(upload: Upload) -> None:
        """Refuse an upload whose time is over."""
        if upload.is_over:
            over = upload.expires_at.isoformat(timespec="seconds")
            raise _refusal(UploadExpiredError, f"the upload's time was over at {over}; begin another")

    def pin(self, upload: Upload) -> PhotoPin:
        """Return what is known of the photo that has come, so that no other can take its place.

        Raises
        ------
        UploadMissingError, ImageEmptyError
            If nothing has come, or nothing but a name.
        """
        try:
            stat = self.store.stat(upload.input)
            if stat.size == 0:
                raise _refusal(ImageEmptyError, "the uploaded file has no bytes; begin another upload")
            checksum = stat.crc32c or self._checksum(upload.input)
        except NoSuchObjectError as error:
            raise _refusal(
                UploadMissingError, "nothing has been uploaded yet; PUT the photo first"
            ) from error
        return PhotoPin(name=upload.input, generation=stat.generation, bytes=stat.size, crc32c=checksum)

    def _checksum(self, name: str) -> str:
        with self.store.open(name) as file:
            return crc32c_of_file(file)

    def take(self, upload: Upload, job_id: str, *, is_keyed: bool) -> Upload:
        """Give an upload to a job, unless another one has it; return it as it is then.

        Parameters
        ----------
        upload, job_id
            As they were seen.
        is_keyed
            Whether the job's id is one that only its client's key leads to.

        Raises
        ------
        UploadExpiredError
            If it is nobody's, and its time is over.
        """
        for _ in range(_TAKE_TRIES):
            self.require_time(upload)
            if upload.job_id:
                return upload
            with contextlib.suppress(GenerationMismatchError):
                return self.rewrite(upload, job_id=job_id, is_keyed=is_keyed)
            upload = self.find(upload.id)
        raise StoreUnavailableError("The upload is being changed by others at once; try again.")

    def rewrite(self, upload: Upload, **members: object) -> Upload:
        """Change members of an upload's record, unless somebody else has; what else it says is kept."""
        document = {**upload.document, **members}
        data = json.dumps(document, ensure_ascii=False).encode()
        written = self.store.replace(record_name(upload.id), data, generation=upload.generation)
        return replace(upload, generation=written.generation, document=document)


def record_name(upload_id: str) -> str:
    """Name of an upload's record."""
    return f"{PREFIX}{upload_id}.json"


def parse_record_name(name: str) -> str | None:
    """Return the upload that a record is about, or ``None`` if the name is not a record's."""
    upload_id = name.removeprefix(PREFIX).removesuffix(".json")
    return upload_id if _ID.fullmatch(upload_id) and name == record_name(upload_id) else None


def _refusal(kind: type[PermanentError], detail: str) -> PermanentError:
    return kind(f"{detail[0].upper()}{detail[1:]}.", faults=[FieldFault("upload_id", detail)])
