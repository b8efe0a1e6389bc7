"""Every object store does what a dictionary would, in any order of calls."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from shared.errors import GenerationMismatchError, NameTakenError
from shared.ports import Stat
from tests.contracts.stores import STORES, StoreUnderTest

NAMES = st.sampled_from(["a/1", "a/2", "a/b/1", "a/b/c/1", "b", "c/1"])
DATA = st.binary(max_size=40)


class AgainstADictionary(RuleBasedStateMachine):
    """A store does what a dictionary would, and never repeats a generation."""

    def __init__(self, make: Callable[[Path], AbstractContextManager[StoreUnderTest]], folder: Path) -> None:
        super().__init__()
        self.folder, self.closing = folder, ExitStack()
        self.subject = self.closing.enter_context(make(folder))
        self.expected: dict[str, tuple[bytes, int]] = {}
        self.used: dict[str, list[int]] = {}

    def wrote(self, stat: Stat, data: bytes) -> None:
        assert stat.generation not in self.used.setdefault(stat.name, [])
        assert stat.size == len(data)
        self.used[stat.name].append(stat.generation)
        self.expected[stat.name] = (data, stat.generation)

    @rule(name=NAMES, data=DATA, is_path=st.booleans())
    def create(self, name: str, data: bytes, is_path: bool) -> None:
        source = self.folder / "source"
        source.unlink(missing_ok=True)
        source.write_bytes(data)
        try:
            self.wrote(self.subject.store.create(name, source if is_path else data), data)
        except NameTakenError:
            assert name in self.expected
            return
        assert self.used[name][-1] == self.expected[name][1]

    @rule(name=NAMES, data=DATA, back=st.integers(1, 2))
    def replace(self, name: str, data: bytes, back: int) -> None:
        generation = [0, 0, *self.used.get(name, [])][-back]
        is_current = name in self.expected and self.expected[name][1] == generation
        try:
            self.wrote(self.subject.store.replace(name, data, generation=generation), data)
        except GenerationMismatchError:
            assert not is_current
        else:
            assert is_current

    @rule(name=NAMES, back=st.integers(0, 2))
    def delete(self, name: str, back: int) -> None:
        generation = [0, 0, *self.used.get(name, [])][-back] if back else None
        try:
            self.subject.store.delete(name, generation=generation)
        except GenerationMismatchError:
            assert name in self.expected
            assert generation not in (None, self.expected[name][1])
        else:
            assert generation is None or name not in self.expected or generation == self.expected[name][1]
            self.expected.pop(name, None)

    @rule()
    def open_again(self) -> None:
        self.subject.store = self.subject.again()

    def teardown(self) -> None:
        self.closing.close()

    @invariant()
    def shows_what_is_expected(self) -> None:
        listed = {stat.name: stat for stat in self.subject.store.list("").objects}
        assert list(listed) == sorted(self.expected)
        for name, (data, generation) in self.expected.items():
            blob = self.subject.store.read(name)
            assert (blob.data, blob.stat.generation) == (data, generation)
            assert (listed[name].size, listed[name].generation) == (len(data), generation)


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
def test_a_store_does_what_a_dictionary_would(make, tmp_path_factory) -> None:
    def machine() -> AgainstADictionary:
        return AgainstADictionary(make, tmp_path_factory.mktemp("store"))

    profile = settings(max_examples=20, stateful_step_count=25, deadline=None, database=None)
    run_state_machine_as_test(machine, settings=profile)
