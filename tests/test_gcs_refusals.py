"""What only an operator can mend is said at once, names what is missing, and shows nothing of the project."""

import logging
from collections.abc import Iterator

import pytest
from google.auth.exceptions import RefreshError

from shared.errors import StoreUnavailableError
from shared.gcs_errors import FleetingError, translate
from tests.gcs_fake_faults import Fault
from tests.gcs_world import GcsWorld, gcs_world

CALLS = {
    "read": ("read", lambda s: s.read("a"), "get"),
    "open": ("read", lambda s: s.open("a"), "get"),
    "stat": ("stat", lambda s: s.stat("a"), "get"),
    "list": ("list", lambda s: s.list("a"), "list"),
    "page": ("list", lambda s: s.page("a"), "list"),
    "ping": ("stat", lambda s: s.ping(), "get"),
    "create": ("insert", lambda s: s.create("a", b"1"), "create"),
    "replace": ("insert", lambda s: s.replace("a", b"1", generation=7), "create"),
    "delete": ("delete", lambda s: s.delete("a", generation=7), "delete"),
}


@pytest.fixture
def world() -> Iterator[GcsWorld]:
    with gcs_world() as world:
        yield world


@pytest.mark.parametrize("call", CALLS)
def test_a_right_that_is_missing_is_named(world, call, caplog) -> None:
    site, do, right = CALLS[call]
    world.fake.faults.always(site, Fault.FORBIDDEN)
    with caplog.at_level(logging.ERROR), pytest.raises(StoreUnavailableError) as caught:
        do(world.store)
    assert caught.value.detail == f"The service's account lacks a right: storage.objects.{right}."
    assert world.fake.calls == {site: 1}
    (record,) = caplog.records
    assert (record.getMessage(), record.status) == ("store.refused", 403)


@pytest.mark.parametrize("call", [*CALLS, "delete whatever is there"])
def test_a_bucket_that_is_missing_is_no_missing_object(world, call) -> None:
    """Else a job would be taken for one that never was, and a delete for done."""
    do = CALLS[call][1] if call in CALLS else lambda s: s.delete("a")
    world.fake.objects.missing_buckets.add("photos")
    with pytest.raises(StoreUnavailableError, match="The bucket does not exist"):
        do(world.store)
    assert world.naps.slept_s == []


def test_credentials_that_cannot_be_renewed_are_said_at_once() -> None:
    assert type(translate(RefreshError("invalid_grant"))) is StoreUnavailableError
    assert type(translate(RefreshError("server error", retryable=True))) is FleetingError
