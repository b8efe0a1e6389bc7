"""What goes on beside a scenario, in a thread that lives as long as a ``with``."""

import threading
from typing import Self


class Beside(threading.Thread):
    """A thread whose ``run`` ends once ``over`` is set."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()
