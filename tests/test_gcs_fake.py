"""The fake Cloud Storage keeps the rules that a race turns on, as the real client sees them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.api_core.exceptions import Forbidden, GoogleAPICallError, PreconditionFailed, TooManyRequests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests import loopback
from tests.gcs_fake import GcsFake, running
from tests.gcs_fake_faults import Fault

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def fake() -> Iterator[GcsFake]:
    with running() as fake:
        yield fake


@pytest.fixture
def bucket(fake) -> Iterator[storage.Bucket]:
    options = {"api_endpoint": fake.url}
    client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options=options)
    client._bucket_metadata_cache = None
    yield client.bucket("photos")
    client.close()


def write(bucket: storage.Bucket, name: str, data: bytes, **conditions: int) -> storage.Blob:
    blob = bucket.blob(name)
    blob.upload_from_string(data, retry=None, **conditions)
    return blob


def test_a_second_create_of_a_name_is_refused_and_changes_nothing(bucket) -> None:
    first = write(bucket, "a", b"first", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        write(bucket, "a", b"second", if_generation_match=0)
    blob = bucket.blob("a")
    assert blob.download_as_bytes() == b"first"
    assert blob.generation == first.generation


def test_only_the_named_generation_is_replaced_or_deleted(bucket) -> None:
    first = write(bucket, "a", b"first", if_generation_match=0)
    second = write(bucket, "a", b"second", if_generation_match=first.generation)
    with pytest.raises(PreconditionFailed):
        write(bucket, "a", b"third", if_generation_match=first.generation)
    with pytest.raises(PreconditionFailed):
        bucket.delete_blob("a", if_generation_match=first.generation)
    bucket.delete_blob("a", if_generation_match=second.generation)
    assert list(bucket.list_blobs()) == []


def test_bytes_that_are_not_those_declared_are_refused_and_not_kept(bucket) -> None:
    blob = bucket.blob("a")
    blob.crc32c = "AAAAAA=="
    with pytest.raises(GoogleAPICallError, match="doesn't match calculated"):
        blob.upload_from_string(b"bytes", checksum=None)
    assert list(bucket.list_blobs()) == []


def test_a_resumable_upload_is_seen_when_its_last_chunk_is_in(bucket, fake) -> None:
    blob = bucket.blob("big", chunk_size=1 << 20)
    data = bytes(range(256)) * 40_000
    blob.upload_from_string(data, if_generation_match=0)
    assert fake.calls["resumable.chunk"] == 10
    assert bucket.blob("big").download_as_bytes() == data
    assert bucket.blob("big").download_as_bytes(start=5, end=9) == data[5:10]


def test_a_name_may_change_once_a_second_if_the_rule_is_on() -> None:
    at = [datetime(2026, 1, 1, tzinfo=UTC)]
    with running(lambda: at[0]) as fake:
        fake.objects.one_change_a_second = True
        options = {"api_endpoint": fake.url}
        client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options=options)
        client._bucket_metadata_cache = None
        bucket = client.bucket("photos")
        write(bucket, "a", b"1")
        write(bucket, "b", b"1")
        with pytest.raises(TooManyRequests):
            bucket.delete_blob("a", retry=None)
        at[0] += timedelta(seconds=1)
        bucket.delete_blob("a", retry=None)
        client.close()


def test_a_fault_meets_the_calls_it_was_planned_for(bucket, fake) -> None:
    fake.faults.plan("stat", Fault.FORBIDDEN, calls=[1])
    write(bucket, "a", b"1")
    bucket.blob("a").reload(retry=None)
    with pytest.raises(Forbidden, match=r"storage\.objects\.get"):
        bucket.blob("a").reload(retry=None)
    bucket.blob("a").reload(retry=None)
    assert dict(fake.calls) == {"insert": 1, "stat": 3}


def test_in_a_process_of_its_own_it_prints_its_url_and_does_as_it_is_told() -> None:
    command = [sys.executable, "-m", "tests.gcs_fake", "--port", "0", "--latency-ms", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            began = time.monotonic()
            loopback.put(f"{url}/fake", params={"latency_ms": 150})
            assert loopback.get(f"{url}/storage/v1/b/photos/o").json() == {"items": []}
            assert time.monotonic() - began >= 0.15
            assert loopback.get(f"{url}/fake").json()["calls"] == {"list": 1}
        finally:
            process.terminate()
