"""Every test of the contract that asks for a store is run with each of them."""

from collections.abc import Iterator

import pytest

from shared.ports import ObjectStore
from tests.contracts.stores import STORES, StoreUnderTest


@pytest.fixture(params=STORES)
def subject(request, tmp_path) -> Iterator[StoreUnderTest]:
    with STORES[request.param](tmp_path) as under_test:
        yield under_test


@pytest.fixture
def store(subject) -> ObjectStore:
    return subject.store
