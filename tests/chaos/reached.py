"""Which places of the product call the store, and which of these no scene of G1 comes to."""

from functools import cache

from tests.call_sites import ROOT, sites_in, sites_of_this_call

#: Below them nothing calls the store: they are stores.
_ADAPTERS = ("shared/gcs", "shared/folder", "shared/memory")

#: Why no scene comes there.
EXPLAINED = {
    "shared/records.py:write_once store.stat": "Google's client knows its own write again by a token",
    "shared/uploads.py:Uploads._checksum store.open": "Cloud Storage tells the checksum",
    "shared/uploads.py:Uploads.receive store.create": "in the cloud photos go to the bucket itself",
}


@cache
def wanted() -> frozenset[str]:
    """Return every place that calls the store, or writes and reads records."""
    files = [
        str(f.relative_to(ROOT)) for room in ("api", "shared", "worker") for f in (ROOT / room).rglob("*.py")
    ]
    named = sites_in(*(file for file in files if not file.startswith(_ADAPTERS)))
    return frozenset(site for site in named if not site.rpartition(" ")[2].startswith("queue."))


def now(call: str) -> tuple[str, ...]:
    """Return the places that a call of the store comes from, to the spy that is just told of it."""
    method = call.split()[1].removeprefix("store.")
    return sites_of_this_call("store", method, 5)  # through the spy, who asks him, the watched port and here
