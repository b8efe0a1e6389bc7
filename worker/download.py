"""Read the photo that was accepted, and no other.  In: a pin; out: the photo's bytes."""

from shared.checksums import crc32c
from shared.errors import InputGoneError, NoSuchObjectError, StoreUnavailableError
from shared.ports import ObjectStore
from shared.records import PhotoPin


def download(store: ObjectStore, pin: PhotoPin) -> bytes:
    """Return the bytes of a pinned photo.

    Raises
    ------
    InputGoneError
        If it was deleted, or replaced by another one.
    StoreUnavailableError
        If the store is away, or the bytes were damaged on their way.
    """
    try:
        blob = store.read(pin.name)
    except NoSuchObjectError as error:
        raise InputGoneError from error
    if blob.stat.generation != pin.generation:
        raise InputGoneError("The uploaded photo was replaced by another one.")
    if crc32c(blob.data) != pin.crc32c:
        raise StoreUnavailableError("The photo's bytes were damaged on their way.")
    return blob.data
