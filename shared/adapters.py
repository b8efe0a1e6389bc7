"""The adapters that the settings ask for."""

from shared.folder_store import FolderStore
from shared.ports import ObjectStore, Queue
from shared.settings import Settings
from shared.sqlite_queue import SqliteQueue


def build_store(settings: Settings) -> ObjectStore:
    """Return the object store."""
    return FolderStore(settings.store)


def build_queue(settings: Settings) -> Queue:
    """Return the queue."""
    return SqliteQueue(settings.queue)
