"""What a worker that is ready reports of itself, for ``/warmup`` and ``/v1/models``."""

import contextlib
import json
from datetime import timedelta

from shared.errors import GenerationMismatchError, NameTakenError, NoSuchObjectError
from worker.services import Services

#: A report this old is of a worker that is long gone.
_FORGOTTEN_AFTER = timedelta(days=1)


def report(services: Services) -> None:
    """Write that this instance is ready now, and clear away reports that nobody stands behind."""
    store, name = services.ledger.store, f"workers/{services.instance}.json"
    document = {
        "version": 1,
        "at": services.ledger.clock().isoformat(),
        "revision": services.revision,
        "engine": services.gate.engine,
    }
    data = json.dumps(document).encode()
    # Two warm-ups at once may write at once; either's word will do.
    with contextlib.suppress(NameTakenError, GenerationMismatchError):
        try:
            store.replace(name, data, generation=store.stat(name).generation)
        except NoSuchObjectError:
            store.create(name, data)
    for stat in store.list("workers/").objects:
        if stat.age > _FORGOTTEN_AFTER:
            store.delete(stat.name)


def withdraw(services: Services) -> None:
    """Delete this instance's report when it stops in order."""
    services.ledger.store.delete(f"workers/{services.instance}.json")
