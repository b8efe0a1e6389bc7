"""Collects the faults of a request, so that all are reported at once and each names its field."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared.errors import FieldFault, ServiceError


@dataclass
class Faults:
    """The faults found so far, in order."""

    found: list[tuple[type[ServiceError], FieldFault]] = field(default_factory=list)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Blame a field for an error raised inside."""
        try:
            yield
        except ServiceError as error:
            self.found.append((type(error), FieldFault(name, error.detail)))

    def raise_first(self) -> None:
        """Raise an error of the first fault's class that names them all, if there are any."""
        if self.found:
            faults = [fault for _, fault in self.found]
            raise self.found[0][0]("; ".join(fault.detail for fault in faults), faults=faults)
