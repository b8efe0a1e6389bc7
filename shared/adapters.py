"""The adapters that the settings ask for; Google's clients (50 MB) are loaded only where they serve."""

from shared.callers import Doorkeeper, admit_this_machine
from shared.folder_store import FolderStore
from shared.places import Bucket, Project
from shared.ports import ObjectStore, Queue
from shared.settings import Settings
from shared.side_by_side import Beside, here, in_thread
from shared.sqlite_queue import SqliteQueue


def build_store(settings: Settings) -> ObjectStore:
    """Return the object store."""
    if isinstance(settings.store, Bucket):
        from shared import gcs  # noqa: PLC0415 - see above

        return gcs.connect(settings.store.name)
    return FolderStore(settings.store)


def build_beside(settings: Settings) -> Beside:
    """Return how store calls that do not depend on each other are made: a folder answers before a thread."""
    return in_thread if isinstance(settings.store, Bucket) else here


def build_queue(settings: Settings) -> Queue:
    """Return the queue; to be called in the process that uses it, not before a fork."""
    if isinstance(settings.queue, Project):
        from shared import pubsub  # noqa: PLC0415 - see above

        return pubsub.connect(settings.queue)
    return SqliteQueue(settings.queue)


def build_doorkeeper(settings: Settings) -> Doorkeeper:
    """Return who lets the callers of internal routes pass."""
    if settings.is_one_machine:
        return admit_this_machine
    from shared import push_tokens  # noqa: PLC0415 - see above

    return push_tokens.google(audience=settings.push_audience or "", email=settings.push_email or "").admit
