"""Every error this project raises on purpose, in one file since the list is closed and read as one.

The first branch answers the only question a queue asks: can trying again help?  A ``PermanentError``
becomes a problem document or a failed job; a ``TransientError`` leaves everything as it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One field of a request that is at fault, and why."""

    field: str
    detail: str


class ServiceError(Exception):
    """Base of every error raised on purpose.

    Parameters
    ----------
    detail
        What was wrong and what was expected, safe to show to anybody.
    faults
        The fields at fault, if the error is about fields.
    """

    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong on our side"
    status: ClassVar[int] = 500

    def __init__(self, detail: str = "", *, faults: Sequence[FieldFault] = ()) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or f"{self.title}."
        self.faults = tuple(faults)

    def problem(self) -> dict[str, Any]:
        """RFC 9457 problem document, without what belongs to one request."""
        document: dict[str, Any] = {
            "type": f"/problems/{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "slug": self.slug,
        }
        if self.faults:
            document["errors"] = [{"field": f.field, "detail": f.detail} for f in self.faults]
        return document


class PermanentError(ServiceError):
    """The same input will fail again."""


class TransientError(ServiceError):
    """Trying again later may help; nothing was recorded."""

    slug = "try-again"
    title = "Temporarily unavailable"
    status = 503


class InternalError(PermanentError):
    """A bug of ours."""


# --- what lies below: stores and queues ---------------------------------------------------------


class StoreUnavailableError(TransientError):
    """The object store did not answer, or refused for reasons that pass."""


class StoreFullError(StoreUnavailableError):
    """The object store has no room; it heals when room is made."""

    title = "Storage is full"


class QueueUnavailableError(TransientError):
    """The queue did not take the message."""


class NoSuchObjectError(Exception):
    """No object has this name."""


class NameTakenError(Exception):
    """An object of this name exists already; nothing was changed."""


class GenerationMismatchError(Exception):
    """The object is no longer (or not yet) the one that was named; nothing was changed."""


# --- messages and deliveries --------------------------------------------------------------------


class MalformedMessageError(PermanentError):
    """The message cannot be read; asking for it again cannot help."""

    slug = "malformed-message"
    title = "The message cannot be read"


class JobBusyError(TransientError):
    """Another attempt holds a live claim on this job."""

    title = "Another attempt is at work"


class WorkerBusyError(TransientError):
    """The model is not ready, or every slot is taken."""

    title = "The worker is busy"


class ShuttingDownError(TransientError):
    """The process was asked to stop."""

    title = "The worker is shutting down"


class NotHereYetError(TransientError):
    """A later version has promised what this one cannot make."""

    title = "The worker is not of this version yet"


class MemoryShortError(TransientError):
    """The process has no memory to spare, which the next moment may have."""

    title = "The service is short of memory"


class DeviceLostError(TransientError):
    """The worker's device answers no call of this process any more, whichever photo it is about."""

    title = "The worker's device is lost"


# --- what is on record --------------------------------------------------------------------------


class JobUnreadableError(PermanentError):
    """A record of the job is damaged; the detail, which operators alone are told, names it."""

    slug = "job-unreadable"
    title = "The job's records cannot be read"
    status = 500


# --- requests -----------------------------------------------------------------------------------


class MalformedRequestError(PermanentError):
    """The request cannot be parsed."""

    slug = "malformed-request"
    title = "The request cannot be read"
    status = 400


class UnauthenticatedError(PermanentError):
    """The caller did not show who they are."""

    slug = "unauthenticated"
    title = "This route wants to know who calls"
    status = 401


class ForbiddenError(PermanentError):
    """The caller may not use this route."""

    slug = "forbidden"
    title = "This route is not for this caller"
    status = 403


class NotFoundError(PermanentError):
    """No such route."""

    slug = "not-found"
    title = "There is nothing here"
    status = 404


class JobNotFoundError(PermanentError):
    """No such job, or not this caller's."""

    slug = "job-not-found"
    title = "There is no such job"
    status = 404


class UploadNotFoundError(PermanentError):
    """No such upload, or not this caller's; one whose time is long over is forgotten."""

    slug = "upload-not-found"
    title = "There is no such upload"
    status = 404


class DeadLetterNotFoundError(PermanentError):
    """The job has no dead letter, or none about which anything is left to do."""

    slug = "dead-letter-not-found"
    title = "There is no such dead letter"
    status = 404


class ReplayNotFoundError(PermanentError):
    """No such replay."""

    slug = "replay-not-found"
    title = "There is no such replay"
    status = 404


class ResultNotFoundError(PermanentError):
    """The job has no result of this name."""

    slug = "result-not-found"
    title = "The job has no such result"
    status = 404


class MethodNotAllowedError(PermanentError):
    """The route exists, the method does not."""

    slug = "method-not-allowed"
    title = "This method is not offered here"
    status = 405


class JobNotSettledError(PermanentError):
    """The job is still open."""

    slug = "job-not-settled"
    title = "The job has not settled yet"
    status = 409


class AlreadySettledError(PermanentError):
    """The job has settled and cannot be changed."""

    slug = "already-settled"
    title = "The job has settled already"
    status = 409


class UploadMissingError(PermanentError):
    """A job is asked for before its photo has been uploaded."""

    slug = "upload-missing"
    title = "Nothing has been uploaded yet"
    status = 409


class UploadUsedError(PermanentError):
    """The photo is there already, or belongs to a job."""

    slug = "upload-used"
    title = "The upload has been used"
    status = 409


class UploadExpiredError(PermanentError):
    """The time in which to upload the photo and to submit it is over."""

    slug = "upload-expired"
    title = "The upload's time is over"
    status = 410


class NotReplayableError(PermanentError):
    """Only a job whose newest epoch has failed can be replayed."""

    slug = "not-replayable"
    title = "The job cannot be replayed"
    status = 409


class ReplayEndedError(PermanentError):
    """The replay has ended and cannot be cancelled any more."""

    slug = "replay-ended"
    title = "The replay has ended already"
    status = 409


class PushesDetachedError(PermanentError):
    """Delivery cannot be resumed over HTTP while a push is detached; the record alone knows it."""

    slug = "pushes-detached"
    title = "Pushes are detached"
    status = 409


class ExpiredError(PermanentError):
    """The job's pictures have been deleted."""

    slug = "expired"
    title = "The job's pictures are no longer kept"
    status = 410


class ImageTooLargeError(PermanentError):
    """More bytes than are taken."""

    slug = "image-too-large"
    title = "The image file is too large"
    status = 413


class UnsupportedMediaTypeError(PermanentError):
    """The request's own content type."""

    slug = "unsupported-media-type"
    title = "The request's content type is not taken"
    status = 415


class UnsupportedImageError(PermanentError):
    """Not one of the image formats that are taken."""

    slug = "unsupported-image"
    title = "The file is not an image of a kind that is taken"
    status = 415


class TooManyRequestsError(PermanentError):
    """The caller exceeds its rate."""

    slug = "too-many-requests"
    title = "Too many requests"
    status = 429


class UnprocessableError(PermanentError):
    """Base of what is well-formed and still cannot be taken."""

    status = 422


class ImageMissingError(UnprocessableError):
    """No image in the request."""

    slug = "image-missing"
    title = "The request has no image"


class ImageEmptyError(UnprocessableError):
    """An image of no bytes."""

    slug = "image-empty"
    title = "The image file is empty"


class TooManyImagesError(UnprocessableError):
    """More than one image in one request."""

    slug = "too-many-images"
    title = "The request has more than one image"


class ImageUnreadableError(UnprocessableError):
    """The image's header cannot be read."""

    slug = "image-unreadable"
    title = "The image's header cannot be read"


class TooManyPixelsError(UnprocessableError):
    """More pixels than are taken."""

    slug = "too-many-pixels"
    title = "The image has too many pixels"


class SideTooLongError(UnprocessableError):
    """A side is longer than is taken."""

    slug = "side-too-long"
    title = "A side of the image is too long"


class ImageTooSmallError(UnprocessableError):
    """A side is shorter than is taken."""

    slug = "image-too-small"
    title = "The image is too small"


class UnknownEffectError(UnprocessableError):
    """An effect that is not in the catalogue."""

    slug = "unknown-effect"
    title = "There is no such effect"


class DuplicateEffectError(UnprocessableError):
    """One effect asked for twice."""

    slug = "duplicate-effect"
    title = "An effect is asked for twice"


class UnknownFieldError(UnprocessableError):
    """A field that means nothing here."""

    slug = "unknown-field"
    title = "The request has a field that means nothing here"


class InvalidValueError(UnprocessableError):
    """A field whose value is out of range or of the wrong kind."""

    slug = "invalid-value"
    title = "A field's value cannot be taken"


class NothingSelectedError(UnprocessableError):
    """A filter that matches no dead letter."""

    slug = "nothing-selected"
    title = "Nothing matches"


class IdempotencyKeyReusedError(UnprocessableError):
    """The key belongs to another request."""

    slug = "idempotency-key-reused"
    title = "The Idempotency-Key belongs to another request"


class EngineUnavailableError(UnprocessableError):
    """An engine that is not the deployed one."""

    slug = "engine-unavailable"
    title = "The engine asked for is not deployed"


# --- how jobs fail ------------------------------------------------------------------------------


class ImageCorruptError(UnprocessableError):
    """The pixels cannot be decoded."""

    slug = "image-corrupt"
    title = "The image's pixels cannot be decoded"


class NoSubjectError(UnprocessableError):
    """Nothing in the photo stands out."""

    slug = "no-subject"
    title = "No subject was found in the photo"


class InputGoneError(PermanentError):
    """The photo is no longer in the store, or is no longer the one that was accepted."""

    slug = "input-gone"
    title = "The uploaded photo is no longer there"
    status = 410


class PoisonError(PermanentError):
    """Every attempt ended with the worker's death."""

    slug = "poison"
    title = "The photo stopped the worker every time"


class JobTimeoutError(PermanentError):
    """Attempts ran out of time."""

    slug = "timeout"
    title = "The job took too long"
    status = 504


class OutOfMemoryError(PermanentError):
    """Attempts ran out of memory."""

    slug = "out-of-memory"
    title = "The job needs more memory than there is"
    status = 507


class DeadLetteredError(PermanentError):
    """The queue gave the job's message up, or the job stayed open for a day."""

    slug = "dead-lettered"
    title = "The job could not be delivered to a worker"


#: Failures that are the photo's own fault: never retried, never an operator's business.  The worker is the
#: first to look at a photo that was uploaded directly: what the gate refuses is among them.
PHOTO_FAULTS = frozenset(
    kind.slug
    for kind in (
        ImageCorruptError,
        NoSubjectError,
        InputGoneError,
        ImageEmptyError,
        UnsupportedImageError,
        ImageUnreadableError,
        TooManyPixelsError,
        SideTooLongError,
        ImageTooSmallError,
    )
)


def every_error() -> Mapping[str, type[ServiceError]]:
    """Each public slug with the class that carries it."""
    found: dict[str, type[ServiceError]] = {}
    queue: list[type[ServiceError]] = [ServiceError]
    while queue:
        cls = queue.pop(0)
        found.setdefault(cls.slug, cls)
        queue.extend(cls.__subclasses__())
    return found
